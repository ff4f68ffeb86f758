"""The state of one statement: its registers, the partial totals of all partitions, and its cases. Pure."""

from __future__ import annotations

from typing import Any, Final

from reconcile.lifecycle import Case, CaseKey, decode_case, encode_case
from streams.codec import dumps, loads
from streams.order_state import decode_registers
from trueup.model.registers import (
    ItemTotal,
    LatestItem,
    LineTotal,
    Mark,
    Partial,
    PartialVersion,
    StatementBooks,
)
from trueup.model.tables import Id, Payout, Statement

_FORMAT: Final = 1


class StatementState:
    """Everything kept for one statement; fields as in `OrderState`. `published` is the totals message last sent."""

    __slots__ = ("books", "cases", "due_us", "judged", "month_days", "published", "stored_due_us")

    def __init__(self, statement_id: Id) -> None:
        self.books = StatementBooks(statement_id)
        self.cases: dict[CaseKey, Case] = {}
        self.month_days: int | None = None
        self.due_us: int | None = None
        self.stored_due_us: int | None = None
        self.judged = False
        self.published: list[Any] = []

    def encode(self) -> bytes:
        """JSON bytes; `decode_statement_state` reads them."""
        books = self.books
        return dumps(
            (
                _FORMAT,
                books.statement_id,
                self.month_days,
                self.due_us,
                self.judged,
                books.newest_us,
                list(books.statements.values()),
                list(books.payouts.values()),
                [(partition, encode_partial(partial)) for partition, partial in books.partials.items()],
                [(payout, partition, encode_partial(partial)) for (payout, partition), partial in books.strays.items()],
                books.marks,
                [encode_case(case) for case in self.cases.values()],
                self.published,
            )
        )


def decode_statement_state(data: bytes) -> StatementState:
    """The inverse of `StatementState.encode`."""
    (_format, statement_id, month_days, due_us, judged, newest_us, statements, payouts, partials, strays, marks, cases,
     published) = loads(data)  # fmt: skip
    state = StatementState(statement_id)
    state.month_days, state.due_us, state.stored_due_us, state.judged = month_days, due_us, due_us, judged
    state.published = published
    books = state.books
    books.newest_us = newest_us
    books.statements = decode_registers(statements, Statement._make)
    books.payouts = decode_registers(payouts, Payout._make)
    books.partials = {partition: decode_partial(partial) for partition, partial in partials}
    books.strays = {(payout, partition): decode_partial(partial) for payout, partition, partial in strays}
    books.marks = [Mark._make(mark) for mark in marks]
    for encoded in cases:
        case = decode_case(encoded)
        state.cases[case.key] = case
    return state


def encode_partial(partial: Partial) -> list[object]:
    """The partial as JSON-ready lists: [version, items, lines, latest, newest_us]."""
    return [
        list(partial.version),
        [[*key, *total] for key, total in partial.items.items()],
        [[*key, *total] for key, total in partial.lines.items()],
        [list(item) for item in partial.latest],
        partial.newest_us,
    ]


def decode_partial(encoded: list[Any]) -> Partial:
    """The inverse of `encode_partial`; ValueError or TypeError when the lists have another shape."""
    version, items, lines, latest, newest_us = encoded
    return Partial(
        PartialVersion._make(version),
        {(currency, status): ItemTotal(count, amount) for currency, status, count, amount in items},
        {(payout, currency): LineTotal(count, amount) for payout, currency, count, amount in lines},
        tuple(LatestItem._make(item) for item in latest),
        newest_us,
    )
