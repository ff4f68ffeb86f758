"""Delivery runs of the reference workload: charged as the shipped spec charges them, but for the planted ones."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest

from reconcile.charging.load import load_charging
from reconcile.charging.verdict import expected_charge_minor
from trueup.model.tables import Order
from trueup.upstream.carrier import CURRENCY, EDITED_FACTORS, RUN_SHARE, WRONG_CHARGE, Run, charge_minor, draw_run
from trueup.upstream.plan import Books, PlannedOrder, WorkloadPlan
from trueup.upstream.workload import plan_run

PLAN = WorkloadPlan(orders=4_000, seed=5, faults=True, charging=True)


def orders_of(books: Books) -> list[PlannedOrder]:
    return [order for statement in books.statements() for order in statement.orders]


def with_factors(factors: str) -> Order:
    return Order(1, 9, CURRENCY, 0, 0, 0, factors, "completed", None, 0)


def test_a_run_by_hand() -> None:
    """(120 + 3 × 3.50 + 12.5 × 1.20 + 0.18 × 85 + 2.25) × 1 × 0.8 = 130.44; + 500 − 15.50."""
    run = Run(
        "van", 18, Decimal("52.5"), Decimal("0.48"), 1, is_repeat=True, attendance_days=22, damage=Decimal("15.50")
    )
    assert charge_minor(run) == 61_494


def test_both_ways_of_charging_agree() -> None:
    charging, rng = load_charging("carrier"), random.Random(3)
    runs = [draw_run(rng) for _ in range(500)]
    for run in runs:
        expected = expected_charge_minor(charging, with_factors(run.factors()))
        assert expected is not None
        assert (expected.amount_minor, expected.problem) == (charge_minor(run), "")
    assert {run.attendance_days for run in runs} == {0, 22, 27, 31}


def test_orders_that_are_no_runs_are_not_charged() -> None:
    charging = load_charging("carrier")
    order = next(order for order in orders_of(plan_run(PLAN, 0)) if not order.is_run)
    assert expected_charge_minor(charging, with_factors(order.factors)) is None


def test_runs_are_billed_as_agreed_but_for_the_planted_ones() -> None:
    charging = load_charging("carrier")
    runs = [order for order in orders_of(plan_run(PLAN, 0)) if order.is_run]
    plain = [order for order in orders_of(plan_run(PLAN, 0)) if order.shop.currency == CURRENCY]
    assert 0.5 * RUN_SHARE < len(runs) / len(plain) < 1.5 * RUN_SHARE
    wrong = []
    for order in runs:
        expected = expected_charge_minor(charging, with_factors(order.factors))
        assert expected is not None
        assert expected.amount_minor is not None
        (sale,) = order.items
        assert sale.amount_minor == order.net_minor > 0
        if order.fault is not None and order.fault.kind == WRONG_CHARGE:
            (finding,) = order.fault.expected
            assert sale.amount_minor - expected.amount_minor == finding.delta_minor
            wrong += [order]
        else:
            assert sale.amount_minor == expected.amount_minor
    assert len(wrong) == PLAN.fault_copies


def test_factors_are_changed_so_that_more_is_owed_than_was_billed() -> None:
    charging = load_charging("carrier")
    repaired = [order for order in orders_of(plan_run(PLAN, 0)) if order.repaired_factors]
    assert [order.fault and order.fault.kind for order in repaired] == [EDITED_FACTORS] * PLAN.fault_copies
    for order in repaired:
        assert order.fault is not None
        (finding,) = order.fault.expected
        owed = expected_charge_minor(charging, with_factors(order.repaired_factors))
        assert owed is not None
        assert owed.amount_minor is not None
        assert finding.delta_minor == order.net_minor - owed.amount_minor < 0


@pytest.mark.parametrize("faults", [False, True])
def test_without_charging_there_are_no_runs(*, faults: bool) -> None:
    books = plan_run(replace(PLAN, charging=False, faults=faults), 0)
    assert not any(order.is_run for order in orders_of(books))
