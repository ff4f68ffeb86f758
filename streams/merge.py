"""Merging changes into registers: commutative and idempotent by source version. Pure.

Source: `docs/adr/0002-registers-and-marks.md`. A register takes the newest version; marks are a set keyed by version;
both are joins, so duplicates, replays and reordering cannot alter the result.
"""

from __future__ import annotations

from typing import Any, Final

from reconcile.machines import can_become, is_legal
from trueup.model.change import Change
from trueup.model.registers import MARKS_MAX, Mark, OrderBooks, Register, RegisterKey, StatementBooks
from trueup.model.tables import ROW_TYPES, BillingItem

_EDITS: Final[dict[str, frozenset[str]]] = {
    "orders": frozenset({"gross_amount", "tax_amount", "fee_amount", "factors"}),
    "billing_item": frozenset({"amount", "currency", "shop_id", "statement_id"}),
}


def merge(books: OrderBooks | StatementBooks, change: Change) -> bool:
    """Take one change into the books; whether it altered anything."""
    name = change.table.name
    registers: dict[RegisterKey, Register[Any]]
    if isinstance(books, OrderBooks):
        registers = books.orders if name == "orders" else books.items if name == "billing_item" else books.lines
    else:
        registers = books.statements if name == "statement" else books.payouts
    altered = merge_register(registers, change)
    if change.moves:
        altered = _merge_marks(books, change, name) or altered
    if change.commit_us > books.newest_us:
        books.newest_us = change.commit_us
    return altered


def merge_register(registers: dict[RegisterKey, Register[Any]], change: Change) -> bool:
    """Take one change into the registers of its table; whether it altered anything."""
    key = (change.source, change.primary_key)
    held = registers.get(key)
    if held is not None and change.version <= held.version:
        if change.commit_us < held.first_us:
            registers[key] = held._replace(first_us=change.commit_us)
            return True
        return False
    first_us = change.commit_us if held is None or change.commit_us < held.first_us else held.first_us
    row = None if change.row is None else ROW_TYPES[change.table.name]._make(change.row)
    registers[key] = Register(
        change.source, change.primary_key, change.version, change.commit_us, first_us, change.deleted, row,
        change.partition, change.offset,
    )  # fmt: skip
    return True


def _merge_marks(books: OrderBooks | StatementBooks, change: Change, name: str) -> bool:
    altered = False
    for field, old, new in _held_against(change, name):
        mark = Mark(
            name, change.source, change.primary_key, change.version, change.commit_us, field, old, new,
            change.partition, change.offset,
        )  # fmt: skip
        altered = keep_mark(books.marks, mark) or altered
    return altered


def keep_mark(marks: list[Mark], mark: Mark) -> bool:
    """Put the mark in its place, unless it is known or later than as many as are kept; whether that altered anything."""
    identity = (*mark[:4], mark.field)
    if any((*known[:4], known.field) == identity for known in marks):
        return False
    marks.append(mark)
    marks.sort(key=_mark_order)
    dropped = marks.pop() if len(marks) > MARKS_MAX else None
    return dropped is not mark


def _mark_order(mark: Mark) -> tuple[int, str, int, str, str, str]:
    return mark.commit_us, mark.source, mark.version, mark.table, str(mark.primary_key), mark.field


def _held_against(change: Change, name: str) -> list[tuple[str, object, object]]:
    """The moves that leave a mark: illegal status steps, edits of an order's amounts, edits of a paid item."""
    status_before: object = None
    if name == "billing_item" and change.row is not None:
        status_before = BillingItem._make(change.row).status
        for field, old, _new in change.moves:
            if field == "status":
                status_before = old
    edits = _EDITS.get(name, frozenset())
    # Between two looks at a polled row there may have been several steps.
    allows = can_become if change.polled else is_legal
    return [
        (field, old, new)
        for field, old, new in change.moves
        if (field == "status" and not allows(name, old, new))
        or (field in edits and (name == "orders" or status_before == "paid"))
    ]
