"""The planned business of a run: the same for a seed, exact, and with every fault in a place of its own."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

import pytest

from trueup.model.errors import ConfigurationError
from trueup.model.money import EXPONENTS
from trueup.upstream.books import total_minor
from trueup.upstream.faults import FAULT_KINDS, is_touched
from trueup.upstream.plan import ID_BLOCK, Books, Fault, WorkloadPlan
from trueup.upstream.session import Pacer
from trueup.upstream.traps import LATE_BEYOND_GRACE, LATE_WITHIN_GRACE, ROLLED_BACK
from trueup.upstream.workload import plan_run, share_shops

CLEAN = WorkloadPlan(orders=1_000, seed=5)
FAULTY = replace(CLEAN, orders=2_000, faults=True)


def content(books: Books) -> list[object]:
    """Everything that is planned, without object identities."""
    return [
        (
            statement.statement_id,
            [(order.order_id, order.net_minor, order.items, order.fault, order.traps) for order in statement.orders],
            [(refund.status, refund.item) for refund in statement.refunds],
            statement.payout,
            statement.again,
            statement.fault,
        )
        for statement in books.statements()
    ]


def faults_of(books: Books) -> list[Fault]:
    planned = [statement.fault for statement in books.statements()]
    for statement in books.statements():
        planned.extend(order.fault for order in (*statement.orders, *statement.late_orders))
    return [fault for fault in planned if fault is not None]


def test_a_seed_decides_the_business() -> None:
    assert content(plan_run(FAULTY, 0)) == content(plan_run(FAULTY, 0))
    assert content(plan_run(FAULTY, 0)) != content(plan_run(replace(FAULTY, seed=6), 0))


def test_runs_take_ids_from_blocks_of_their_own() -> None:
    first = {item.billing_item_id for each in plan_run(CLEAN, 0).statements() for item in each.items()}
    second = {item.billing_item_id for each in plan_run(CLEAN, 1).statements() for item in each.items()}
    assert {number + ID_BLOCK for number in first} == second


def test_clean_books_agree_to_the_minor_unit() -> None:
    books = plan_run(CLEAN, 0)
    orders = [order for statement in books.statements() for order in statement.orders]
    assert len(orders) == CLEAN.orders
    for order in orders:
        assert order.net_minor > 0
        assert sum(item.amount_minor for item in order.items) == (0 if order.cancelled else order.net_minor)
    for statement in books.statements():
        if statement.payout is not None:
            assert statement.payout.amount_minor == total_minor(statement) > 0
            assert sum(line.amount_minor for line in statement.payout.lines) == statement.payout.amount_minor
            assert [line.billing_item_id for line in statement.payout.lines] == [
                item.billing_item_id for item in statement.items()
            ]


def test_the_business_is_varied() -> None:
    books = plan_run(CLEAN, 0)
    statements = list(books.statements())
    assert {EXPONENTS[statement.shop.currency] for statement in statements} == {0, 2, 3}
    assert {item.kind for each in statements for item in each.items()} == {
        "sale",
        "refund",
        "adjustment",
        "rebate",
        "fee",
    }
    assert {order.refund_status for each in statements for order in each.orders} == {
        None,
        "refunded",
        "partially_refunded",
    }
    assert any(statement.fails_once for statement in statements)
    per_shop = Counter(statement.shop.shop_id for statement in statements for _ in statement.orders)
    (_, hot), (_, next_busy) = per_shop.most_common(2)
    assert hot > 0.25 * CLEAN.orders > 3 * next_busy


def test_every_kind_is_planted_as_often_as_asked() -> None:
    books = plan_run(replace(FAULTY, fault_copies=2), 0)
    assert Counter(fault.kind for fault in faults_of(books)) == dict.fromkeys(FAULT_KINDS, 2)
    traps = [trap for each in books.statements() for order in each.orders for trap in order.traps]
    assert {(trap.trap_id, trap.kind) for trap in traps} == {
        (f"run0-{kind}-{copy}", kind) for kind in (LATE_WITHIN_GRACE, LATE_BEYOND_GRACE, ROLLED_BACK) for copy in (1, 2)
    }


def test_faults_keep_apart_and_come_at_several_points() -> None:
    books = plan_run(FAULTY, 0)
    for statement in books.statements():
        touched = [order for order in (*statement.orders, *statement.late_orders) if order.fault or order.traps]
        late = statement in books.late.values()
        assert len(touched) + (statement.fault is not None) <= 1 or late
    touched_rounds = {statement.round_no for statement in books.statements() if is_touched(statement)}
    assert touched_rounds >= set(range(FAULTY.rounds))


def test_no_entity_is_expected_twice() -> None:
    found = [
        (each.rule, each.entity_kind, each.entity_id)
        for fault in faults_of(plan_run(FAULTY, 0))
        for each in fault.expected
    ]
    assert len(found) == len(set(found)) >= len(FAULT_KINDS) * FAULTY.fault_copies


@pytest.mark.parametrize(
    "plan",
    [
        replace(FAULTY, orders=60),
        replace(CLEAN, orders=0),
        replace(CLEAN, connections=0),
        replace(CLEAN, rate_per_second=0),
        replace(CLEAN, grace_seconds=-1),
    ],
)
def test_an_impossible_plan_is_refused(plan: WorkloadPlan) -> None:
    with pytest.raises(ConfigurationError, match="workload plan"):
        plan_run(plan, 0)


def test_shops_are_shared_by_load() -> None:
    books = plan_run(CLEAN, 0)
    shares = share_shops(books, 3)
    assert sorted(shop for share in shares for shop in share) == sorted(books.shops)
    loads = [
        sum(len(statement.orders) for statement in books.statements() if statement.shop in share) for share in shares
    ]
    assert max(loads) < 0.45 * CLEAN.orders


class StandingEvent(threading.Event):
    """An event on which waiting moves a clock instead."""

    now = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0.0
        return False


def test_the_pacer_keeps_the_rate_and_allows_a_short_burst() -> None:
    stop = StandingEvent()
    pacer = Pacer(1_000, stop, lambda: stop.now)
    for _ in range(101):
        pacer.take(10)
    assert stop.now == pytest.approx(1.0)
    stop.now += 60
    waited_from = stop.now
    for _ in range(21):
        pacer.take(10)
    assert stop.now == waited_from
    pacer.take(10)
    pacer.take(10)
    assert stop.now > waited_from
