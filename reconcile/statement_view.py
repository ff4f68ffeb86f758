"""A statement as rules and wide rows read it: its live rows, and the running totals of its items. Pure."""

from __future__ import annotations

from typing import NamedTuple

from reconcile.finding import id_order
from trueup.model.registers import Register, StatementBooks
from trueup.model.tables import Id, Payout, Statement


class RunningTotal(NamedTuple):
    """Σ of the live billing items of a statement in one currency, over all statuses."""

    count: int  # type: ignore[assignment]  # the field's name for it; tuple.count is of no use here
    amount_minor: int


class StatementView(NamedTuple):
    """The live rows of one statement and its running totals."""

    books: StatementBooks
    register: Register[Statement] | None
    statement: Statement | None
    payouts: list[Register[Payout]]
    totals: dict[str, RunningTotal]
    item_count: int


def running_totals(books: StatementBooks) -> dict[str, RunningTotal]:
    """Currency → running total over the partials of all partitions; currencies without live items are left out."""
    totals: dict[str, RunningTotal] = {}
    for partial in books.partials.values():
        for (currency, _status), item in partial.items.items():
            held = totals.get(currency)
            if held is None:
                totals[currency] = RunningTotal(item.count, item.amount_minor)
            else:
                totals[currency] = RunningTotal(held.count + item.count, held.amount_minor + item.amount_minor)
    return totals


def line_total(books: StatementBooks, payout_id: Id, currency: str) -> RunningTotal:
    """Σ of the live lines of one payout in one currency, strays (lines that name no known item) included."""
    count = amount = 0
    for partial in books.partials.values():
        total = partial.lines.get((payout_id, currency))
        if total is not None:
            count += total.count
            amount += total.amount_minor
    for (stray_id, _partition), partial in books.strays.items():
        total = partial.lines.get((payout_id, currency)) if stray_id == payout_id else None
        if total is not None:
            count += total.count
            amount += total.amount_minor
    return RunningTotal(count, amount)


def view_statement(books: StatementBooks) -> StatementView:
    """The live rows; where two sources hold one statement id, the first source by name speaks for it."""
    register: Register[Statement] | None = None
    for held in books.statements.values():
        if not held.deleted and (register is None or held.source < register.source):
            register = held
    payouts = [held for held in books.payouts.values() if not held.deleted and held.row is not None]
    if len(payouts) > 1:
        payouts.sort(key=lambda held: (id_order(held.primary_key), held.source))
    totals = running_totals(books)
    count = sum(total.count for total in totals.values())
    return StatementView(books, register, register.row if register else None, payouts, totals, count)
