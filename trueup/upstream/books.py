"""Draws the planned business of a run from its seed: sellers, orders, items, refunds, statements and payouts."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Final

from trueup.model.errors import ConfigurationError
from trueup.model.money import exponent, to_text
from trueup.upstream.plan import (
    ORDERS_MAX,
    Books,
    PayoutTerms,
    PlannedItem,
    PlannedLine,
    PlannedOrder,
    PlannedPayout,
    PlannedRefund,
    PlannedStatement,
    Shop,
    WorkloadPlan,
)

FIRST_DAY: Final = date(2026, 1, 5)
CURRENCIES: Final = ("USD", "EUR", "JPY", "KWD", "GBP", "CNY")
PAYMENT_METHODS: Final = ("bank-transfer", "e-wallet", "card-push")
CYCLES: Final = ("daily", "weekly", "biweekly", "monthly")
CYCLE_DAYS: Final = {"daily": 1, "weekly": 7, "biweekly": 14}
PERIODS: Final = 1_000
SHOP_FIRST: Final = 1_001
HOT_SHARE: Final = 1 / 3
REFUND_ORDERS_MIN: Final = 4
"""Shops with fewer orders in a round take no refunds in it, so that every statement stays worth paying."""


def draw_books(plan: WorkloadPlan, run_no: int) -> Books:
    """The business of run number `run_no`, without faults and without payouts; the same for the same arguments.

    Raises:
        ConfigurationError: the plan asks for what cannot be.
    """
    _check(plan)
    rng = random.Random(plan.seed)
    shops = tuple(draw_shop(place) for place in range(plan.shops))
    weights = _weights(plan.shops)
    books = Books(run_no, shops, rules=[draw_rule(place) for place in range(len(CURRENCIES))])
    for round_no in range(plan.rounds):
        share = plan.orders // plan.rounds + (1 if round_no < plan.orders % plan.rounds else 0)
        chosen = rng.choices(range(plan.shops), weights=weights, k=share)
        statements = []
        for place in sorted(set(chosen)):
            statement = open_statement(books, shops[place], round_no)
            for _ in range(chosen.count(place)):
                statement.orders.append(_draw_order(rng, books, shops[place]))
            statements.append(statement)
            _draw_refunds(rng, books, statement)
            statement.fails_once = rng.random() < 0.04
        books.rounds.append(statements)
    return books


def draw_shop(place: int) -> Shop:
    """The seller at a place of the list; the same in every run."""
    currency = CURRENCIES[place % len(CURRENCIES)]
    method = PAYMENT_METHODS[place // len(CURRENCIES) % len(PAYMENT_METHODS)]
    return Shop(SHOP_FIRST + place, method, 1 + place % len(CURRENCIES), currency)


def draw_rule(place: int) -> PayoutTerms:
    """The payout rule of all sellers of one currency; the same in every run."""
    currency = CURRENCIES[place]
    return PayoutTerms(1 + place, cycle_of(1 + place), 10 ** exponent(currency), currency, is_hold=False)


def cycle_of(rule_id: int) -> str:
    """The settlement cycle of a payout rule."""
    return CYCLES[(rule_id - 1) % len(CYCLES)]


def open_statement(books: Books, shop: Shop, round_no: int) -> PlannedStatement:
    """The shop's statement of a round, which is one period of the shop's cycle."""
    cycle = cycle_of(shop.rule_id)
    first, last = period(cycle, round_no)
    return PlannedStatement(books.next_id("statement"), shop, round_no, first, last, cycle)


def period(cycle: str, round_no: int) -> tuple[date, date]:
    """First and last day of a round; after many rounds the calendar starts again."""
    place = round_no % PERIODS
    if cycle == "monthly":
        first, after = (date(FIRST_DAY.year + month // 12, month % 12 + 1, 1) for month in (place, place + 1))
        return first, after - timedelta(days=1)
    days = CYCLE_DAYS[cycle]
    first = FIRST_DAY + timedelta(days=place * days)
    return first, first + timedelta(days=days - 1)


def plan_payouts(books: Books) -> None:
    """Give every statement that has items its payout: one line per item, whatever the items are worth."""
    for statement in books.statements():
        lines = tuple(
            PlannedLine(
                books.next_id("payout_item"),
                item.order_id,
                item.billing_item_id,
                item.amount_minor,
                item.currency,
            )
            for item in statement.items()
        )
        if lines:
            payout_id = books.next_id("payout")
            statement.payout = PlannedPayout(payout_id, total_minor(statement), lines)


def total_minor(statement: PlannedStatement) -> int:
    """The statement's amount as upstream counts it: its items in its own currency."""
    return sum(item.amount_minor for item in statement.items() if item.currency == statement.shop.currency)


def _check(plan: WorkloadPlan) -> None:
    wrong = [
        f"{name} must be from {least} to {most}, not {value}"
        for name, value, least, most in (
            ("orders", plan.orders, 1, ORDERS_MAX),
            ("connections", plan.connections, 1, 16),
            ("shops", plan.shops, 2, 1_000),
            ("orders_per_round", plan.orders_per_round, 1, ORDERS_MAX),
            ("batch_orders", plan.batch_orders, 1, 5_000),
            ("fault_copies", plan.fault_copies, 1, 1_000),
            ("grace_seconds", plan.grace_seconds, 0, 86_400),
        )
        if not least <= value <= most
    ]
    if plan.rate_per_second is not None and plan.rate_per_second <= 0:
        wrong.append(f"rate_per_second must be above 0, not {plan.rate_per_second}")
    if wrong:
        raise ConfigurationError("; ".join(wrong), where="the workload plan")


def _weights(shops: int) -> list[float]:
    """One hot seller; among the others the first is three times as busy as the last."""
    rest = [3.0 - 2.0 * place / shops for place in range(1, shops)]
    return [HOT_SHARE, *((1 - HOT_SHARE) * weight / sum(rest) for weight in rest)]


def _draw_order(rng: random.Random, books: Books, shop: Shop) -> PlannedOrder:
    unit = 10 ** exponent(shop.currency)
    gross = rng.randint(5 * unit, 500 * unit) if unit > 1 else rng.randint(500, 50_000)
    tax_percent, fee_permille = rng.choice((0, 6, 10, 20)), rng.choice((25, 30, 45))
    tax, fee = gross * tax_percent // 100, gross * fee_permille // 1_000
    order_id = books.next_id("orders")
    factors = f'{{"base": "{to_text(gross, shop.currency)}", "tax_rate": "0.{tax_percent:02}", "fee_rate": "0.{fee_permille:03}"}}'
    order = PlannedOrder(order_id, shop, gross, tax, fee, factors)
    draw = rng.random()
    if draw < 0.02:
        order.cancelled = True
    elif draw < 0.06:
        part = order.net_minor // rng.choice((5, 10))
        kind = rng.choice(("adjustment", "rebate", "fee"))
        order.items = (
            bill(books, order, "sale", order.net_minor + part),
            bill(books, order, kind, -part),
        )
    else:
        order.items = (bill(books, order, "sale", order.net_minor),)
    return order


def bill(books: Books, order: PlannedOrder, kind: str, amount_minor: int) -> PlannedItem:
    """A new item of the order in its own currency."""
    item_id = books.next_id("billing_item")
    source_no = f"{kind[0].upper()}{order.order_id}"
    return PlannedItem(item_id, order.order_id, order.shop.shop_id, kind, source_no, amount_minor, order.shop.currency)


def _draw_refunds(rng: random.Random, books: Books, statement: PlannedStatement) -> None:
    """Refund about 5 % of the orders, some of them in full, some by an adjustment instead of a refund item."""
    plain = [order for order in statement.orders if order.is_plain]
    if len(plain) < REFUND_ORDERS_MIN:
        return
    for order in plain[2:]:
        if rng.random() >= 0.05:
            continue
        whole = rng.random() < 0.4
        amount = order.net_minor if whole else order.net_minor // rng.randint(2, 5)
        status = "refunded" if whole else "partially_refunded"
        kind = "adjustment" if rng.random() < 0.25 else "refund"
        order.refund_status = status
        statement.refunds.append(PlannedRefund(order, status, bill(books, order, kind, -amount)))
