"""Registers: the newest version seen of each source row, and the marks that its history left.

All of it is a join-semilattice: merging changes in any order, any number of times, gives the same registers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, NamedTuple, TypeVar

from trueup.model.tables import BillingItem, Id, Order, Payout, PayoutItem, Statement

RowT = TypeVar("RowT", bound=tuple[object, ...])

RegisterKey = tuple[str, Id]
"""(source, primary key): rows are versioned within one source only."""


class Register(NamedTuple, Generic[RowT]):
    """The newest version of one row.

    `first_us` is the earliest commit time of any version seen; `partition` and `offset` tell where the held version was
    read. `row` is None when only the key of a deleted row is known.
    """

    source: str
    primary_key: Id
    version: int
    commit_us: int
    first_us: int
    deleted: bool
    row: RowT | None
    partition: int
    offset: int


class Mark(NamedTuple):
    """A past change that a rule may hold against its row: field `field` of `table` went from `old` to `new`.

    Kinds of marks: an illegal status transition (`field` is status), or an edit of a billed or paid amount or its factors.
    """

    table: str
    source: str
    primary_key: Id
    version: int
    commit_us: int
    field: str
    old: object
    new: object
    partition: int
    offset: int


MARKS_MAX: Final = 256
"""Marks kept per order or statement; the earliest win, so the bound keeps merging order-independent."""


class OrderBooks:
    """All registers of one order."""

    __slots__ = ("items", "lines", "marks", "newest_us", "order_id", "orders")

    def __init__(self, order_id: Id) -> None:
        self.order_id = order_id
        self.orders: dict[RegisterKey, Register[Order]] = {}
        self.items: dict[RegisterKey, Register[BillingItem]] = {}
        self.lines: dict[RegisterKey, Register[PayoutItem]] = {}
        self.marks: list[Mark] = []
        self.newest_us = 0


class LineTotal(NamedTuple):
    """Σ of the live payout lines of one payout in one currency."""

    count: int  # type: ignore[assignment]  # the field's name for it; tuple.count is of no use here
    amount_minor: int


class ItemTotal(NamedTuple):
    """Σ of the live billing items of one statement in one currency and status."""

    count: int  # type: ignore[assignment]  # the field's name for it; tuple.count is of no use here
    amount_minor: int


class LatestItem(NamedTuple):
    """One of the newest billing items of a statement."""

    created_us: int
    billing_item_id: Id
    order_id: Id
    amount_minor: int
    currency: str


class PartialVersion(NamedTuple):
    """Watermark of the partition that computed a partial, then its source progress at that watermark.

    The watermark comes first: progress is a sum of offsets over topics, and a replay may take the topics in another order.
    """

    watermark_us: int
    progress: int


class Partial(NamedTuple):
    """What the orders of one Kafka partition contribute to one statement; absolute, never a difference.

    `items` by (currency, status), `lines` by (payout id, currency), `latest` newest first, `newest_us` the
    newest commit time among the contributing orders.
    """

    version: PartialVersion
    items: dict[tuple[str, str], ItemTotal]
    lines: dict[tuple[Id, str], LineTotal]
    latest: tuple[LatestItem, ...]
    newest_us: int


class StatementBooks:
    """All registers of one statement, and the partial totals of its items by Kafka partition."""

    __slots__ = ("marks", "newest_us", "partials", "payouts", "statement_id", "statements", "strays")

    def __init__(self, statement_id: Id) -> None:
        self.statement_id = statement_id
        self.statements: dict[RegisterKey, Register[Statement]] = {}
        self.payouts: dict[RegisterKey, Register[Payout]] = {}
        self.partials: dict[int, Partial] = {}
        self.strays: dict[tuple[Id, int], Partial] = {}
        """Lines of this statement's payouts that name no known billing item, by (payout id, partition)."""
        self.marks: list[Mark] = []
        self.newest_us = 0


class GroupBooks:
    """All registers of the rows that share one match key of a spec's group, by the name of their leg.

    `key` holds the values of the match key in the order of the group's columns.
    """

    __slots__ = ("key", "legs", "marks", "newest_us")

    def __init__(self, key: tuple[Id, ...], legs: Iterable[str]) -> None:
        self.key = key
        self.legs: dict[str, dict[RegisterKey, Register[tuple[object, ...]]]] = {leg: {} for leg in legs}
        self.marks: list[Mark] = []
        self.newest_us = 0
