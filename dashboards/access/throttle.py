"""How often something may be tried: sign-ins per login and per address, requests per token."""

from __future__ import annotations

import time
from ipaddress import IPv6Address, ip_address
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

PER_ADDRESS: Final = RateLimitItemPerMinute(30, 5)
PER_LOGIN: Final = RateLimitItemPerMinute(10, 5)
PER_TOKEN: Final = RateLimitItemPerMinute(600)
_NETWORK_BITS: Final = 64


class Throttle:
    """Counts attempts in the memory of the service; a restart forgets them.

    Methods named `…_waits` count an attempt and give how many seconds to wait: 0 when it is allowed now.
    """

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def sign_in_waits(self, login: str, address: str) -> int:
        """For an attempt to sign in."""
        # The address first: whoever invents logins must not fill the memory with them.
        return self._waits(PER_ADDRESS, _network(address)) or self._waits(PER_LOGIN, login)

    def signed_in(self, login: str) -> None:
        """Somebody knew the password: earlier mistakes do not count any more."""
        self._limiter.clear(PER_LOGIN, login)

    def call_waits(self, token_id: str) -> int:
        """For a request with a token."""
        return self._waits(PER_TOKEN, token_id)

    def _waits(self, item: RateLimitItem, name: str) -> int:
        # The item itself is part of the key, so a login and a token of the same name count apart.
        if self._limiter.hit(item, name):
            return 0
        return max(1, round(self._limiter.get_window_stats(item, name).reset_time - time.time()))


def _network(address: str) -> str:
    """What counts as one address: a person has a whole network of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(int(parsed) >> _NETWORK_BITS) if isinstance(parsed, IPv6Address) else address
