"""What holds of a decision: while what was seen is still so, and for as long as it was meant."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from reconcile.cases.commands import Command, Seen, Snooze
from reconcile.cases.human import COMMANDS_MAX, Human, lapse_of, take_command, untouched
from reconcile.cases.policy import MoneyLimits
from reconcile.cases.standing import Standing, standing
from reconcile.cases.verdicts import Verdicts, decode_verdict, merge_verdict, no_verdicts
from streams.audit_chain import Chain
from streams.case_partition import COMMANDS_TOPIC
from tests.case_log import CASE, POLICY, command, seen, verdict_value
from tests.source_log import START_US
from trueup.case_policy import policy_of
from trueup.settings import CaseSettings


def judged(**fields: Any) -> Verdicts:
    return merge_verdict(no_verdicts(), decode_verdict("wrong-amount", CASE.encode(), verdict_value(**fields), 0))


def decided(*commands: Command) -> Human:
    """The human part after commands that must all be accepted."""
    steered = untouched()
    for offset, one in enumerate(commands):
        steered, answer = take_command(steered, one, offset, POLICY.waive_limit.minor)
        assert answer.outcome == "applied", answer.reason
    return steered.human


def refusal(*commands: Command) -> str:
    """Why the last one is refused."""
    steered = untouched()
    reason = ""
    for offset, one in enumerate(commands):
        steered, answer = take_command(steered, one, offset, POLICY.waive_limit.minor)
        reason = answer.reason
    return reason


AGAIN = {"occurrences": 2, "status": "regressed"}
BY_TIME = command(2, "snooze", 1, snooze=Snooze(START_US + 50, "", None))


@pytest.mark.parametrize(
    ("human", "told", "expected"),
    [
        (decided(command(1, "acknowledge", 0)), {"actual": "9.00"}, Standing("acknowledged", "")),
        (decided(command(1, "acknowledge", 0)), AGAIN, Standing("regressed", "acknowledged before it was raised again")),
        (decided(command(1, "assign", 0)), {}, Standing("assigned", "")),
        (decided(command(1, "waive", 0)), {}, Standing("waived", "")),
        (decided(command(1, "waive", 0)), {"currency": "EUR"}, Standing("open", "waiver lapsed: the amounts changed")),
        (decided(command(1, "resolve", 0)), AGAIN, Standing("regressed", "resolution lapsed: it was raised again")),
        (decided(command(1, "waive", 0)), {"status": "auto-resolved"}, Standing("auto-resolved", "")),
        (decided(command(1, "assign", 0), BY_TIME), AGAIN, Standing("snoozed", "")),
        (decided(command(1, "waive", 0), command(2, "reopen", 1)), {}, Standing("open", "")),
        (decided(command(1, "assign", 0), command(2, "waive", 1), command(3, "reopen", 2)), {}, Standing("assigned", "")),
    ],
)  # fmt: skip
def test_a_decision_holds_for_what_was_seen(human: Human, told: dict[str, Any], expected: Standing) -> None:
    assert standing(judged(**told), human, START_US) == expected


@pytest.mark.parametrize(
    ("snooze", "present", "over"),
    [
        (Snooze(None, "amount-changed", None), seen(actual_minor=851), "snooze over: the amounts changed"),
        (Snooze(None, "comes-back", None), seen(actual_minor=851), ""),
        (Snooze(None, "comes-back", None), seen(occurrence=2), "snooze over: it was raised again"),
        (Snooze(None, "amount-above", 50), seen(), ""),
        (Snooze(None, "amount-above", 50), seen(actual_minor=851), "snooze over: the amount is above the limit"),
        (Snooze(START_US + 11, "comes-back", None), seen(), ""),
        (Snooze(START_US + 10, "comes-back", None), seen(), "snooze over: its time has come"),
    ],
)
def test_a_snooze_ends_by_its_condition_or_its_time(snooze: Snooze, present: Seen, over: str) -> None:
    human = decided(command(1, "snooze", 0, snooze=snooze))
    assert lapse_of(human, present, START_US + 10) == over


def test_after_its_time_a_snoozed_case_stands_where_it_stood() -> None:
    human = decided(command(1, "assign", 0), BY_TIME)
    assert standing(judged(), human, START_US + 49).name == "snoozed"
    assert standing(judged(), human, START_US + 50) == Standing("assigned", "snooze over: its time has come")
    assert standing(judged(**AGAIN), human, START_US + 50).name == "regressed"


def test_what_is_decided_cannot_be_decided_again_until_it_has_lapsed() -> None:
    waived = command(1, "waive", 0)
    assert refusal(waived, command(2, "resolve", 1)) == "resolve is not possible: it is waived"
    assert refusal(waived, command(2, "resolve", 1, seen=seen(actual_minor=900))) == ""
    assert refusal(waived, command(2, "reopen", 1, seen=seen(occurrence=2))) == (
        "reopen is not possible: waiver lapsed: it was raised again"
    )


def test_what_was_asked_for_is_what_must_be_approved() -> None:
    asked = command(1, "waive", 0, seen=seen(actual_minor=90_000))
    other = command(2, "approve", 1, actor="bob", seen=seen(actual_minor=90_001))
    assert "request for a waiver lapsed: the amounts changed" in refusal(asked, other)
    rejected = decided(asked, command(2, "reject", 1, actor="bob", seen=asked.seen))
    assert (rejected.stance, rejected.requester) == ("none", "")


def test_a_discrepancy_takes_so_many_commands() -> None:
    steered = untouched()
    for number in range(COMMANDS_MAX):
        steered, _ = take_command(steered, command(number, "comment", number), number, POLICY.waive_limit.minor)
    last = command(COMMANDS_MAX, "comment", COMMANDS_MAX)
    steered, answer = take_command(steered, last, COMMANDS_MAX, POLICY.waive_limit.minor)
    assert (answer.outcome, answer.reason) == ("refused", "a discrepancy takes 1000 commands")
    assert steered.human.comments == COMMANDS_MAX == len(steered.answers)


def test_limits_are_in_the_minor_units_of_each_currency() -> None:
    limits = MoneyLimits({"default": "100", "JPY": "5000.9", "KWD": "0.0015"})
    assert [limits.minor(currency) for currency in ("USD", "JPY", "KWD", "")] == [10_000, 5_000, 1, 100]


def test_severity_follows_the_stake_and_the_class() -> None:
    urgency = policy_of(CaseSettings()).urgency
    stakes = (999, 1_000, 100_000, 10_000_000)
    assert [urgency.severity("mismatch", Seen(1, 0, stake, "USD")) for stake in stakes] == [
        "low", "medium", "high", "critical",
    ]  # fmt: skip
    assert urgency.severity("one-sided", Seen(1, None, None, "USD")) == "high"
    assert urgency.due_us("critical", START_US) == START_US + 4 * 3_600_000_000


@pytest.mark.parametrize(
    "given",
    [
        {"waive_limit": {"USD": "1"}}, {"waive_limit": {"default": "-1"}}, {"waive_limit": {"default": 1.5}},
        {"waive_limit": {"default": "1", "ABC": "1"}}, {"severity": {"low": {"default": "1"}}},
        {"severity_by_class": {"mismatch": "low"}}, {"due_hours": {"low": 1}},
    ],
)  # fmt: skip
def test_settings_that_leave_something_open_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CaseSettings.model_validate(given)


def test_a_chain_that_ends_too_early_is_broken() -> None:
    whole, short = Chain(COMMANDS_TOPIC, 3), Chain(COMMANDS_TOPIC, 3)
    whole.must_reach(0)
    short.must_reach(1)
    assert whole.broken is None
    assert short.broken is not None
    assert (short.broken.partition, short.broken.kafka_offset) == (3, 0)
