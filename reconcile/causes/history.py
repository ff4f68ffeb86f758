"""What the past of a row gives away: edits, deletions, and how a status came about. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from reconcile.causes.cause import Cause, at, deleted, money, span
from reconcile.finding import Finding, id_order
from reconcile.machines import transitions
from trueup.model.registers import Mark, Register, RegisterKey

AMOUNT_FIELDS: Final = frozenset({"gross_amount", "tax_amount", "fee_amount", "amount"})
FACTORS: Final = frozenset({"factors"})
VERSION_FACTOR: Final = "rule_version"
"""The factor that names the version of the charging rules, where the source keeps one."""


def in_order(registers: Iterable[Register[Any]]) -> list[Register[Any]]:
    """Registers in the order of their ids, so that the same one is named whatever came first."""
    return sorted(registers, key=lambda held: (id_order(held.primary_key), held.source))


def live(registers: dict[RegisterKey, Register[Any]]) -> list[Register[Any]]:
    """The registers of rows that are there, in the order of their ids."""
    return in_order(held for held in registers.values() if not held.deleted and held.row is not None)


def deletion(
    what: str, registers: dict[RegisterKey, Register[Any]], is_it: Callable[[Register[Any]], bool]
) -> Cause | None:
    """The deletion of the first row that `is_it` tells to be the one; `what` is its name before the id."""
    for held in in_order(held for held in registers.values() if held.deleted):
        if is_it(held):
            return deleted(f"{what} {held.primary_key}", held)
    return None


def edited(marks: Iterable[Mark], is_it: Callable[[Mark], bool], since_us: int, currency: str) -> Cause | None:
    """The earliest edit that `is_it` tells to be the one; `since_us` is when the row was billed or paid."""
    found = [mark for mark in marks if is_it(mark)]
    if not found:
        return None
    first = min(found, key=lambda mark: (mark.commit_us, mark.version, mark.field))
    step = _step(first, currency)
    after = f", {span(first.commit_us - since_us)} after billing" if 0 < since_us < first.commit_us else ""
    more = f"; {len(found) - 1} more edits" if len(found) > 1 else ""
    return Cause("factor-edited", f"{step} at {at(first.commit_us)}{after}{more}")


def charged_anew(marks: Iterable[Mark], billed_us: int) -> Cause | None:
    """A later version of the charging rules than the one that was billed, by the order's factors."""
    for mark in sorted(marks, key=lambda mark: (mark.commit_us, mark.version)):
        if mark.field == "factors" and mark.commit_us > billed_us:
            old, new = _version(mark.old), _version(mark.new)
            if old != new and "" not in (old, new):
                return Cause(
                    "wrong-rule-version",
                    f"billed by rule version {old}, charged by version {new} since {at(mark.commit_us)}",
                )
    return None


def cause_of_step(finding: Finding, marks: Iterable[Mark]) -> Cause:
    """How an illegal transition came about, from the mark that the finding rests on."""
    leg = finding.evidence[0]
    for mark in marks:
        if (*mark[:4], mark.field) == (leg.table, leg.source, leg.primary_key, leg.version, "status"):
            between = _steps_between(mark.table, mark.old, mark.new)
            if between is not None:
                skipped = " and ".join(str(state) for state in between)
                return Cause(
                    "step-skipped", f"{mark.new} follows {mark.old} only by way of {skipped}; one change set it at once"
                )
            return Cause("reopened", f"no step leads from {mark.old} to {mark.new}, and one change set it so")
    return Cause("unknown", "the change itself is no longer kept")


def _steps_between(table: str, old: object, new: object) -> list[object] | None:
    """The states of the shortest legal way from `old` to `new`, ends left out; None where there is none."""
    allowed = sorted(transitions().get(table, ()), key=str)
    ways: list[list[object]] = [[old]]
    seen = {old}
    for way in ways:
        for start, end in allowed:
            if start == way[-1] and end == new:
                return way[1:]
            if start == way[-1] and end not in seen:
                seen.add(end)
                ways.append([*way, end])
    return None


def _step(mark: Mark, currency: str) -> str:
    if mark.field == "factors":
        old, new = _factors(mark.old), _factors(mark.new)
        names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        return f"the factors {', '.join(names)} changed" if names else "the factors changed"
    old_text, new_text = (
        money(value, currency) if mark.field in AMOUNT_FIELDS and isinstance(value, int) else str(value)
        for value in (mark.old, mark.new)
    )
    return f"{mark.field} went from {old_text} to {new_text}"


def _version(factors: object) -> str:
    return str(_factors(factors).get(VERSION_FACTOR, ""))


def _factors(text: object) -> dict[str, Any]:
    try:
        decoded = orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
