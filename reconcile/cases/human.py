"""The human part of a discrepancy: a fold over the commands of people, which depends on the command log alone. Pure.

No verdict is looked at. What a command is about stands in the command itself (`seen`), so whether it is accepted is the same
whenever verdicts arrive, and a replay answers every command as it was answered first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from reconcile.cases.commands import Command, Seen, Snooze, stake_minor

Stance = Literal["none", "acknowledged", "assigned", "snoozed", "waive-requested", "waived", "resolved"]

COMMANDS_MAX: Final = 1_000
"""Commands answered per discrepancy; further ones are refused."""

_RESTING: Final = frozenset({"none", "acknowledged", "assigned", "snoozed"})
ALLOWED: Final[dict[str, frozenset[str]]] = {
    "acknowledge": frozenset({"none"}),
    "assign": _RESTING,
    "snooze": _RESTING,
    "unsnooze": frozenset({"snoozed"}),
    "waive": _RESTING,
    "approve": frozenset({"waive-requested"}),
    "reject": frozenset({"waive-requested"}),
    "resolve": _RESTING,
    "reopen": frozenset({"waived", "resolved"}),
    "comment": _RESTING | {"waive-requested", "waived", "resolved"},
}
"""Command → the stances in which it is accepted, a stance that has lapsed counting as none."""

WaiveLimit = Callable[[str], int]
"""Currency → the highest stake, in minor units, that one person may waive."""


class Human(NamedTuple):
    """What people have decided. `revision` counts the accepted commands; `seen` is what the stance is about.

    `rest` is the stance to go back to when a snooze or a request ends; `note` is of the last decision, `actor` and `at_us` of
    the last accepted command.
    """

    revision: int = 0
    stance: Stance = "none"
    rest: Stance = "none"
    seen: Seen | None = None
    assignee: str = ""
    snooze: Snooze | None = None
    requester: str = ""
    note: str = ""
    comments: int = 0
    actor: str = ""
    at_us: int = 0


class Answer(NamedTuple):
    """How the command at an offset was answered: applied, or refused with the reason; the revision after it."""

    offset: int
    outcome: Literal["applied", "refused", "repeated"]
    reason: str
    revision: int


class Steered(NamedTuple):
    """The human part with the answers to its commands, by command id."""

    human: Human
    answers: dict[str, Answer]


def untouched() -> Steered:
    """Before the first command."""
    return Steered(Human(), {})


def take_command(steered: Steered, command: Command, offset: int, waive_limit: WaiveLimit) -> tuple[Steered, Answer]:
    """Answer one command; `steered.answers` is changed in place.

    A command is known by its id: at the same offset it is a replay and gets its first answer, at another one it is
    repeated and changes nothing.
    """
    human, answers = steered
    known = answers.get(command.command_id)
    if known is not None:
        if known.offset == offset:
            return steered, known
        return steered, Answer(offset, "repeated", f"it was {known.outcome} before", known.revision)
    if len(answers) >= COMMANDS_MAX:
        reason = f"a discrepancy takes {COMMANDS_MAX} commands"
        return steered, Answer(offset, "refused", reason, human.revision)
    refusal = refusal_of(human, command)
    if refusal:
        answer = Answer(offset, "refused", refusal, human.revision)
    else:
        human = _applied(human, command, waive_limit)
        answer = Answer(offset, "applied", "", human.revision)
    answers[command.command_id] = answer
    return Steered(human, answers), answer


def refusal_of(human: Human, command: Command) -> str:
    """Why a command cannot be accepted now; "" when it can."""
    if command.expected_revision != human.revision:
        return (
            f"it was decided at revision {command.expected_revision}, "
            f"but the discrepancy is at revision {human.revision} ({human.stance})"
        )
    lapse = lapse_of(human, command.seen, command.at_us)
    stance = "none" if lapse else human.stance
    if stance not in ALLOWED[command.kind]:
        return f"{command.kind} is not possible: {lapse or f'it is {stance}'}"
    if command.kind == "approve" and command.actor == human.requester:
        return "a waiver is approved by another person than the one who asked for it"
    return ""


def lapse_of(human: Human, present: Seen, now_us: int) -> str:
    """Why the stance does not cover what is present; "" while it does."""
    seen = human.seen
    if seen is None or human.stance == "none":
        return ""
    again = present.occurrence != seen.occurrence
    amounts = present[1:] != seen[1:]
    if human.stance in {"acknowledged", "assigned"}:
        return f"{human.stance} before it was raised again" if again else ""
    if human.stance == "snoozed":
        over = _snooze_over(human.snooze, present, now_us, again=again, amounts=amounts)
        return over and f"snooze over: {over}"
    name = {"waived": "waiver", "resolved": "resolution", "waive-requested": "request for a waiver"}[human.stance]
    if again:
        return f"{name} lapsed: it was raised again"
    return f"{name} lapsed: the amounts changed" if amounts else ""


def _snooze_over(snooze: Snooze | None, present: Seen, now_us: int, *, again: bool, amounts: bool) -> str:
    assert snooze is not None
    if snooze.until_us is not None and now_us >= snooze.until_us:
        return "its time has come"
    if not snooze.condition:
        return ""
    if again:
        return "it was raised again"
    if snooze.condition == "amount-changed" and amounts:
        return "the amounts changed"
    if snooze.condition == "amount-above" and (stake_minor(present) or 0) > (snooze.limit_minor or 0):
        return "the amount is above the limit"
    return ""


def _applied(human: Human, command: Command, waive_limit: WaiveLimit) -> Human:
    """The human part after an accepted command."""
    kind = command.kind
    human = human._replace(revision=human.revision + 1, actor=command.actor, at_us=command.at_us)
    if kind == "comment":
        return human._replace(comments=human.comments + 1)
    rest = _rest(human, command)
    note = command.note or human.note
    human = human._replace(seen=command.seen, rest=rest, snooze=command.snooze, requester="", note=note)
    if kind == "assign":
        return human._replace(stance="assigned", rest="assigned", assignee=command.assignee)
    if kind == "waive" and (stake_minor(command.seen) or 0) > waive_limit(command.seen.currency):
        return human._replace(stance="waive-requested", requester=command.actor)
    if kind in {"unsnooze", "reject", "reopen"}:
        return human._replace(stance=rest)
    after: dict[str, Stance] = {
        "acknowledge": "acknowledged", "snooze": "snoozed", "waive": "waived", "approve": "waived",
        "resolve": "resolved",
    }  # fmt: skip
    stance = after[kind]
    return human._replace(stance=stance, rest="acknowledged" if stance == "acknowledged" else rest)


def _rest(human: Human, command: Command) -> Stance:
    """The stance below a snooze, a request or a decision; an acknowledgement ends with its occurrence."""
    if human.seen is not None and human.seen.occurrence != command.seen.occurrence:
        return "none"
    return human.stance if human.stance in {"none", "acknowledged", "assigned"} else human.rest
