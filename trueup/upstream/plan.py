"""What a run of the workload is asked to do, and the planned business of one run as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple

ORDERS_MAX: Final = 500_000
"""A run is planned in memory before it starts; longer runs are several runs."""

ID_BLOCK: Final = 100_000_000
"""Every run takes its ids from a block of its own, so that runs can follow each other in one database."""

OWN_FIRST: Final = 50_000_000
"""From here on in a block: sellers and rules that are made for one fault."""

GHOST_FIRST: Final = 90_000_000
"""From here on in a block: ids that are named somewhere but never become a row."""


@dataclass(frozen=True, slots=True)
class WorkloadPlan:
    """One run.

    Args:
        orders: how many orders, 1 to ORDERS_MAX.
        seed: the same seed gives the same business, apart from times.
        rate_per_second: row changes committed per second at most; None for as fast as it goes.
        faults: plant every fault kind, `fault_copies` times each, and the traps beside them.
        traps: False leaves out the traps. They make the run last longer than 3 × `grace_seconds`.
        charging: some orders are delivery runs, charged by the shipped spec `carrier`; with faults, some are charged wrongly
            or changed after billing.
        grace_seconds: how long a leg may be late; must be what the rules are set to.
        fault_copies: how often each kind of fault and trap is planted.
        connections: how many sessions write at the same time; each serves shops of its own.
        shops: how many sellers; the first has a third of all orders.
        orders_per_round: orders of one settlement cycle, at the end of which statements are closed and paid.
        batch_orders: orders of one shop in one transaction, at most.
    """

    orders: int
    seed: int = 1
    rate_per_second: float | None = None
    faults: bool = False
    traps: bool = True
    charging: bool = False
    grace_seconds: float = 300.0
    fault_copies: int = 3
    connections: int = 2
    shops: int = 24
    orders_per_round: int = 1_500
    batch_orders: int = 50

    @property
    def rounds(self) -> int:
        """Settlement cycles of the run; enough of them to place faults at several points."""
        return max(6, self.orders // self.orders_per_round)

    @property
    def late_within_seconds(self) -> float:
        """How long after completion a late but tolerated item is billed."""
        return 0.5 * self.grace_seconds

    @property
    def late_beyond_seconds(self) -> float:
        """How long after completion an item is billed that has been missed by then."""
        return 2 * self.grace_seconds + 2.0


class Shop(NamedTuple):
    """One seller."""

    shop_id: int
    payment_method: str
    rule_id: int
    currency: str


class PayoutTerms(NamedTuple):
    """One payout rule as upstream will write it; the threshold in minor units of the payment currency."""

    rule_id: int
    cycle: str
    threshold_minor: int
    payment_currency: str
    is_hold: bool


class Expectation(NamedTuple):
    """One finding that a fault must lead to; `delta_minor` = actual − expected where the rule compares amounts."""

    rule: str
    entity_kind: str
    entity_id: int
    delta_minor: int | None = None
    currency: str | None = None


class Fault(NamedTuple):
    """One planted fault with the primary findings that it must lead to."""

    fault_id: str
    kind: str
    note: str
    expected: tuple[Expectation, ...]


class Trap(NamedTuple):
    """Something that looks like a fault to a careless observer."""

    trap_id: str
    kind: str
    note: str
    rule: str
    entity_kind: str
    entity_id: int
    expectation: str


class PlannedItem(NamedTuple):
    """One billing item as upstream will write it, right or wrong."""

    billing_item_id: int
    order_id: int
    shop_id: int
    kind: str
    source_no: str
    amount_minor: int
    currency: str


class PlannedLine(NamedTuple):
    """One payout line as upstream will write it, right or wrong."""

    payout_item_id: int
    order_id: int
    billing_item_id: int
    amount_minor: int
    currency: str


@dataclass(slots=True, eq=False)
class PlannedOrder:
    """One order. `items` are billed together after completion; `fault` and `traps` say what goes wrong on the way.

    `is_run` tells a delivery run, whose amounts follow from its factors; `repaired_factors` are those that a hand puts in
    their place after billing ("" for none).
    """

    order_id: int
    shop: Shop
    gross_minor: int
    tax_minor: int
    fee_minor: int
    factors: str
    items: tuple[PlannedItem, ...] = ()
    cancelled: bool = False
    refund_status: str | None = None
    fault: Fault | None = None
    traps: tuple[Trap, ...] = ()
    is_run: bool = False
    repaired_factors: str = ""

    @property
    def net_minor(self) -> int:
        """What the seller is owed."""
        return self.gross_minor - self.tax_minor - self.fee_minor

    @property
    def is_plain(self) -> bool:
        """Whether nothing special is planned for it, so that a fault can be."""
        return (
            not self.cancelled
            and not self.is_run
            and self.refund_status is None
            and self.fault is None
            and not self.traps
            and len(self.items) == 1
        )


class PlannedRefund(NamedTuple):
    """An order's way to `status`, with the item that tells it (None where it is forgotten)."""

    order: PlannedOrder
    status: str
    item: PlannedItem | None


@dataclass(slots=True)
class PlannedPayout:
    """A payout and its lines."""

    payout_id: int
    amount_minor: int
    lines: tuple[PlannedLine, ...]


@dataclass(slots=True, eq=False)
class PlannedStatement:
    """One statement of a shop in one round with its payout; amounts in minor units of the shop's currency.

    `late_orders` join after it was closed. `delayed` are completed in this round, but billed to the late statement of
    the shop. `again` is the second payout of a duplicate; `wrong_by_minor` is added to the amount by hand,
    `release_off_minor` to the amount of its release, `funding_off_minor` to that of its funding.
    """

    statement_id: int
    shop: Shop
    round_no: int
    period_start: date
    period_end: date
    cycle: str
    orders: list[PlannedOrder] = field(default_factory=list)
    late_orders: list[PlannedOrder] = field(default_factory=list)
    delayed: list[PlannedOrder] = field(default_factory=list)
    refunds: list[PlannedRefund] = field(default_factory=list)
    payout: PlannedPayout | None = None
    again: PlannedPayout | None = None
    fails_once: bool = False
    fault: Fault | None = None
    wrong_by_minor: int = 0
    release_off_minor: int = 0
    funding_off_minor: int = 0

    def items(self) -> Iterator[PlannedItem]:
        """Everything that is billed to this statement, in the order of billing."""
        for order in self.orders:
            yield from order.items
        for refund in self.refunds:
            if refund.item is not None:
                yield refund.item
        for order in self.late_orders:
            yield from order.items


@dataclass(slots=True)
class Books:
    """The whole planned run: regular statements by round, one statement per shop that collects late items, payout rules."""

    run_no: int
    shops: tuple[Shop, ...]
    rounds: list[list[PlannedStatement]] = field(default_factory=list)
    late: dict[int, PlannedStatement] = field(default_factory=dict)
    rules: list[PayoutTerms] = field(default_factory=list)
    given: dict[str, int] = field(default_factory=dict)

    def next_id(self, table: str) -> int:
        """The next id of a table in the block of this run."""
        self.given[table] = self.given.get(table, 0) + 1
        return self.run_no * ID_BLOCK + self.given[table]

    def own_id(self) -> int:
        """An id for a seller that is made for one fault, and for the rule of that seller."""
        return self.next_id("own") + OWN_FIRST

    def ghost_id(self) -> int:
        """An id that no row will have."""
        return self.next_id("ghost") + GHOST_FIRST

    def statements(self) -> Iterator[PlannedStatement]:
        """All statements, in the order of rounds."""
        for statements in self.rounds:
            yield from statements
        yield from self.late.values()
