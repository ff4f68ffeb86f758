"""Custom robots of DingTalk: Markdown, signed in the address where the robot asks for it. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final
from urllib.parse import quote_plus

import orjson

from dashboards.alerts.channels.exchange import (
    AGAIN,
    ARRIVED,
    OK,
    REFUSED,
    Answer,
    Outcome,
    Post,
    excerpt,
    json_object,
    outcome_by_status,
)
from dashboards.alerts.message import Message
from dashboards.alerts.wording import WORDS

_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+!|<>~-])")
_TOO_FAST: Final = frozenset({90030, 130101})
_BUSY: Final = -1
THROTTLED_US: Final = 600_000_000
"""A robot that was too fast is shut out for ten minutes."""


def post_of(url: str, secret: str, message: Message, key: str, now_us: int) -> Post:
    """The request of a message; the address is signed when there is a secret."""
    colon = WORDS[message.language].colon
    parts = [f"#### {_escaped(message.title)}"]
    parts += [f"- **{_escaped(label)}**{colon}{_escaped(value)}" for label, value in message.facts]
    parts += [
        "",
        *(f"> {_escaped(line)}\n" for line in message.lines),
        f"[{_escaped(message.link_text)}]({message.link})",
    ]
    document = {"msgtype": "markdown", "markdown": {"title": message.title, "text": "\n".join(parts)}}
    if secret:
        timestamp = str(now_us // 1_000)
        url = f"{url}{'&' if '?' in url else '?'}timestamp={timestamp}&sign={quote_plus(signature(secret, timestamp))}"
    return Post(url, {"Content-Type": "application/json", "Idempotency-Key": key}, orjson.dumps(document))


def signature(secret: str, timestamp: str) -> str:
    """Base64 of the HMAC-SHA256 of the timestamp in milliseconds and the secret, one below the other."""
    return base64.b64encode(
        hmac.new(secret.encode(), f"{timestamp}\n{secret}".encode(), hashlib.sha256).digest()
    ).decode()


def outcome_of(answer: Answer, now_us: int) -> Outcome:
    """What the answer means: DingTalk answers 200 to what it refuses, and says so in `errcode`."""
    outcome = outcome_by_status(answer, now_us)
    if outcome.state != ARRIVED:
        return outcome
    code = json_object(answer.body).get("errcode")
    if code == 0:
        return OK
    reason = f"DingTalk: {excerpt(answer.body)}"
    if code in _TOO_FAST:
        return Outcome(AGAIN, reason, THROTTLED_US)
    return Outcome(AGAIN if code == _BUSY else REFUSED, reason)


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)
