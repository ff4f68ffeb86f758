"""A webhook of one's own: the alert as JSON, signed with HMAC-SHA256. Pure.

The signature is over `<timestamp>.<body>`, the timestamp in whole seconds since the epoch as in the header. Who receives it
computes the same, compares in constant time, and refuses timestamps that are further than `REPLAY_SECONDS` from its own clock.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import orjson

from dashboards.alerts.channels.exchange import Answer, Outcome, Post, outcome_by_status
from dashboards.alerts.message import Message

REPLAY_SECONDS: Final = 300
"""Documented for receivers: every attempt is signed anew, so that an honest one is never older."""


def post_of(url: str, secret: str, message: Message, key: str, now_us: int) -> Post:
    """The signed request of a message."""
    body = orjson.dumps({"key": key, **message.document, "title": message.title, "language": message.language})
    timestamp = str(now_us // 1_000_000)
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": key,
        "Trueup-Timestamp": timestamp,
        "Trueup-Signature": f"v1={signature(secret, timestamp, body)}",
    }
    return Post(url, headers, body)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Hexadecimal HMAC-SHA256 of `<timestamp>.<body>`."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def outcome_of(answer: Answer, now_us: int) -> Outcome:
    """What the answer means."""
    return outcome_by_status(answer, now_us)
