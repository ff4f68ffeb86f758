"""Plants faults into planned books: what a buggy job or a hand in the database would do, and the finding it must lead to.

Faults of rows that upstream writes wrong are put into the plan; faults that are actions on rows (a skipped state, a fee
changed afterwards) are carried out by the flow, which finds them on the order or statement.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from trueup.model.errors import ConfigurationError
from trueup.model.money import exponent
from trueup.upstream.agreement_faults import AGREEMENT_FAULTS
from trueup.upstream.books import CURRENCIES, bill
from trueup.upstream.plan import (
    Books,
    Expectation,
    Fault,
    PlannedLine,
    PlannedOrder,
    PlannedPayout,
    PlannedRefund,
    PlannedStatement,
)

MISSING_BILLING: Final = "missing-billing"
DUPLICATE_BILLING: Final = "duplicate-billing"
WRONG_BILLING_AMOUNT: Final = "wrong-billing-amount"
OTHER_CURRENCY: Final = "billing-in-another-currency"
OTHER_SELLER: Final = "billing-for-another-seller"
ORPHAN_BILLING: Final = "orphan-billing"
LATE_ITEM: Final = "item-added-after-close"
ILLEGAL_ORDER: Final = "illegal-transition-of-order"
SILENT_REPAIR: Final = "silent-repair-of-fee"
REFUND_WITHOUT_ITEM: Final = "refund-without-item"
MISSING_PAYOUT_LINE: Final = "missing-payout-line"
WRONG_PAYOUT_AMOUNT: Final = "wrong-payout-amount"
DUPLICATE_PAYOUT: Final = "duplicate-payout"
ORPHAN_PAYOUT: Final = "orphan-payout"
PAYOUT_TOTAL_OFF: Final = "payout-total-off-by-one"
STATEMENT_AMOUNT_OFF: Final = "statement-amount-off"
ILLEGAL_ITEM: Final = "illegal-transition-of-billing-item"
ILLEGAL_PAYOUT: Final = "illegal-transition-of-payout"
ILLEGAL_STATEMENT: Final = "illegal-transition-of-statement"
STUCK_PAYOUT: Final = "stuck-payout"

HOST_ITEMS_MIN: Final = 3
"""A statement with fewer plain orders hosts no fault: without the faulty one it would be empty."""

HOST_ITEMS_MAX: Final = 40
"""Faults of a whole statement stay small: a duplicate payout is a finding for each of its lines."""

PlantInOrder = Callable[[Books, PlannedStatement, PlannedOrder, str, int], Fault]
PlantInStatement = Callable[[Books, PlannedStatement, str, int], Fault]


def plant_order_faults(books: Books, copies: int, rng: random.Random) -> None:
    """Plant every fault of one order, `copies` times each, spread over the rounds. Call it before payouts are planned.

    Raises:
        ConfigurationError: the run is too small for so many faults.
    """
    for place, (kind, plant) in enumerate(ORDER_FAULTS.items()):
        for copy in range(copies):
            statement, order = take_plain_order(books, place_round(books, place, copy, copies), rng)
            fault_id = f"run{books.run_no}-{kind}-{copy + 1}"
            order.fault = plant(books, statement, order, fault_id, rng.choice((1, -1, 5, 100, -100)))


def plant_statement_faults(books: Books, copies: int, rng: random.Random) -> None:
    """Plant every fault of one statement or payout, `copies` times each. Call it when payouts are planned.

    Raises:
        ConfigurationError: the run is too small for so many faults.
    """
    for place, (kind, plant) in enumerate(STATEMENT_FAULTS.items()):
        for copy in range(copies):
            statement = _take_statement(books, place_round(books, place, copy, copies), rng)
            fault_id = f"run{books.run_no}-{kind}-{copy + 1}"
            statement.fails_once = False
            statement.fault = plant(books, statement, fault_id, rng.choice((1, -1, 7, 100, -100)))


def take_plain_order(
    books: Books, round_no: int, rng: random.Random, currency: str = ""
) -> tuple[PlannedStatement, PlannedOrder]:
    """A plain order for a fault or trap, in `round_no` or the next one with room; unless unavoidable, alone in its statement.

    Any currency will do where none is asked for.

    Raises:
        ConfigurationError: every order is taken.
    """
    for alone in (True, False):
        for turn in range(len(books.rounds)):
            statements = books.rounds[(round_no + turn) % len(books.rounds)]
            for statement in rng.sample(statements, len(statements)):
                plain = [order for order in statement.orders if order.is_plain]
                if currency not in {"", statement.shop.currency}:
                    continue
                if len(plain) >= HOST_ITEMS_MIN and not (alone and is_touched(statement)):
                    return statement, rng.choice(plain)
    raise _too_small()


def is_touched(statement: PlannedStatement) -> bool:
    """Whether a fault or trap is planted in the statement or in one of its orders."""
    orders = (*statement.orders, *statement.late_orders, *statement.delayed)
    return statement.fault is not None or any(order.fault is not None or order.traps for order in orders)


def _take_statement(books: Books, round_no: int, rng: random.Random) -> PlannedStatement:
    for turn in range(len(books.rounds)):
        statements = books.rounds[(round_no + turn) % len(books.rounds)]
        for statement in rng.sample(statements, len(statements)):
            plain = sum(order.is_plain for order in statement.orders)
            if HOST_ITEMS_MIN <= plain <= HOST_ITEMS_MAX and not is_touched(statement):
                return statement
    raise _too_small()


def _too_small() -> ConfigurationError:
    return ConfigurationError(
        "the run is too small to hold its faults apart",
        where="the workload plan",
        remedy="ask for more orders (about 1,000 have room for all), or for fewer copies of each fault",
    )


def place_round(books: Books, place: int, copy: int, copies: int) -> int:
    """The round for one of the copies of a fault, so that they are spread over the run."""
    return (place + copy * len(books.rounds) // copies) % len(books.rounds)


def _missing_billing(_: Books, __: PlannedStatement, order: PlannedOrder, fault_id: str, ___: int) -> Fault:
    order.items = ()
    expected = Expectation("missing-billing", "order", order.order_id, -order.net_minor, order.shop.currency)
    return Fault(fault_id, MISSING_BILLING, "the billing job skipped the order", (expected,))


def _duplicate_billing(books: Books, _: PlannedStatement, order: PlannedOrder, fault_id: str, __: int) -> Fault:
    (sale,) = order.items
    twin = bill(books, order, "sale", sale.amount_minor)
    order.items = (sale, twin)
    expected = Expectation("duplicate-billing", "billing_item", twin.billing_item_id, twin.amount_minor, twin.currency)
    return Fault(fault_id, DUPLICATE_BILLING, "billed again under a new id, with the same business key", (expected,))


def _wrong_billing(_: Books, __: PlannedStatement, order: PlannedOrder, fault_id: str, delta_minor: int) -> Fault:
    (sale,) = order.items
    order.items = (sale._replace(amount_minor=sale.amount_minor + delta_minor),)
    expected = Expectation("wrong-billing-amount", "order", order.order_id, delta_minor, sale.currency)
    return Fault(fault_id, WRONG_BILLING_AMOUNT, "billed with a wrong amount", (expected,))


def _other_currency(_: Books, __: PlannedStatement, order: PlannedOrder, fault_id: str, ___: int) -> Fault:
    """Billed with the number of the order's currency: upstream counts the item, but not its foreign money."""
    (sale,) = order.items
    currency = CURRENCIES[(CURRENCIES.index(sale.currency) + 1) % len(CURRENCIES)]
    major = max(1, sale.amount_minor // 10 ** exponent(sale.currency))
    order.items = (sale._replace(currency=currency, amount_minor=major * 10 ** exponent(currency)),)
    expected = Expectation("currency-mismatch", "billing_item", sale.billing_item_id)
    return Fault(fault_id, OTHER_CURRENCY, f"billed in {currency} instead of {sale.currency}", (expected,))


def _other_seller(books: Books, _: PlannedStatement, order: PlannedOrder, fault_id: str, __: int) -> Fault:
    (sale,) = order.items
    place = books.shops.index(order.shop)
    other = books.shops[(place + 1) % len(books.shops)]
    order.items = (sale._replace(shop_id=other.shop_id),)
    expected = Expectation("party-mismatch", "billing_item", sale.billing_item_id)
    return Fault(fault_id, OTHER_SELLER, f"billed for shop {other.shop_id}", (expected,))


def _orphan_billing(books: Books, _: PlannedStatement, order: PlannedOrder, fault_id: str, __: int) -> Fault:
    """Beside the order's own item, one for an order that never was."""
    (sale,) = order.items
    ghost = books.ghost_id()
    orphan = sale._replace(billing_item_id=books.next_id("billing_item"), order_id=ghost, source_no=f"S{ghost}")
    order.items = (sale, orphan)
    expected = Expectation(
        "orphan-billing", "billing_item", orphan.billing_item_id, orphan.amount_minor, orphan.currency
    )
    return Fault(fault_id, ORPHAN_BILLING, f"billed for order {ghost}, which does not exist", (expected,))


def _late_item(_: Books, statement: PlannedStatement, order: PlannedOrder, fault_id: str, __: int) -> Fault:
    statement.orders.remove(order)
    statement.late_orders.append(order)
    (sale,) = order.items
    expected = Expectation("late-item", "billing_item", sale.billing_item_id, sale.amount_minor, sale.currency)
    return Fault(fault_id, LATE_ITEM, "billed to a closed statement, whose totals were raised", (expected,))


def _illegal_order(_: Books, __: PlannedStatement, order: PlannedOrder, fault_id: str, ___: int) -> Fault:
    expected = Expectation("illegal-transition", "order", order.order_id)
    return Fault(fault_id, ILLEGAL_ORDER, "completed by hand without having been paid", (expected,))


def _silent_repair(_: Books, __: PlannedStatement, order: PlannedOrder, fault_id: str, delta_minor: int) -> Fault:
    """The fee goes up when all is paid, so the items exceed the new net by as much."""
    expected = Expectation("silent-repair", "order", order.order_id, abs(delta_minor), order.shop.currency)
    return Fault(fault_id, SILENT_REPAIR, "fee changed by hand after it was billed", (expected,))


def _refund_without_item(_: Books, statement: PlannedStatement, order: PlannedOrder, fault_id: str, __: int) -> Fault:
    order.refund_status = "refunded"
    statement.refunds.append(PlannedRefund(order, "refunded", None))
    expected = Expectation("status-mismatch", "order", order.order_id)
    return Fault(fault_id, REFUND_WITHOUT_ITEM, "refunded without a refund item", (expected,))


ORDER_FAULTS: Final[dict[str, PlantInOrder]] = {
    MISSING_BILLING: _missing_billing,
    DUPLICATE_BILLING: _duplicate_billing,
    WRONG_BILLING_AMOUNT: _wrong_billing,
    OTHER_CURRENCY: _other_currency,
    OTHER_SELLER: _other_seller,
    ORPHAN_BILLING: _orphan_billing,
    LATE_ITEM: _late_item,
    ILLEGAL_ORDER: _illegal_order,
    SILENT_REPAIR: _silent_repair,
    REFUND_WITHOUT_ITEM: _refund_without_item,
}


def _planned_payout(statement: PlannedStatement) -> PlannedPayout:
    payout = statement.payout
    assert payout is not None, "hosts of statement faults have items"
    return payout


def _missing_line(_: Books, statement: PlannedStatement, fault_id: str, __: int) -> Fault:
    """The payout keeps the statement's amount, so it exceeds its lines as well."""
    payout = _planned_payout(statement)
    lost, *kept = payout.lines
    payout.lines = tuple(kept)
    expected = Expectation("missing-payout", "billing_item", lost.billing_item_id, -lost.amount_minor, lost.currency)
    return Fault(fault_id, MISSING_PAYOUT_LINE, "a payout line was not written", (expected,))


def _wrong_line(_: Books, statement: PlannedStatement, fault_id: str, delta_minor: int) -> Fault:
    """The payout is the sum of its lines, so it differs from its statement as well."""
    payout = _planned_payout(statement)
    first, *others = payout.lines
    payout.lines = (first._replace(amount_minor=first.amount_minor + delta_minor), *others)
    payout.amount_minor += delta_minor
    expected = Expectation("wrong-payout-amount", "payout_item", first.payout_item_id, delta_minor, first.currency)
    return Fault(fault_id, WRONG_PAYOUT_AMOUNT, "a payout line with a wrong amount", (expected,))


def _duplicate_payout(books: Books, statement: PlannedStatement, fault_id: str, _: int) -> Fault:
    payout = _planned_payout(statement)
    lines = tuple(line._replace(payout_item_id=books.next_id("payout_item")) for line in payout.lines)
    statement.again = PlannedPayout(books.next_id("payout"), payout.amount_minor, lines)
    expected = tuple(
        Expectation("duplicate-payout", "payout_item", line.payout_item_id, line.amount_minor, line.currency)
        for line in lines
    )
    return Fault(fault_id, DUPLICATE_PAYOUT, "paid again under a new payout id after a time-out", expected)


def _orphan_line(books: Books, statement: PlannedStatement, fault_id: str, _: int) -> Fault:
    """The payout is the sum of its lines, so it exceeds its statement as well."""
    payout = _planned_payout(statement)
    amount = 10 ** exponent(statement.shop.currency) * 12
    line_id = books.next_id("payout_item")
    stray = PlannedLine(line_id, books.ghost_id(), books.ghost_id(), amount, statement.shop.currency)
    payout.lines = (*payout.lines, stray)
    payout.amount_minor += amount
    expected = Expectation("orphan-payout", "payout_item", stray.payout_item_id, amount, stray.currency)
    return Fault(fault_id, ORPHAN_PAYOUT, "a payout line for a billing item that does not exist", (expected,))


def _total_off(_: Books, statement: PlannedStatement, fault_id: str, __: int) -> Fault:
    payout = _planned_payout(statement)
    payout.amount_minor += 1
    expected = Expectation("wrong-payout-total", "payout", payout.payout_id, 1, statement.shop.currency)
    return Fault(
        fault_id, PAYOUT_TOTAL_OFF, "payout exceeds its lines and its statement by one minor unit", (expected,)
    )


def _statement_off(_: Books, statement: PlannedStatement, fault_id: str, delta_minor: int) -> Fault:
    """The payout is made from the items, so it differs from the statement as well."""
    statement.wrong_by_minor = delta_minor
    currency = statement.shop.currency
    expected = Expectation("statement-drift", "statement", statement.statement_id, delta_minor, currency)
    return Fault(fault_id, STATEMENT_AMOUNT_OFF, "amount of the statement changed by hand after closing", (expected,))


def _illegal_item(_: Books, statement: PlannedStatement, fault_id: str, __: int) -> Fault:
    item_id = _planned_payout(statement).lines[0].billing_item_id
    expected = Expectation("illegal-transition", "billing_item", item_id)
    return Fault(fault_id, ILLEGAL_ITEM, "a paid item reopened by hand and paid again", (expected,))


def _illegal_payout(_: Books, statement: PlannedStatement, fault_id: str, __: int) -> Fault:
    expected = Expectation("illegal-transition", "payout", _planned_payout(statement).payout_id)
    return Fault(fault_id, ILLEGAL_PAYOUT, "marked paid without having been ongoing", (expected,))


def _illegal_statement(_: Books, statement: PlannedStatement, fault_id: str, __: int) -> Fault:
    expected = Expectation("illegal-transition", "statement", statement.statement_id)
    return Fault(fault_id, ILLEGAL_STATEMENT, "paid out without having been confirmed", (expected,))


def _stuck_payout(_: Books, statement: PlannedStatement, fault_id: str, __: int) -> Fault:
    expected = Expectation("stuck", "payout", _planned_payout(statement).payout_id)
    return Fault(fault_id, STUCK_PAYOUT, "the channel's answer never came; the payout stays ongoing", (expected,))


STATEMENT_FAULTS: Final[dict[str, PlantInStatement]] = {
    MISSING_PAYOUT_LINE: _missing_line,
    WRONG_PAYOUT_AMOUNT: _wrong_line,
    DUPLICATE_PAYOUT: _duplicate_payout,
    ORPHAN_PAYOUT: _orphan_line,
    PAYOUT_TOTAL_OFF: _total_off,
    STATEMENT_AMOUNT_OFF: _statement_off,
    ILLEGAL_ITEM: _illegal_item,
    ILLEGAL_PAYOUT: _illegal_payout,
    ILLEGAL_STATEMENT: _illegal_statement,
    STUCK_PAYOUT: _stuck_payout,
    **AGREEMENT_FAULTS,
}
FAULT_KINDS: Final = (*ORDER_FAULTS, *STATEMENT_FAULTS)
