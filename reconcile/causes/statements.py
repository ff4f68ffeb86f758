"""Likely causes of findings about one statement: its row, its payouts, and the totals of its items. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from reconcile.causes.amounts import Parts, cause_of_difference
from reconcile.causes.cause import Cause, at, late, money, span
from reconcile.causes.history import cause_of_step, deletion, live
from reconcile.causes.orders import cause_of_shared_id
from reconcile.finding import Finding
from trueup.model.registers import LatestItem, LineTotal, Partial, Register, StatementBooks
from trueup.model.tables import Statement


def cause_in_statement(finding: Finding, books: StatementBooks) -> Cause | None:
    """The cause of an open finding; None where no test of its rule fits."""
    test = _TESTS.get(finding.rule)
    return None if test is None else test(finding, books)


def arrival_in_statement(finding: Finding, books: StatementBooks) -> Cause | None:
    """`late` if the row that the finding waited for has come after its due time."""
    register = _statement(books)
    if finding.rule != "orphan-statement" or register is None or register.first_us <= finding.due_us:
        return None
    return late(f"statement {register.primary_key}", register.first_us, finding.due_us)


def _statement(books: StatementBooks) -> Register[Statement] | None:
    return min(live(books.statements), key=lambda held: held.source, default=None)


def _orphan_statement(_: Finding, books: StatementBooks) -> Cause | None:
    gone = deletion("statement", dict(books.statements), lambda _: True)
    payouts = live(books.payouts)
    if gone or not payouts:
        return gone or Cause(
            "late", "its items are here and no payout is: the statement is on its way, or was never written"
        )
    first = payouts[0]
    return Cause(
        "lost-message", f"payout {first.primary_key} came at {at(first.commit_us)}, the statement comes before it"
    )


def _drift(finding: Finding, books: StatementBooks) -> Cause | None:
    register = _statement(books)
    if register is None or register.row is None or finding.expected_minor is None or finding.actual_minor is None:
        return None
    statement = register.row
    counted = _items(books)
    delta_minor = finding.actual_minor - finding.expected_minor
    left_out = counted - statement.item_count
    if left_out > 0:
        return _items_left_out(left_out, delta_minor, finding.currency, books)
    if left_out < 0:
        return Cause(
            "lost-message",
            f"the statement counts {statement.item_count} items, {counted} are here: {-left_out} never came or were removed",
        )
    return cause_of_difference(finding.expected_minor, finding.actual_minor, finding.currency, Parts(rows=counted))


def _items_left_out(count: int, delta_minor: int, currency: str, books: StatementBooks) -> Cause:
    """The newest items are the likeliest to be left out; it is certain when they are just the difference."""
    latest = sorted(
        (item for partial in books.partials.values() for item in partial.latest),
        key=lambda item: (item.created_us, str(item.billing_item_id)),
        reverse=True,
    )[:count]
    total_minor = sum(item.amount_minor for item in latest if item.currency == currency)
    what = f"the statement leaves out {count} of its items"
    if len(latest) == count and total_minor == -delta_minor:
        return Cause("items-left-out", f"{what}: the newest ones, {_named(latest)}, are just the difference")
    return Cause("items-left-out", f"{what}, worth {money(-delta_minor, currency)}")


def _named(items: list[LatestItem]) -> str:
    return ", ".join(f"{item.billing_item_id} of {money(item.amount_minor, item.currency)}" for item in items)


def _payout_total(finding: Finding, books: StatementBooks) -> Cause | None:
    expected_minor, actual_minor, currency = finding.expected_minor, finding.actual_minor, finding.currency
    if expected_minor is None or actual_minor is None:
        return None
    delta_minor = actual_minor - expected_minor
    stray = _lines(books.strays.values(), finding)
    if stray.count and stray.amount_minor == delta_minor:
        return Cause("stray-lines", f"{stray.count} of its lines, {money(delta_minor, currency)}, name no billing item")
    register = _statement(books)
    statement = register.row if register is not None else None
    if statement is not None and (statement.amount_minor, statement.currency) == (actual_minor, currency):
        return _lines_missing(expected_minor, actual_minor, currency, books, finding)
    if statement is not None and _running_minor(books, currency) == actual_minor:
        rows = Parts(rows=max(1, _items(books)))
        drift = cause_of_difference(actual_minor, statement.amount_minor, currency, rows)
        name, why = drift or ("unknown", f"by {money(statement.amount_minor - actual_minor, currency)}")
        return Cause(name, f"the items add up to the payout, its statement is off: {why}")
    return cause_of_difference(expected_minor, actual_minor, currency, _parts(books, finding))


def _lines_missing(
    expected_minor: int, actual_minor: int, currency: str, books: StatementBooks, finding: Finding
) -> Cause:
    """The payout is what its statement says, so it is the lines that differ."""
    found = cause_of_difference(expected_minor, actual_minor, currency, _parts(books, finding))
    short = f"the payout is its statement's amount, its lines are {money(actual_minor - expected_minor, currency)} short of it"
    return found or Cause("items-left-out", short)


def _parts(books: StatementBooks, finding: Finding) -> Parts:
    lines = _lines((*books.partials.values(), *books.strays.values()), finding)
    return Parts(rows=max(1, lines.count))


def _lines(partials: Iterable[Partial], finding: Finding) -> LineTotal:
    """Lines of the finding's payout in its currency."""
    key = (finding.entity_id, finding.currency)
    held = [total for partial in partials for place, total in partial.lines.items() if place == key]
    return LineTotal(sum(total.count for total in held), sum(total.amount_minor for total in held))


def _running_minor(books: StatementBooks, currency: str) -> int:
    return sum(
        total.amount_minor
        for partial in books.partials.values()
        for (held, _), total in partial.items.items()
        if held == currency
    )


def _late_item(finding: Finding, books: StatementBooks) -> Cause | None:
    register = _statement(books)
    if register is None or register.row is None or register.row.closed_us is None:
        return None
    for partial in books.partials.values():
        for item in partial.latest:
            if item.billing_item_id == finding.entity_id:
                what = f"item {item.billing_item_id}"
                return late(what, item.created_us, register.row.closed_us, "its statement had closed")
    return None


def _paid_before_items(_: Finding, books: StatementBooks) -> Cause | None:
    paid = sum(
        total.count
        for partial in books.partials.values()
        for (_, status), total in partial.items.items()
        if status == "paid"
    )
    counted = _items(books)
    if paid:
        return Cause("lost-message", f"{paid} of {counted} items are paid: the changes of {counted - paid} never came")
    return Cause("late", f"none of the {counted} items has moved since the payout was paid")


def _stuck(finding: Finding, books: StatementBooks) -> Cause | None:
    leg = finding.evidence[0]
    register = _statement(books)
    if finding.entity_kind == "payout" and register is not None and register.row and register.row.status == "paid":
        return Cause("lost-message", f"its statement is paid since {at(register.commit_us)}")
    held: dict[Any, Register[Any]] = {**books.statements} if finding.entity_kind == "statement" else {**books.payouts}
    row = held.get((leg.source, leg.primary_key))
    if row is None:
        return None
    waited = (
        f", while others of the statement moved {span(books.newest_us - row.commit_us)} later"
        if books.newest_us > row.commit_us
        else ""
    )
    return Cause("late", f"it has not moved since {at(row.commit_us)}{waited}")


def _illegal_step(finding: Finding, books: StatementBooks) -> Cause | None:
    return cause_of_step(finding, books.marks)


def _duplicate_id(finding: Finding, books: StatementBooks) -> Cause | None:
    held: dict[Any, Register[Any]] = {**books.statements} if finding.entity_kind == "statement" else {**books.payouts}
    return cause_of_shared_id([held.get((leg.source, leg.primary_key)) for leg in finding.evidence])


def _items(books: StatementBooks) -> int:
    return sum(total.count for partial in books.partials.values() for total in partial.items.values())


_TESTS: Final[dict[str, Callable[[Finding, StatementBooks], Cause | None]]] = {
    "orphan-statement": _orphan_statement,
    "statement-drift": _drift,
    "wrong-payout-total": _payout_total,
    "late-item": _late_item,
    "status-mismatch": _paid_before_items,
    "stuck": _stuck,
    "illegal-transition": _illegal_step,
    "duplicate-id": _duplicate_id,
}
