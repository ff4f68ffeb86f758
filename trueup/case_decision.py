"""A decision as a form gives it, and the commands that it makes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

from reconcile.cases.commands import ACTOR_CHARS_MAX, CONDITIONS, NOTE_CHARS_MAX, NOTE_REQUIRED, Command, Snooze
from reconcile.cases.human import ALLOWED
from trueup.case_choice import STANDINGS, read_amount, read_span_us, read_word
from trueup.case_commands import command_on
from trueup.case_seen import seen_text
from trueup.model.errors import ConfigurationError
from trueup.model.money import minor_units

BULK_KINDS: Final = ("acknowledge", "assign", "snooze", "comment", "resolve", "waive", "approve")
"""What can be decided on many at once."""

_ORDER: Final = (
    "acknowledge", "assign", "snooze", "unsnooze", "resolve", "waive", "approve", "reject", "reopen", "comment",
)  # fmt: skip


def _standings(kind: str) -> tuple[str, ...]:
    stances = ALLOWED[kind]
    return tuple(
        standing
        for standing in STANDINGS
        if standing in stances or ("none" in stances and standing in {"open", "regressed"}) or kind == "comment"
    )


POSSIBLE: Final = {kind: _standings(kind) for kind in _ORDER}
"""Command → where a case must stand for it, in the order in which a page offers them."""

SECOND_PERSON: Final = frozenset({"approve", "reject"})
"""Commands on the requests of others: they need the role approver."""

SNOOZES: Final = ("1h", "4h", "1d", "3d", "1w", "4w")
"""Spans that a form offers."""


class Decision(NamedTuple):
    """What was decided, before it is about a case. `limit` is text in major units, for the condition amount-above."""

    kind: str
    note: str = ""
    assignee: str = ""
    until: str = ""
    condition: str = ""
    limit: str = ""


def read_decision(form: Mapping[str, str]) -> Decision:
    """The decision of a form. Errors: ConfigurationError, naming the field that is missing or cannot be read."""
    decision = Decision(
        read_word(form.get("kind", ""), tuple(POSSIBLE), "kind"),
        *(form.get(name, "").strip() for name in ("note", "assignee", "until", "condition", "limit")),
    )
    kind = decision.kind
    if kind in NOTE_REQUIRED and not decision.note:
        raise ConfigurationError(f"{kind} needs a note", where="note", remedy="say why")
    if len(decision.note) > NOTE_CHARS_MAX:
        raise ConfigurationError(
            f"the note is longer than {NOTE_CHARS_MAX:,} characters", where="note", remedy="shorten it"
        )
    if kind == "assign" and not 1 <= len(decision.assignee) <= ACTOR_CHARS_MAX:
        raise ConfigurationError("an assignee has no name", where="assignee", remedy="name somebody")
    if kind == "snooze":
        _check_snooze(decision)
    return decision


def commands_of(
    decision: Decision, cases: Iterable[Mapping[str, Any]], actor: str, at_us: int, go_id: UUID
) -> list[Command]:
    """One command for each case, as its row was seen.

    The ids follow from `go_id`, which the form brings: a form that is sent twice makes the same commands again, and the second
    ones are answered `repeated`.
    """
    return [
        command_on(
            case, decision.kind, actor, at_us, note=decision.note,
            assignee=decision.assignee if decision.kind == "assign" else "",
            snooze=_snooze(decision, case["currency"], at_us) if decision.kind == "snooze" else None,
        )._replace(command_id=str(uuid5(go_id, case["discrepancy_id"])))
        for case in cases
    ]  # fmt: skip


def fingerprint(cases: Iterable[Mapping[str, Any]]) -> str:
    """Changes when any of the cases, or what is seen of it, does."""
    return sha256("\n".join(sorted(seen_text(case) for case in cases)).encode()).hexdigest()


def _check_snooze(decision: Decision) -> None:
    if not decision.until and not decision.condition:
        raise ConfigurationError("a snooze has no end", where="until", remedy="give a time, a condition, or both")
    if decision.until:
        read_span_us(decision.until, "until")
    if decision.condition:
        read_word(decision.condition, sorted(CONDITIONS), "condition")
    if (decision.condition == "amount-above") != bool(decision.limit):
        raise ConfigurationError(
            "a limit belongs to the condition amount-above",
            where="limit",
            remedy="give both or neither",
        )
    if decision.limit:
        read_amount(decision.limit, "limit")


def _snooze(decision: Decision, currency: str, at_us: int) -> Snooze:
    limit_minor = None
    if decision.limit:
        if not currency:
            raise ConfigurationError(
                "a case without amounts has no limit", where="limit", remedy="choose another condition"
            )
        limit_minor = minor_units(read_amount(decision.limit, "limit"), currency)
    until_us = at_us + read_span_us(decision.until, "until") if decision.until else None
    return Snooze(until_us, decision.condition, limit_minor)
