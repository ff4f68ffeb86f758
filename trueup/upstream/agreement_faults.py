"""Faults against what was agreed with a seller, and against the money of a channel.

A seller who gets such a fault is made for it, with a rule and, if need be, a channel of its own. The terms of these
sellers never change, so that the auditor's SQL may read them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from trueup.model.money import exponent
from trueup.upstream.books import CURRENCIES, CYCLES
from trueup.upstream.plan import (
    Books,
    Expectation,
    Fault,
    PayoutTerms,
    PlannedOrder,
    PlannedRefund,
    PlannedStatement,
    Shop,
)

HELD_SELLER: Final = "payout-to-held-seller"
BELOW_THRESHOLD: Final = "payout-below-threshold"
OTHER_PAYMENT_CURRENCY: Final = "payout-in-another-currency"
OTHER_CYCLE: Final = "statement-of-another-cycle"
FUNDING_SHORT: Final = "funding-below-release"
RELEASE_MISMATCH: Final = "release-amount-off"

THRESHOLD_MAJOR: Final = 10_000_000
"""More than any statement that hosts a fault is worth, in units of any currency."""


def _own_seller(
    books: Books,
    statement: PlannedStatement,
    *,
    threshold_minor: int = 0,
    payment_currency: str = "",
    is_hold: bool = False,
    own_channel: bool = False,
) -> Shop:
    """Give the statement and its orders a seller of their own, who has agreed to these terms."""
    number = books.own_id()
    shop = statement.shop._replace(shop_id=number, rule_id=number)
    if own_channel:
        shop = shop._replace(payment_method=f"{shop.payment_method}-{number}")
    currency = payment_currency or shop.currency
    books.rules.append(PayoutTerms(number, statement.cycle, threshold_minor, currency, is_hold))
    books.shops = (*books.shops, shop)
    statement.shop = shop
    for order in statement.orders:
        _take_over(order, shop)
    statement.refunds = [
        PlannedRefund(refund.order, refund.status, refund.item and refund.item._replace(shop_id=shop.shop_id))
        for refund in statement.refunds
    ]
    return shop


def _take_over(order: PlannedOrder, shop: Shop) -> None:
    order.shop = shop
    order.items = tuple(item._replace(shop_id=shop.shop_id) for item in order.items)


def _payout_violates(statement: PlannedStatement) -> tuple[Expectation, ...]:
    assert statement.payout is not None, "hosts of statement faults have items"
    return (Expectation("rule-violation", "payout", statement.payout.payout_id),)


def _held(books: Books, statement: PlannedStatement, fault_id: str, _: int) -> Fault:
    _own_seller(books, statement, is_hold=True)
    return Fault(fault_id, HELD_SELLER, "paid out although the seller is on hold", _payout_violates(statement))


def _below_threshold(books: Books, statement: PlannedStatement, fault_id: str, _: int) -> Fault:
    threshold_minor = THRESHOLD_MAJOR * 10 ** exponent(statement.shop.currency)
    _own_seller(books, statement, threshold_minor=threshold_minor)
    return Fault(fault_id, BELOW_THRESHOLD, "paid out less than the seller's threshold", _payout_violates(statement))


def _other_payment_currency(books: Books, statement: PlannedStatement, fault_id: str, _: int) -> Fault:
    currency = CURRENCIES[(CURRENCIES.index(statement.shop.currency) + 1) % len(CURRENCIES)]
    shop = _own_seller(books, statement, payment_currency=currency)
    note = f"paid out in {shop.currency}, agreed was {currency}"
    return Fault(fault_id, OTHER_PAYMENT_CURRENCY, note, _payout_violates(statement))


def _other_cycle(_: Books, statement: PlannedStatement, fault_id: str, __: int) -> Fault:
    agreed = statement.cycle
    statement.cycle = CYCLES[(CYCLES.index(agreed) + 1) % len(CYCLES)]
    expected = Expectation("rule-violation", "statement", statement.statement_id)
    return Fault(fault_id, OTHER_CYCLE, f"stated {statement.cycle}, agreed was {agreed}", (expected,))


def _release_violates(statement: PlannedStatement, rule: str, delta_minor: int) -> tuple[Expectation, ...]:
    """The release of a channel with one statement has the statement's number."""
    return (Expectation(rule, "release_summary", statement.statement_id, delta_minor, statement.shop.currency),)


def _funding_short(books: Books, statement: PlannedStatement, fault_id: str, delta_minor: int) -> Fault:
    _own_seller(books, statement, own_channel=True)
    statement.funding_off_minor = -abs(delta_minor)
    expected = _release_violates(statement, "funding-short", statement.funding_off_minor)
    return Fault(fault_id, FUNDING_SHORT, "released although the channel was given less", expected)


def _release_mismatch(books: Books, statement: PlannedStatement, fault_id: str, delta_minor: int) -> Fault:
    """The release is less than its payouts, so that the funding covers it."""
    _own_seller(books, statement, own_channel=True)
    statement.release_off_minor = -abs(delta_minor)
    expected = _release_violates(statement, "release-mismatch", statement.release_off_minor)
    return Fault(fault_id, RELEASE_MISMATCH, "released with another amount than its payouts have", expected)


AGREEMENT_FAULTS: Final[dict[str, Callable[[Books, PlannedStatement, str, int], Fault]]] = {
    HELD_SELLER: _held,
    BELOW_THRESHOLD: _below_threshold,
    OTHER_PAYMENT_CURRENCY: _other_payment_currency,
    OTHER_CYCLE: _other_cycle,
    FUNDING_SHORT: _funding_short,
    RELEASE_MISMATCH: _release_mismatch,
}
