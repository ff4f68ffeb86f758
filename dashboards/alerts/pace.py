"""How fast a channel may be spoken to, and when a failed message is tried again. Pure; times are µs on any one clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
ATTEMPTS_MAX: Final = 16
"""With the delays below, about four hours of trying."""

FIRST_DELAY_US: Final = 2 * SECOND_US
DELAY_US_MAX: Final = 30 * MINUTE_US
RETRY_AFTER_US_MAX: Final = 6 * 60 * MINUTE_US
"""A channel that asks to be left alone for longer is asked again after this."""

_BURST_SHARE: Final = 5


class Limit(NamedTuple):
    """At most `messages_max` messages in any `within_us` µs, the end of the span not included."""

    messages_max: int
    within_us: int


class Bucket:
    """A token bucket that keeps a limit in every span, not only on average.

    A fifth of the limit may come at once, the rest is spread: burst + refill never exceed the limit in any span. It is kept
    as the theoretical time of arrival, in whole µs. A new bucket is empty, so that restarts cannot exceed the limit.

    Args:
        limit: what to keep.
        now_us: when it starts.
    """

    def __init__(self, limit: Limit, now_us: int) -> None:
        burst = max(1, limit.messages_max // _BURST_SHARE)
        self._interval_us = -(-limit.within_us // (limit.messages_max - burst + 1))
        self._slack_us = (burst - 1) * self._interval_us
        self._due_us = now_us + self._slack_us + self._interval_us

    def wait_us(self, now_us: int) -> int:
        """How long until the next message may go; 0 when it may now."""
        return max(0, self._due_us - self._slack_us - now_us)

    def take(self, now_us: int) -> None:
        """Count one message that goes now."""
        self._due_us = max(self._due_us, now_us) + self._interval_us


def retry_delay_us(attempts: int, random: Callable[[], float], retry_after_us: int | None = None) -> int | None:
    """How long to wait after so many failed attempts (≥ 1); None when it was tried often enough.

    Doubling from `FIRST_DELAY_US` to `DELAY_US_MAX`, of which a random half is taken off so that messages that failed
    together do not come together again; never sooner than the channel asked for.

    Args:
        attempts: so far.
        random: gives numbers in [0, 1).
        retry_after_us: what the channel asked for.
    """
    if attempts >= ATTEMPTS_MAX:
        return None
    whole_us = min(DELAY_US_MAX, FIRST_DELAY_US << (attempts - 1))
    delay_us = whole_us - int(random() * (whole_us // 2))
    return max(delay_us, min(retry_after_us or 0, RETRY_AFTER_US_MAX))
