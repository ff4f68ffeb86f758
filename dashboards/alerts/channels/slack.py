"""Slack's incoming webhooks: blocks, with a plain text for notifications. Pure."""

from __future__ import annotations

from typing import Final

import orjson

from dashboards.alerts.channels.exchange import Answer, Outcome, Post, outcome_by_status
from dashboards.alerts.message import Message

FIELDS_MAX: Final = 10
"""Slack takes so many fields in a section."""


def post_of(url: str, _secret: str, message: Message, key: str, _now_us: int) -> Post:
    """The request of a message."""
    fields = [{"type": "mrkdwn", "text": f"*{_escaped(label)}*\n{_escaped(value)}"} for label, value in message.facts][
        :FIELDS_MAX
    ]
    blocks: list[dict[str, object]] = [
        {"type": "header", "text": {"type": "plain_text", "text": message.title, "emoji": False}},
        {"type": "section", "fields": fields},
    ]
    blocks += [
        {"type": "section", "text": {"type": "plain_text", "text": line, "emoji": False}} for line in message.lines
    ]
    link = f"<{_escaped(message.link)}|{_escaped(message.link_text)}>"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": link}]})
    body = orjson.dumps({"text": _escaped(message.title), "blocks": blocks, "unfurl_links": False})
    return Post(url, {"Content-Type": "application/json", "Idempotency-Key": key}, body)


def outcome_of(answer: Answer, now_us: int) -> Outcome:
    """What the answer means: Slack says all by the status."""
    return outcome_by_status(answer, now_us)


def _escaped(text: str) -> str:
    """Text that Slack shows as it is: no link, mention or formatting in it works."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Word joiners, which nobody sees, keep *, _, ~ and ` from pairing up.
    return "".join(f"\u2060{char}\u2060" if char in "*_~`" else char for char in text)
