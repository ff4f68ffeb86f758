"""A likely cause: its name, and the evidence in words with the figures that led to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from trueup.model.money import to_text

CAUSES: Final[dict[str, str]] = {
    "late": "the row is on its way, or came after its time",
    "lost-message": "rows that follow the missing one are here, so it was made, and its change never arrived",
    "row-deleted": "the row was here and the source deleted it",
    "duplicate-delivery": "the same row twice within a minute: a delivery or retry that was taken twice upstream",
    "run-twice": "the same business key and amount again, much later: a job ran a second time",
    "id-clash": "two sources gave one id to different rows",
    "factor-edited": "an amount or factor was changed after it had been billed or paid",
    "wrong-rule-version": "billed by one version of the charging rules, charged by another since",
    "fee-left-out": "the difference is the order's fee",
    "tax-left-out": "the difference is the order's tax",
    "fee-and-tax-left-out": "the difference is fee and tax of the order together",
    "items-left-out": "the total leaves out rows that are there",
    "stray-lines": "the difference is payout lines that name no billing item",
    "sign-flipped": "the same amount with the opposite sign",
    "currency-exponent": "a power of ten off, as between currencies of different minor units or between scales",
    "currency-relabelled": "the same number under another currency's code",
    "rounding-unit": "no more than one minor unit for each row",
    "step-skipped": "a status was set without the steps that lead to it",
    "reopened": "a status was set back, or a final one changed",
    "unknown": "no evidence fits",
}
"""Every cause and its meaning."""


class Cause(NamedTuple):
    """Why the books probably disagree: a name out of `CAUSES`, and what the books show for it."""

    name: str
    detail: str


def money(amount_minor: int, currency: str) -> str:
    """An amount for people, such as `-12.30 USD`."""
    return f"{to_text(amount_minor, currency)} {currency}"


def at(time_us: int) -> str:
    """A time for people, in UTC to the second."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def span(duration_us: int) -> str:
    """A duration for people: `0.4 s` below ten seconds, whole seconds, minutes, hours or days above."""
    tenths = abs(duration_us) // 100_000
    if tenths < 100:
        return f"{tenths // 10}.{tenths % 10} s"
    seconds = tenths // 10
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def late(what: str, first_us: int, due_us: int, deadline: str = "it was due") -> Cause:
    """The row came after all; `deadline` says what it was too late for."""
    return Cause("late", f"{what} came at {at(first_us)}, {span(first_us - due_us)} after {deadline}")


def deleted(what: str, register: Any) -> Cause:
    """The source deleted the row that is missing; `register` is the register of any table."""
    return Cause("row-deleted", f"{what} was deleted at {at(register.commit_us)}")
