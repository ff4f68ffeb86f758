"""What people say about a discrepancy: one command, read strictly from its message. Pure."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, NamedTuple

import orjson

from reconcile.cases.fields import COUNT_MAX, Fields, check_key, read_fields
from trueup.model.money import to_text

Kind = Literal[
    "acknowledge", "assign", "snooze", "unsnooze", "waive", "approve", "reject", "resolve", "reopen", "comment"
]
KINDS: Final = frozenset(
    {"acknowledge", "assign", "snooze", "unsnooze", "waive", "approve", "reject", "resolve", "reopen", "comment"}
)
NOTE_REQUIRED: Final = frozenset({"waive", "resolve", "comment"})
CONDITIONS: Final = frozenset({"amount-changed", "comes-back", "amount-above"})
"""What can end a snooze: the amounts change, it is raised again, its difference grows above a limit."""

ACTOR_CHARS_MAX: Final = 200
NOTE_CHARS_MAX: Final = 4_000

_FIELDS: Final = frozenset(
    {"command_id", "discrepancy_id", "kind", "actor", "at_us", "expected_revision", "seen", "args"}
)
_ARGUMENTS: Final = {"assign": {"to"}, "snooze": {"until_us", "condition", "limit"}}
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DISCREPANCY_ID: Final = re.compile(r"[0-9a-f]{32}")
_CODE: Final = "malformed-command"


class Seen(NamedTuple):
    """What a person saw when they decided: the occurrence, and its amounts in minor units of the currency."""

    occurrence: int
    expected_minor: int | None
    actual_minor: int | None
    currency: str


class Snooze(NamedTuple):
    """Until when a discrepancy is to rest: a time (µs since the epoch), a condition, or whichever comes first."""

    until_us: int | None
    condition: str
    limit_minor: int | None


class Command(NamedTuple):
    """One command. `expected_revision` is how many commands the person knew to be accepted before theirs."""

    command_id: str
    discrepancy_id: str
    kind: str
    actor: str
    at_us: int
    expected_revision: int
    seen: Seen
    note: str = ""
    assignee: str = ""
    snooze: Snooze | None = None


def decode_command(key: bytes | None, value: bytes | None) -> Command:
    """The command in a message of `trueup.case-commands`. Errors: InvalidRecord, naming the field."""
    fields = read_fields(value, _CODE)
    fields.only(_FIELDS)
    kind = fields.choice("kind", KINDS)
    seen = _seen(fields.inner("seen"))
    arguments = fields.inner("args")
    arguments.only({"note"} | _ARGUMENTS.get(kind, set()))
    command = Command(
        _matching(fields, "command_id", _UUID),
        _matching(fields, "discrepancy_id", _DISCREPANCY_ID),
        kind,
        fields.text("actor", ACTOR_CHARS_MAX),
        fields.time_us("at_us"),
        fields.whole("expected_revision", 0, COUNT_MAX),
        seen,
        arguments.text("note", NOTE_CHARS_MAX, required=kind in NOTE_REQUIRED),
        arguments.text("to", ACTOR_CHARS_MAX) if kind == "assign" else "",
        _snooze(arguments, seen.currency) if kind == "snooze" else None,
    )
    check_key(key, command.discrepancy_id)
    return command


def encode_command(command: Command) -> tuple[bytes, bytes]:
    """(key, value) of the message that `decode_command` reads."""
    seen, snooze = command.seen, command.snooze
    arguments: dict[str, Any] = {"note": command.note}
    if command.kind == "assign":
        arguments["to"] = command.assignee
    if snooze is not None:
        arguments["until_us"] = snooze.until_us
        arguments["condition"] = snooze.condition or None
        arguments["limit"] = _amount(snooze.limit_minor, seen.currency)
    value = {
        "command_id": command.command_id,
        "discrepancy_id": command.discrepancy_id,
        "kind": command.kind,
        "actor": command.actor,
        "at_us": command.at_us,
        "expected_revision": command.expected_revision,
        "seen": {
            "occurrence": seen.occurrence,
            "expected": _amount(seen.expected_minor, seen.currency),
            "actual": _amount(seen.actual_minor, seen.currency),
            "currency": seen.currency,
        },
        "args": arguments,
    }
    return command.discrepancy_id.encode(), orjson.dumps(value)


def stake_minor(seen: Seen) -> int | None:
    """How much money is in question: |actual − expected|, a missing side counting as nothing; None without amounts."""
    if seen.expected_minor is None and seen.actual_minor is None:
        return None
    return abs((seen.actual_minor or 0) - (seen.expected_minor or 0))


def _seen(fields: Fields) -> Seen:
    fields.only({"occurrence", "expected", "actual", "currency"})
    currency = fields.text("currency", 3, required=False)
    return Seen(
        fields.whole("occurrence", 1, COUNT_MAX),
        fields.amount_minor("expected", currency),
        fields.amount_minor("actual", currency),
        currency,
    )


def _snooze(fields: Fields, currency: str) -> Snooze:
    until_us = fields.time_us("until_us") if fields.has("until_us") else None
    condition = fields.choice("condition", CONDITIONS) if fields.has("condition") else ""
    limit_minor = fields.amount_minor("limit", currency)
    if until_us is None and not condition:
        raise fields.refusal("a snooze needs until_us, a condition, or both")
    if (condition == "amount-above") != (limit_minor is not None):
        raise fields.refusal("the condition amount-above needs a limit, and no other has one")
    return Snooze(until_us, condition, limit_minor)


def _matching(fields: Fields, name: str, pattern: re.Pattern[str]) -> str:
    text = fields.text(name, 36)
    if pattern.fullmatch(text) is None:
        raise fields.refusal(f"{name} is not written as it must be")
    return text


def _amount(amount_minor: int | None, currency: str) -> str | None:
    return None if amount_minor is None else to_text(amount_minor, currency)
