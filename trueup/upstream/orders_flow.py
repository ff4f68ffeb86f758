"""The order and billing side of the flow: created → paid → completed → billed into an open statement → refunded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from trueup.model.money import to_decimal
from trueup.upstream import faults
from trueup.upstream.agreement_faults import OTHER_CYCLE
from trueup.upstream.carrier import WRONG_CHARGE
from trueup.upstream.plan import PlannedItem, PlannedOrder, PlannedStatement, Trap, WorkloadPlan
from trueup.upstream.session import Session, Work

NOW: Final = "clock_timestamp()"

_STATEMENT: Final = f"(%s, %s, %s, %s, %s, %s, 0, 0, 'open', NULL, {NOW})"
_ORDER: Final = f"(%s, %s, %s, %s, %s, %s, %s, 'created', NULL, {NOW})"
_ITEM: Final = f"(%s, %s, %s, %s, %s, %s, %s, %s, 'statemented', {NOW}, {NOW})"

FAULTS_OF_BILLING: Final = frozenset(
    {
        faults.MISSING_BILLING,
        faults.DUPLICATE_BILLING,
        faults.WRONG_BILLING_AMOUNT,
        faults.OTHER_CURRENCY,
        faults.OTHER_SELLER,
        faults.ORPHAN_BILLING,
        faults.LATE_ITEM,
        WRONG_CHARGE,
    }
)
"""Faults that the billing transaction of the order plants."""


def open_statements(session: Session, statements: Sequence[PlannedStatement]) -> None:
    """Open statements; a shop's account is created on its first use."""
    if not statements:
        return
    with session.transaction(len(statements)) as work:
        for shop in {statement.shop for statement in statements}:
            work.cursor.execute(
                "INSERT INTO public.account (shop_id, payment_method, rule_id, currency) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (shop_id) DO NOTHING",
                shop,
            )
            work.count("changes", work.cursor.rowcount)
        work.insert(
            "statement",
            _STATEMENT,
            [
                (
                    statement.statement_id,
                    statement.shop.shop_id,
                    statement.cycle,
                    statement.period_start,
                    statement.period_end,
                    statement.shop.currency,
                )
                for statement in statements
            ],
        )
        work.plant(*(each.fault for each in statements if each.fault and each.fault.kind == OTHER_CYCLE))


def complete_orders(session: Session, orders: Sequence[PlannedOrder]) -> None:
    """Take the orders of one shop from creation to completion (or cancellation), a transaction for each step."""
    with session.transaction(len(orders)) as work:
        work.insert("orders", _ORDER, [_order_row(order) for order in orders])
        work.count("orders", len(orders))
    skipping = [order for order in orders if order.fault is not None and order.fault.kind == faults.ILLEGAL_ORDER]
    cancelled = [order for order in orders if order.cancelled]
    paid = [order for order in orders if not order.cancelled and order not in skipping]
    if cancelled:
        with session.transaction(len(cancelled)) as work:
            _move_orders(work, cancelled, "created", "cancelled")
    if paid:
        with session.transaction(len(paid)) as work:
            _move_orders(work, paid, "created", "paid")
        with session.transaction(len(paid)) as work:
            _move_orders(work, paid, "paid", "completed")
    if skipping:
        with session.transaction(len(skipping)) as work:
            _move_orders(work, skipping, "created", "completed")
            work.plant(*(order.fault for order in skipping))


def bill_orders(session: Session, statement: PlannedStatement, orders: Sequence[PlannedOrder]) -> None:
    """Write the items of completed orders and their statement's totals in one transaction."""
    for order in orders:
        if order.traps:
            _roll_back_wrong_bill(session, statement, order)
    items = [item for order in orders for item in order.items]
    with session.transaction(len(items) + 1) as work:
        _bill(work, statement, items, "open")
        work.plant(*(order.fault for order in orders if order.fault and order.fault.kind in FAULTS_OF_BILLING))
        work.trap(*(trap for order in orders for trap in order.traps))


def bill_closed(session: Session, statement: PlannedStatement) -> None:
    """The fault of an item that joins a closed statement; its order is completed just before."""
    for order in statement.late_orders:
        complete_orders(session, [order])
        with session.transaction(2) as work:
            _bill(work, statement, order.items, "closed")
            work.plant(order.fault)


def bill_late(session: Session, statement: PlannedStatement, order: PlannedOrder, plan: WorkloadPlan) -> None:
    """Bill a trap's order long after its completion. What it must lead to depends on how late it really is now."""
    with session.transaction(2) as work:
        _bill(work, statement, order.items, "open")
        work.cursor.execute(f"SELECT {NOW} - completed_at FROM public.orders WHERE order_id = %s", (order.order_id,))
        ((late,),) = work.cursor.fetchall()
        for trap in order.traps:
            expectation = _expectation(late, plan.grace_seconds)
            if expectation is not None:
                work.trap(trap._replace(expectation=expectation, note=f"billed {late.total_seconds():.1f} s late"))


def refund_orders(session: Session, statement: PlannedStatement) -> None:
    """Refund orders of the statement: status, item and totals in one transaction for each."""
    for refund in statement.refunds:
        with session.transaction(3) as work:
            _move_orders(work, [refund.order], "completed", refund.status)
            if refund.item is None:
                work.plant(refund.order.fault)
            else:
                _bill(work, statement, [refund.item], "open")


def repair_fee(session: Session, order: PlannedOrder) -> None:
    """The fault of a fee changed by hand after everything was billed and paid."""
    assert order.fault is not None
    ((delta_minor, currency),) = [(each.delta_minor, each.currency) for each in order.fault.expected]
    assert delta_minor is not None
    assert currency is not None
    with session.transaction(1) as work:
        work.change(
            1,
            f"UPDATE public.orders SET fee_amount = fee_amount + %s, updated_at = {NOW} WHERE order_id = %s",
            (to_decimal(delta_minor, currency), order.order_id),
        )
        work.plant(order.fault)


def repair_factors(session: Session, order: PlannedOrder) -> None:
    """The fault of factors changed by hand after everything was billed and paid."""
    with session.transaction(1) as work:
        work.change(
            1,
            f"UPDATE public.orders SET factors = %s, updated_at = {NOW} WHERE order_id = %s",
            (order.repaired_factors, order.order_id),
        )
        work.plant(order.fault)


def _expectation(late: timedelta, grace_seconds: float) -> str | None:
    """None for a delay so close to the grace that both outcomes are right."""
    late_seconds = late.total_seconds()
    if late_seconds < 0.9 * grace_seconds:
        return "never-raised"
    return "raised-then-resolved" if late_seconds > grace_seconds + 1 else None


def _order_row(order: PlannedOrder) -> tuple[object, ...]:
    currency = order.shop.currency
    return (
        order.order_id,
        order.shop.shop_id,
        currency,
        to_decimal(order.gross_minor, currency),
        to_decimal(order.tax_minor, currency),
        to_decimal(order.fee_minor, currency),
        order.factors,
    )


def _move_orders(work: Work, orders: Sequence[PlannedOrder], old: str, new: str) -> None:
    completed = f"completed_at = {NOW}, " if new == "completed" else ""
    work.change(
        len(orders),
        f"UPDATE public.orders SET status = %s, {completed}updated_at = {NOW} WHERE order_id = ANY(%s) AND status = %s",
        (new, [order.order_id for order in orders], old),
    )


def _bill(work: Work, statement: PlannedStatement, items: Sequence[PlannedItem], status: str) -> None:
    """Totals first: that locks the statement, so that no item is created after it is closed unless it is meant to be."""
    if not items:
        return
    currency = statement.shop.currency
    amount_minor = sum(item.amount_minor for item in items if item.currency == currency)
    work.change(
        1,
        f"UPDATE public.statement SET amount = amount + %s, item_count = item_count + %s, updated_at = {NOW}"
        " WHERE statement_id = %s AND status = %s",
        (to_decimal(amount_minor, currency), len(items), statement.statement_id, status),
    )
    work.insert("billing_item", _ITEM, [_item_row(item, statement) for item in items])
    work.count("billing_items", len(items))


def _item_row(item: PlannedItem, statement: PlannedStatement) -> tuple[object, ...]:
    return (
        item.billing_item_id,
        item.order_id,
        item.shop_id,
        statement.statement_id,
        item.kind,
        item.source_no,
        to_decimal(item.amount_minor, item.currency),
        item.currency,
    )


def _roll_back_wrong_bill(session: Session, statement: PlannedStatement, order: PlannedOrder) -> None:
    """The trap of a transaction that bills wrongly, completes an order that never is, and is rolled back."""
    (sale,) = order.items
    ghosts: list[Trap] = [trap for trap in order.traps if trap.entity_id != order.order_id]
    with session.transaction(4, commit=False) as work:
        _bill(work, statement, [sale._replace(amount_minor=sale.amount_minor + 1)], "open")
        for trap in ghosts:
            work.insert("orders", _ORDER, [(trap.entity_id, *_order_row(order)[1:])])
            work.change(
                1,
                f"UPDATE public.orders SET status = 'completed', completed_at = {NOW} WHERE order_id = %s",
                (trap.entity_id,),
            )
