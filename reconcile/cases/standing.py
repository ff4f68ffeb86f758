"""Where a discrepancy stands: a function of what the judges said, what people decided, and the time. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from reconcile.cases.human import Human, lapse_of
from reconcile.cases.verdicts import Verdicts

UNKNOWN: Final = "unknown"
"""Commands have arrived for something that no judge has told of yet."""


class Standing(NamedTuple):
    """`name` is open, acknowledged, assigned, snoozed, waive-requested, waived, resolved, auto-resolved, regressed or unknown;
    `lapse` says why an earlier decision of a person no longer holds, or is empty.
    """

    name: str
    lapse: str


def standing(verdicts: Verdicts, human: Human, now_us: int) -> Standing:
    """Where the discrepancy stands at `now_us` (µs since the epoch); only the end of a snooze depends on the time.

    Books that agree outrank every decision. A decision holds for what the person saw; when that has changed, the
    discrepancy is open or regressed again.
    """
    last = verdicts.last
    if last is None:
        return Standing(UNKNOWN, "")
    if not last.is_open:
        return Standing("auto-resolved", "")
    lapse = lapse_of(human, last.seen, now_us)
    if not lapse:
        return Standing(last.status if human.stance == "none" else human.stance, "")
    same = human.seen is not None and human.seen.occurrence == last.number
    if human.stance == "snoozed" and same and human.rest != "none":
        return Standing(human.rest, lapse)
    return Standing(last.status, lapse)
