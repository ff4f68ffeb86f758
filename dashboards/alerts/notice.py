"""What an alert tells of one discrepancy: the facts of its verdict, in text that JSON keeps exactly. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from reconcile.cases.commands import stake_minor
from reconcile.cases.policy import Urgency
from reconcile.cases.verdicts import Verdict
from trueup.model.money import to_text


class Notice(NamedTuple):
    """One discrepancy as a judge told it last.

    `expected` and `actual` are decimal text in major units of `currency`, None where there is none; `stake_minor` is what is
    in question, in minor units. Times are µs since the epoch.
    """

    discrepancy_id: str
    occurrence: int
    rule: str
    kind: str
    direction: str
    severity: str
    entity_kind: str
    entity_id: str
    order_id: str
    statement_id: str
    shop_id: str
    currency: str
    expected: str | None
    actual: str | None
    stake_minor: int | None
    detail: str
    raised_us: int
    detected_us: int

    @classmethod
    def of(cls, held: dict[str, Any]) -> Notice:
        """The notice in a JSON object that `_asdict` made."""
        return cls(**held)


def notice_of(verdict: Verdict, urgency: Urgency) -> Notice:
    """What an alert would tell of a verdict."""
    subject, occurrence = verdict.subject, verdict.occurrence
    seen = occurrence.seen
    currency = occurrence.currency
    expected, actual = (
        to_text(amount, currency) if currency else None
        for amount in (occurrence.expected_minor, occurrence.actual_minor)
    )
    return Notice(
        verdict.discrepancy_id, occurrence.number, subject.rule, subject.kind, subject.direction,
        urgency.severity(subject.kind, seen), subject.entity_kind, subject.entity_id, subject.order_id,
        subject.statement_id, subject.shop_id, currency, expected, actual, stake_minor(seen), subject.detail,
        occurrence.raised_us, subject.detected_us,
    )  # fmt: skip
