"""The row of `case_wide` that a case's state gives. Pure: the clock is left to the view."""

from __future__ import annotations

from typing import Final

from reconcile.cases.commands import Snooze, stake_minor
from reconcile.cases.policy import Urgency
from reconcile.cases.standing import standing
from reconcile.cases.verdicts import Occurrence, Subject
from streams.case_state import CaseState
from streams.messages import scaled_or_none
from streams.order_state import month_of

FAR_US: Final = 2**63
"""After the end of every snooze."""

_NOBODY: Final = Subject("", 0, "", "", "", "", "", "", "", "", 0)
_NO_SNOOZE: Final = Snooze(None, "", None)


def case_wide_row(
    state: CaseState, encoded: bytes, partition: int, version: int, urgency: Urgency
) -> tuple[object, ...]:
    """One row of the table `case_wide`, in its column order."""
    verdicts, human = state.verdicts, state.steered.human
    subject = _NOBODY if verdicts.newest is None else verdicts.newest[2]
    asleep, awake = standing(verdicts, human, 0), standing(verdicts, human, FAR_US)
    # A snooze whose condition has come to pass is over, whatever its time.
    snooze = human.snooze if asleep.name == "snoozed" and human.snooze is not None else _NO_SNOOZE
    return (
        state.discrepancy_id, partition, version, subject.rule, subject.kind, subject.direction, subject.entity_kind,
        subject.entity_id, subject.order_id, subject.statement_id, subject.shop_id, *_amounts(verdicts.last),
        subject.detail, _stake(verdicts.last), asleep.name, awake.name, verdicts.last.status if verdicts.last else "", asleep.lapse,
        human.assignee, snooze.until_us, snooze.condition, human.requester, human.note, human.comments, human.revision,
        *_times(state, subject, urgency), *_occurrences(state), encoded,
    )  # fmt: skip


def _amounts(last: Occurrence | None) -> tuple[object, ...]:
    """Currency, expected, actual, delta."""
    if last is None:
        return "", None, None, None
    expected, actual, currency = last.expected_minor, last.actual_minor, last.currency
    delta = None if expected is None or actual is None else actual - expected
    return currency, *(scaled_or_none(amount, currency) for amount in (expected, actual, delta))


def _stake(occurrence: Occurrence | None) -> int | None:
    return None if occurrence is None else scaled_or_none(stake_minor(occurrence.seen), occurrence.currency)


def _times(state: CaseState, subject: Subject, urgency: Urgency) -> tuple[object, ...]:
    """Occurrences, severity, and when it is due, was first and last raised, resolved, and last touched."""
    verdicts, human = state.verdicts, state.steered.human
    last = verdicts.last
    if last is None:
        return 0, "", None, None, None, None, human.at_us
    severity = urgency.severity(subject.kind, last.seen)
    first = verdicts.occurrences[min(verdicts.occurrences)]
    return (
        last.number, severity, urgency.due_us(severity, last.raised_us), first.raised_us, last.raised_us,
        _resolved_us(last), max(subject.detected_us, human.at_us),
    )  # fmt: skip


def _occurrences(state: CaseState) -> tuple[list[object], ...]:
    """The parallel lists by occurrence: number, raised, period, resolved, currency, stake."""
    held = [state.verdicts.occurrences[number] for number in sorted(state.verdicts.occurrences)]
    return (
        [one.number for one in held],
        [one.raised_us for one in held],
        [month_of(one.raised_us) for one in held],
        [_resolved_us(one) for one in held],
        [one.currency for one in held],
        [_stake(one) for one in held],
    )


def _resolved_us(occurrence: Occurrence) -> int | None:
    return None if occurrence.is_open else occurrence.resolved_us
