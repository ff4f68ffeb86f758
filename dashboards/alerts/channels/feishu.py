"""Custom bots of Feishu and Lark: an interactive card, signed where the bot asks for it. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any, Final

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

_TEMPLATES: Final = {"bad": "red", "good": "green", "plain": "blue"}
_TOO_FAST: Final = frozenset({9499, 11232, 11233})
"""Codes of Feishu for too many requests."""


def post_of(url: str, secret: str, message: Message, key: str, now_us: int) -> Post:
    """The request of a message; signed when there is a secret."""
    colon = WORDS[message.language].colon
    fields = [{"is_short": True, "text": _text(f"{label}{colon}{value}")} for label, value in message.facts]
    elements: list[dict[str, Any]] = [{"tag": "div", "fields": fields}]
    elements += [{"tag": "div", "text": _text(line)} for line in message.lines]
    button = {"tag": "button", "text": _text(message.link_text), "url": message.link, "type": "default"}
    elements.append({"tag": "action", "actions": [button]})
    card = {
        "config": {"wide_screen_mode": True},
        "header": {"title": _text(message.title), "template": _TEMPLATES[message.tone]},
        "elements": elements,
    }
    document: dict[str, Any] = {"msg_type": "interactive", "card": card}
    if secret:
        timestamp = str(now_us // 1_000_000)
        document = {"timestamp": timestamp, "sign": signature(secret, timestamp), **document}
    return Post(url, {"Content-Type": "application/json", "Idempotency-Key": key}, orjson.dumps(document))


def signature(secret: str, timestamp: str) -> str:
    """Feishu's own: the timestamp and the secret, one below the other, are the key, and nothing is signed with it."""
    return base64.b64encode(hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()).decode()


def outcome_of(answer: Answer, now_us: int) -> Outcome:
    """What the answer means: Feishu answers 200 to what it refuses, and says so in `code`."""
    outcome = outcome_by_status(answer, now_us)
    if outcome.state != ARRIVED:
        return outcome
    held = json_object(answer.body)
    code = held.get("code", held.get("StatusCode"))
    if code == 0:
        return OK
    return Outcome(AGAIN if code in _TOO_FAST else REFUSED, f"Feishu: {excerpt(answer.body)}")


def _text(content: str) -> dict[str, str]:
    return {"tag": "plain_text", "content": content}
