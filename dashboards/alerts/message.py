"""What a message says, in English or Chinese, before a channel gives it its shape. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from dashboards.alerts.digest import Digest, told_count
from dashboards.alerts.notice import Notice
from dashboards.alerts.vocabulary import DIGEST, RAISED, REMINDER, RESOLVED, TEST
from dashboards.alerts.wording import WORDS, Words
from trueup.model.money import shown, to_decimal

VALUE_CHARS_MAX: Final = 300
"""Chats take some 20 kB a message; the widest characters, each escaped, still fit then."""

TITLE_CHARS_MAX: Final = 140
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNSEEN: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
"""White space, and characters that hide or turn round what is beside them."""


class Message(NamedTuple):
    """One message: a title, facts as (label, value), free lines below them, and a link with its text.

    `tone` is bad, good or plain. `document` is the same for programs.
    """

    title: str
    facts: list[tuple[str, str]]
    lines: list[str]
    link: str
    link_text: str
    tone: str
    language: str
    document: dict[str, Any]


def plain(text: str, chars_max: int = VALUE_CHARS_MAX) -> str:
    """The text on one line, without characters that nobody sees, cut where it is too long."""
    line = _UNSEEN.sub(" ", text).strip()
    return line if len(line) <= chars_max else line[: chars_max - 1] + "…"


def message_of(body: Mapping[str, Any], language: str, base_url: str) -> Message:
    """The message of a body in the outbox, as `body_of_notice`, `body_of_digest` or `body_of_test` made it."""
    words = WORDS[language]
    base = base_url.rstrip("/")
    if body["kind"] == DIGEST:
        return _of_digest(Digest.of(body["digest"]), body, words, language, base)
    if body["kind"] == TEST:
        link = f"{base}/"
        document = {"version": 1, "event": TEST, "route": body["route"], "url": link}
        facts = [(words.route, body["route"])]
        return Message(words.test_title, facts, [words.test_line], link, words.open_board, "plain", language, document)
    return _of_notice(Notice.of(body["notice"]), body, words, language, base)


def body_of_notice(kind: str, route: str, notice: Notice, reminder: int = 0) -> dict[str, Any]:
    """What the outbox keeps of a message about one discrepancy."""
    return {"kind": kind, "route": route, "reminder": reminder, "notice": notice._asdict()}


def body_of_digest(digest: Digest) -> dict[str, Any]:
    """What the outbox keeps of a digest."""
    return {"kind": DIGEST, "digest": digest.document()}


def body_of_test(route: str) -> dict[str, Any]:
    """A message that only shows that a route works."""
    return {"kind": TEST, "route": route}


def _of_notice(notice: Notice, body: Mapping[str, Any], words: Words, language: str, base: str) -> Message:
    kind = body["kind"]
    stake = _money(notice.stake_minor, notice.currency)
    heading = {
        RAISED: words.raised if notice.occurrence == 1 else words.raised_again.format(count=notice.occurrence),
        REMINDER: words.reminder.format(count=body["reminder"]),
        RESOLVED: words.resolved,
    }[kind]
    title = " · ".join(filter(None, (heading, plain(notice.rule), stake)))
    # A seller, order or statement that the discrepancy has nothing to do with is not told as empty.
    facts = [
        (label, plain(value))
        for label, value in (
            (words.severity, words.severities[notice.severity]),
            (words.kind, words.kinds[notice.kind]),
            (words.entity, f"{notice.entity_kind} {notice.entity_id}"),
            (words.expected, _amount(notice.expected, notice.currency)),
            (words.actual, _amount(notice.actual, notice.currency)),
            (words.seller, notice.shop_id),
            (words.order, notice.order_id),
            (words.statement, notice.statement_id),
            (words.since, moment(notice.raised_us)),
        )
        if value
    ]
    link = f"{base}/discrepancies/{notice.discrepancy_id}"
    lines = [plain(notice.detail)] if notice.detail else []
    tone = "good" if kind == RESOLVED else "bad"
    at_stake = None if notice.stake_minor is None or not notice.currency else str(_decimal(notice))
    facts_for_programs = {**notice._asdict(), "class": notice.kind, "at_stake": at_stake}
    for inner in ("kind", "stake_minor"):
        del facts_for_programs[inner]
    document = {
        "version": 1, "event": kind, "route": body["route"], "reminder": body["reminder"], "url": link,
        "discrepancy": facts_for_programs,
    }  # fmt: skip
    return Message(plain(title, TITLE_CHARS_MAX), facts, lines, link, words.open_case, tone, language, document)


def _of_digest(digest: Digest, body: Mapping[str, Any], words: Words, language: str, base: str) -> Message:
    title = words.digest.format(count=f"{told_count(digest):,}")
    counts = words.comma.join(f"{words.digest_kinds[kind]} {count:,}" for kind, count in digest.kinds.items())
    rules = words.comma.join(f"{plain(rule)} {count:,}" for rule, count in digest.rules.items())
    more = words.more_rules.format(count=digest.more_rules) if digest.more_rules else ""
    sums = words.comma.join(shown(Decimal(total), currency) for currency, total in digest.sums.items())
    facts = [
        (label, plain(value))
        for label, value in (
            (words.counts, counts),
            (words.rules, rules + more),
            (words.at_stake, sums),
            (words.period, f"{moment(digest.from_us)} – {moment(digest.until_us)}"),
        )
        if value
    ]
    lines = [
        words.comma.join(
            filter(
                None,
                (
                    words.severities[notice.severity],
                    plain(notice.rule),
                    _money(notice.stake_minor, notice.currency),
                    plain(f"{notice.entity_kind} {notice.entity_id}", 120),
                ),
            )
        )
        for notice in digest.top
    ]
    link = f"{base}/discrepancies"
    tone = "good" if set(digest.kinds) == {RESOLVED} else "bad"
    top = [notice.discrepancy_id for notice in digest.top]
    told = {key: value for key, value in digest._asdict().items() if key != "top"}
    document = {"version": 1, "event": body["kind"], "url": link, "digest": {**told, "top": top}}
    return Message(title, facts, lines, link, words.open_list, tone, language, document)


def moment(at_us: int) -> str:
    """A time for people everywhere: to the second, in UTC."""
    return f"{_EPOCH + timedelta(microseconds=at_us):%Y-%m-%d %H:%M:%S} UTC"


def _decimal(notice: Notice) -> Decimal:
    return to_decimal(notice.stake_minor or 0, notice.currency)


def _money(amount_minor: int | None, currency: str) -> str:
    return "" if amount_minor is None or not currency else shown(to_decimal(amount_minor, currency), currency)


def _amount(text: str | None, currency: str) -> str:
    return "" if text is None else shown(Decimal(text), currency)
