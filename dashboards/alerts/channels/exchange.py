"""What goes to a channel over HTTP and what comes back, and what came of a message. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import orjson

from dashboards.alerts.message import plain

REASON_CHARS_MAX: Final = 200
_SECOND_US: Final = 1_000_000
_REQUEST_TIMEOUT: Final = 408
_TOO_EARLY: Final = 425
_TOO_MANY: Final = 429


class Post(NamedTuple):
    """One HTTP POST. The address is a secret: it must not appear in logs or errors."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What came back: status, headers by lower-case name, and the beginning of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outcome(NamedTuple):
    """What came of sending: sent, to be tried again, or refused for good; `retry_after_us` is what the channel asked for."""

    state: str
    reason: str = ""
    retry_after_us: int | None = None


ARRIVED: Final = "arrived"
AGAIN: Final = "again"
REFUSED: Final = "refused"

OK: Final = Outcome(ARRIVED)


def outcome_by_status(answer: Answer, now_us: int) -> Outcome:
    """What an HTTP status means: 2xx arrived; 408, 425, 429 and 5xx try again; the rest, redirects included, is refused."""
    status = answer.status
    if 200 <= status < 300:
        return OK
    if 300 <= status < 400:
        return Outcome(REFUSED, f"HTTP {status}: redirects are not followed; give the final address")
    said = excerpt(answer.body)
    reason = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if status in {_REQUEST_TIMEOUT, _TOO_EARLY, _TOO_MANY} or status >= 500:
        return Outcome(AGAIN, reason, retry_after_us(answer.headers.get("retry-after", ""), now_us))
    return Outcome(REFUSED, reason)


def retry_after_us(text: str, now_us: int) -> int | None:
    """How long a `Retry-After` header asks to wait: seconds or a date; None where it says nothing usable."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        return int(text) * _SECOND_US
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0, int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * _SECOND_US - now_us)


def excerpt(body: bytes) -> str:
    """The beginning of an answer, on one line."""
    return plain(body.decode("utf-8", "replace"), REASON_CHARS_MAX)


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer; {} where it is none."""
    try:
        held = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return held if isinstance(held, dict) else {}
