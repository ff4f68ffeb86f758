"""Requests to channels over HTTP: to the address that was checked, bounded in time and size, never redirected."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final

import httpx

from dashboards.alerts.channels.exchange import AGAIN, REFUSED, Answer, Outcome, Post
from dashboards.alerts.declared import DeclaredTargets
from dashboards.alerts.targets import TargetRefused, bracketed, checked_address, target_of

CONNECT_SECONDS_MAX: Final = 5.0
STEP_SECONDS_MAX: Final = 10.0
TOTAL_SECONDS_MAX: Final = 20.0
ANSWER_BYTES_MAX: Final = 65_536

Resolve = Callable[[str, int], Sequence[str]]
"""Host and port → its addresses as text. Errors: OSError."""


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host as the system knows them, each once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class HttpSender:
    """Sends requests to listed targets; threads may share it.

    Args:
        targets: whom alerts may reach.
        resolve: how names are looked up: once for each request, and the connection goes to what was found then.
        tls: how servers prove their names; None for the system's authorities.
        total_seconds_max: of one request, from connecting to the end of the answer.
    """

    def __init__(
        self,
        targets: DeclaredTargets,
        *,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
        total_seconds_max: float = TOTAL_SECONDS_MAX,
    ) -> None:
        self._targets = targets
        self._resolve = resolve
        self._tls = tls or ssl.create_default_context()
        self._total_seconds_max = total_seconds_max

    def send(self, post: Post) -> Answer | Outcome:
        """The answer, or why there is none; neither tells the address, which is a secret."""
        try:
            target = target_of(post.url, self._targets)
            addresses = self._resolve(target.host, target.port)
            address = checked_address(target.host, addresses, self._targets, is_encrypted=target.scheme == "https")
        except TargetRefused as error:
            return Outcome(REFUSED, error.what)
        except (OSError, UnicodeError):
            return Outcome(AGAIN, "the name of the host cannot be looked up")
        request = httpx.Request(
            "POST",
            f"{target.scheme}://{bracketed(address)}:{target.port}{target.path}",
            headers={**post.headers, "Host": target.host_header, "User-Agent": "trueup", "Accept-Encoding": "identity"},
            content=post.body,
            extensions={"sni_hostname": target.host},
        )
        try:
            return asyncio.run(self._exchange(request))
        except TimeoutError:
            return Outcome(AGAIN, f"no answer within {self._total_seconds_max:g} s")
        except httpx.HTTPError as error:
            # The words of some errors have the address in them.
            return Outcome(AGAIN, f"no connection: {type(error).__name__}")

    async def _exchange(self, request: httpx.Request) -> Answer:
        timeout = httpx.Timeout(STEP_SECONDS_MAX, connect=CONNECT_SECONDS_MAX)
        request.extensions["timeout"] = timeout.as_dict()
        async with (
            asyncio.timeout(self._total_seconds_max),
            httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, timeout=timeout) as client,
        ):
            response = await client.send(request, stream=True)
            try:
                body = b""
                async for part in response.aiter_raw():
                    body += part
                    if len(body) >= ANSWER_BYTES_MAX:
                        break
            finally:
                await response.aclose()
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, headers, body[:ANSWER_BYTES_MAX])
