"""Rows of the ClickHouse wide tables, built from states. Pure; the column order is that of `clickhouse.schema`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from reconcile.finding import id_order
from reconcile.statement_view import RunningTotal, StatementView
from streams.contributions import Contribution
from streams.order_state import OrderState
from streams.statement_state import StatementState
from trueup.model.money import scaled
from trueup.model.registers import OrderBooks, Partial, Register
from trueup.model.tables import Id, Order


def live_order(books: OrderBooks) -> Order | None:
    """The order row; where two sources hold one order id, the first source by name speaks for it."""
    live = [held for held in books.orders.values() if not held.deleted]
    if len(live) == 1:
        return live[0].row
    return min(live, key=lambda held: held.source).row if live else None


def order_wide_row(state: OrderState, encoded: bytes, partition: int, version: int) -> tuple[object, ...]:
    """One row of `order_wide`; `encoded` is the encoded state."""
    books = state.books
    order = live_order(books)
    items = [held.row for held in books.items.values() if not held.deleted and held.row is not None]
    lines = [held.row for held in books.lines.values() if not held.deleted and held.row is not None]
    if order is None:
        # Without their order, the leg with the lowest id speaks: what is read must not depend on the order of arrival.
        items.sort(key=lambda item: id_order(item.billing_item_id))
        lines.sort(key=lambda line: id_order(line.payout_item_id))
    currency = order.currency if order else items[0].currency if items else lines[0].currency if lines else ""
    billed = sum(item.amount_minor for item in items if item.currency == currency)
    paid_out = sum(line.amount_minor for line in lines if line.currency == currency)
    factor = scaled(1, currency) if currency else 1
    shop = order.shop_id if order else items[0].shop_id if items else ""
    open_rules = sorted({case.finding.rule for case in state.cases.values() if case.is_open}) if state.cases else []
    registers: tuple[Register[Any], ...] = (*books.orders.values(), *books.items.values(), *books.lines.values())
    return (
        books.order_id, partition, state.month_days, version, shop, currency,
        order.status if order else "",
        order.gross_minor * factor if order else None, order.tax_minor * factor if order else None,
        order.fee_minor * factor if order else None, order.net_minor * factor if order else None,
        order.completed_us if order else None, order.updated_us if order else None,
        billed * factor, len(items), paid_out * factor, len(lines),
        list({str(item.statement_id) for item in items}),
        verdict_of(judged=state.judged, open_rules=open_rules, due_us=state.due_us), open_rules, state.due_us,
        min((held.first_us for held in registers), default=books.newest_us), books.newest_us,
        *_contribution_arrays(state.contributed), literal(books.order_id),
        encoded.decode(),
    )  # fmt: skip


_NO_CONTRIBUTIONS: Final[tuple[list[object], ...]] = ([], [], [], [], [], [], [], [], [])


def _contribution_arrays(contributed: list[Contribution]) -> tuple[Sequence[object], ...]:
    """The contributions by column: kind, statement, payout, currency, status, count, amount, created, item."""
    if not contributed:
        return _NO_CONTRIBUTIONS
    statements, payouts, currencies, statuses, amounts, created, items, _orders = zip(*contributed, strict=True)
    return (
        ["item" if payout is None else "line" for payout in payouts], list(map(literal, statements)),
        list(map(literal, payouts)), currencies, statuses, (1,) * len(contributed), amounts, created,
        list(map(literal, items)),
    )  # fmt: skip


def literal(identifier: Id | None) -> str:
    """The id as JSON, so that a rebuild gets numbers as numbers and text as text."""
    return str(identifier) if type(identifier) is int else orjson.dumps(identifier).decode()


def verdict_of(*, judged: bool, open_rules: list[str], due_us: int | None) -> str:
    """What the wide tables say of an entity: pending, matched or discrepant."""
    if open_rules:
        return "discrepant"
    return "matched" if judged and due_us is None else "pending"


def statement_wide_row(
    state: StatementState, encoded: bytes, view: StatementView, partition: int, version: int
) -> tuple[object, ...]:
    """One row of `statement_wide`; `encoded` is the encoded state."""
    books, statement = state.books, view.statement
    totals = sorted(view.totals.items())
    currency = statement.currency if statement else totals[0][0] if totals else ""
    if not currency and view.payouts and view.payouts[0].row is not None:
        currency = view.payouts[0].row.currency
    running = view.totals.get(currency, RunningTotal(0, 0))
    payouts = [held.row for held in view.payouts if held.row is not None]
    paid = sum(payout.amount_minor for payout in payouts if payout.currency == currency)
    lines = [
        (line_currency, total)
        for partial in (*books.partials.values(), *books.strays.values())
        for (_payout, line_currency), total in partial.lines.items()
    ]
    line_amount = sum(total.amount_minor for line_currency, total in lines if line_currency == currency)
    open_rules = sorted({case.finding.rule for case in state.cases.values() if case.is_open}) if state.cases else []
    return (
        books.statement_id, partition, state.month_days, version,
        statement.shop_id if statement else payouts[0].shop_id if payouts else "",
        statement.cycle if statement else "", currency, statement.status if statement else "",
        statement.period_start if statement else None, statement.period_end if statement else None,
        statement.closed_us if statement else None, statement.item_count if statement else None,
        scaled(statement.amount_minor, currency) if statement else None,
        view.item_count, scaled(running.amount_minor, currency) if running.amount_minor else 0,
        scaled(statement.amount_minor - running.amount_minor, currency) if statement else None,
        [one for one, _ in totals], [total.count for _, total in totals],
        [scaled(total.amount_minor, one) for one, total in totals],
        len(payouts), scaled(paid, currency) if paid else 0,
        sum(total.count for _, total in lines), scaled(line_amount, currency) if line_amount else 0,
        verdict_of(judged=state.judged, open_rules=open_rules, due_us=state.due_us), open_rules, state.due_us,
        books.newest_us, encoded.decode(),
    )  # fmt: skip


def statement_partial_row(statement_id: Id, partition: int, version: int, partial: Partial) -> tuple[object, ...]:
    """One row of `statement_partial`."""
    entries = sorted(partial.items.items())
    return (
        statement_id, partition, version,
        [currency for (currency, _), _ in entries], [status for (_, status), _ in entries],
        [total.count for _, total in entries],
        [scaled(total.amount_minor, currency) for (currency, _), total in entries],
    )  # fmt: skip
