"""The state of one order: its registers, what it last contributed to totals, and its cases. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from reconcile.lifecycle import Case, CaseKey, decode_case, encode_case
from streams.codec import dumps, loads
from streams.contributions import Contribution
from trueup.model.registers import Mark, OrderBooks, Register, RegisterKey
from trueup.model.tables import BillingItem, Id, Order, PayoutItem

_FORMAT: Final = 1
_DAY_US: Final = 86_400_000_000


class OrderState:
    """Everything kept for one order.

    `month_days` is the first day of the month of its wide row (days since the epoch), fixed when the order is first
    seen. `due_us` is when it must be judged again, `stored_due_us` the one that the store holds. `judged` tells whether
    the present registers have been judged, `legs_moved` whether items or lines may have changed since `contributed`.
    """

    __slots__ = ("books", "cases", "contributed", "due_us", "judged", "legs_moved", "month_days", "stored_due_us")

    def __init__(self, order_id: Id) -> None:
        self.books = OrderBooks(order_id)
        self.contributed: list[Contribution] = []
        self.cases: dict[CaseKey, Case] = {}
        self.month_days: int | None = None
        self.due_us: int | None = None
        self.stored_due_us: int | None = None
        self.judged = False
        self.legs_moved = True

    def encode(self) -> bytes:
        """JSON bytes; `decode_order_state` reads them."""
        books = self.books
        return dumps(
            (
                _FORMAT,
                books.order_id,
                self.month_days,
                self.due_us,
                self.judged,
                books.newest_us,
                list(books.orders.values()),
                list(books.items.values()),
                list(books.lines.values()),
                books.marks,
                self.contributed,
                [encode_case(case) for case in self.cases.values()],
            )
        )


def decode_order_state(data: bytes) -> OrderState:
    """The inverse of `OrderState.encode`."""
    (_format, order_id, month_days, due_us, judged, newest_us, orders, items, lines, marks, contributed, cases) = loads(
        data
    )
    state = OrderState(order_id)
    state.month_days, state.due_us, state.stored_due_us, state.judged = month_days, due_us, due_us, judged
    books = state.books
    books.newest_us = newest_us
    books.orders = decode_registers(orders, Order._make)
    books.items = decode_registers(items, BillingItem._make)
    books.lines = decode_registers(lines, PayoutItem._make)
    books.marks = [Mark._make(mark) for mark in marks]
    state.contributed = [Contribution._make(contribution) for contribution in contributed]
    for encoded in cases:
        case = decode_case(encoded)
        state.cases[case.key] = case
    return state


def decode_registers(encoded: list[list[Any]], row_of: Callable[[Any], Any]) -> dict[RegisterKey, Register[Any]]:
    """Registers from their JSON lists, rows as NamedTuples again."""
    registers: dict[RegisterKey, Register[Any]] = {}
    for source, primary_key, version, commit_us, first_us, deleted, row, partition, offset in encoded:
        registers[(source, primary_key)] = Register(
            source, primary_key, version, commit_us, first_us, deleted, None if row is None else row_of(row),
            partition, offset,
        )  # fmt: skip
    return registers


def month_of(time_us: int) -> int:
    """First day of the month of a time, in days since the epoch (UTC), by civil-calendar arithmetic.

    Source: the days-to-civil algorithm over 400-year eras; only the day of the month is needed.
    """
    days = time_us // _DAY_US
    shifted = days + 719_468
    day_of_era = shifted % 146_097
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_index = (5 * day_of_year + 2) // 153
    return days - (day_of_year - (153 * month_index + 2) // 5)
