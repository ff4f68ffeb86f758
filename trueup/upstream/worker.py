"""One thread of the workload: the orders and settlements of its own shops, round after round, and what is billed late."""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from trueup.upstream.orders_flow import bill_late, bill_orders, complete_orders, open_statements, refund_orders
from trueup.upstream.plan import Books, PlannedOrder, PlannedStatement, Shop, WorkloadPlan
from trueup.upstream.session import Clock, Session
from trueup.upstream.settlement_flow import settle
from trueup.upstream.traps import LATE_WITHIN_GRACE


class Delayed(NamedTuple):
    """A completed order that is billed when the clock reads `due_at`."""

    due_at: float
    order_id: int
    order: PlannedOrder


class Worker:
    """Runs the business of some shops on one session.

    Args:
        plan: of the run.
        books: the planned business of all shops.
        shops: those that this worker serves; no other worker serves them.
        session: its own.
        clock: monotonic seconds.
        stop: when set, no further orders are taken; those taken are billed and settled, without waiting.
    """

    def __init__(
        self,
        plan: WorkloadPlan,
        books: Books,
        shops: Sequence[Shop],
        session: Session,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._plan = plan
        self._books = books
        self._shops = frozenset(shops)
        self._session = session
        self._clock = clock
        self._stop = stop
        self._delayed: list[Delayed] = []
        self._late: dict[int, PlannedStatement] = {}
        self._unbilled: dict[int, int] = {}
        self._rng = random.Random(f"{plan.seed} {sorted(shop.shop_id for shop in shops)}")

    def run(self) -> None:
        """Take and settle the orders of every round, then wait for what is billed late and settle that."""
        for statements in self._books.rounds:
            own = [statement for statement in statements if statement.shop in self._shops]
            taken = self._take_orders(own)
            for _ in settle(self._session, taken):
                self._bill_due()
            if self._stop.is_set():
                break
        while self._delayed:
            self._stop.wait(max(0.0, self._delayed[0].due_at - self._clock()))
            self._bill_due()
        whole = [statement for statement in self._late.values() if not self._unbilled[statement.statement_id]]
        for _ in settle(self._session, whole):
            pass

    def _take_orders(self, statements: Sequence[PlannedStatement]) -> list[PlannedStatement]:
        """Take all orders of a round, batches of the shops mixed; returns the statements that got all of theirs."""
        batches = [(statement, orders) for statement in statements for orders in self._batches(statement)]
        self._rng.shuffle(batches)
        open_statements(self._session, [statement for statement in statements if statement.payout is not None])
        waiting = {statement.statement_id: sum(1 for _ in self._batches(statement)) for statement in statements}
        for statement, orders in batches:
            if self._stop.is_set():
                break
            complete_orders(self._session, orders)
            if orders[0] in statement.delayed:
                self._delay(statement, orders[0])
            else:
                bill_orders(self._session, statement, orders)
            waiting[statement.statement_id] -= 1
            self._bill_due()
        taken = [statement for statement in statements if not waiting[statement.statement_id]]
        for statement in taken:
            refund_orders(self._session, statement)
        return taken

    def _batches(self, statement: PlannedStatement) -> Iterator[Sequence[PlannedOrder]]:
        size = self._plan.batch_orders
        for start in range(0, len(statement.orders), size):
            yield statement.orders[start : start + size]
        for order in statement.delayed:
            yield [order]

    def _delay(self, statement: PlannedStatement, order: PlannedOrder) -> None:
        """Put off the billing of an order that was just completed, to the late statement of its shop."""
        shop = statement.shop
        if shop.shop_id not in self._late:
            late = self._books.late[shop.shop_id]
            self._late[shop.shop_id] = late
            self._unbilled[late.statement_id] = len(late.orders)
            open_statements(self._session, [late])
        within = order.traps[0].kind == LATE_WITHIN_GRACE
        delay_seconds = self._plan.late_within_seconds if within else self._plan.late_beyond_seconds
        heapq.heappush(self._delayed, Delayed(self._clock() + delay_seconds, order.order_id, order))

    def _bill_due(self) -> None:
        while self._delayed and (self._stop.is_set() or self._delayed[0].due_at <= self._clock()):
            order = heapq.heappop(self._delayed).order
            late = self._late[order.shop.shop_id]
            bill_late(self._session, late, order, self._plan)
            self._unbilled[late.statement_id] -= 1
