"""The carrier example, order by order, against amounts that were worked out on paper.

van:   start 120 (15 stops, 40 km, 0.3 t), then 3.50 a stop, 1.20 a km, 85 a tonne, 2.25 a reverse stop
truck: start 260 (20 stops, 60 km, 1.5 t), then 5.00 a stop, 2.10 a km, 60 a tonne, 4.00 a reverse stop
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconcile.charging.charge import charge
from reconcile.charging.load import load_charging
from reconcile.charging.model import Charge
from reconcile.charging.verdict import ExpectedCharge, expected_charge_minor
from trueup.model.tables import Order

CARRIER = load_charging("carrier")
VAN = {"service": "delivery", "vehicle": "van", "stops": 10, "km": "30", "weight_t": "0.2"}
TRUCK = {"service": "delivery", "vehicle": "truck", "stops": 36, "km": "100.4", "weight_t": "2.4"}


def charged(factors: dict[str, Any]) -> Charge:
    found = charge(CARRIER, json.dumps(factors), order_currency="CNY")
    assert found is not None
    return found


def amounts(factors: dict[str, Any]) -> dict[str, int]:
    return {fee.name: fee.amount_minor for fee in charged(factors).fees}


def order(factors: dict[str, Any] | None, currency: str = "CNY") -> Order:
    text = None if factors is None else json.dumps(factors)
    return Order(1, 7, currency, 0, 0, 0, text, "completed", 0, 0)


@pytest.mark.parametrize(
    ("factors", "freight", "subsidy"),
    [
        # Nothing beyond the start: 120 × max(10/30, 0.2/0.48, 1) = 120.
        (VAN, 120_00, 0),
        # 25 further stops: (120 + 25 × 3.50) × 40/30 = 207.50 × 4/3 = 276.666… → 276.67.
        (VAN | {"stops": 40, "km": 40, "weight_t": "0.3", "attendance_days": 20}, 276_67, 0),
        # 120 + 7 × 3.50 + 22.5 × 1.20 + 0.3 × 85 + 3 × 2.25 = 120 + 24.50 + 27 + 25.50 + 6.75 = 203.75;
        # × max(22/30, 0.6/0.48 = 1.25, 1) × 0.8 for the repeat run = 203.75; 26 days → 700.
        (
            VAN | {"stops": 22, "km": "62.5", "weight_t": "0.6", "reverse_stops": 3, "is_repeat": True, "attendance_days": 26},
            203_75, 700_00,
        ),
        # 120 + 0.02 × 1.20 + 0.3 × 85 = 145.524; × 0.6/0.48 = 181.905, half a cent → 181.91; 25 days → 500.
        (VAN | {"stops": 15, "km": "40.02", "weight_t": "0.6", "attendance_days": 25}, 181_91, 500_00),
        # 260 + 16 × 5 + 40.4 × 2.10 + 0.9 × 60 + 2 × 4 = 260 + 80 + 84.84 + 54 + 8 = 486.84;
        # × max(36/30, 2.4/0.48 = 5, 1) = 2,434.20; 31 days → 1,000.
        (TRUCK | {"reverse_stops": 2, "attendance_days": 31}, 2_434_20, 1_000_00),
        # Reverse stops and repeat alone: (260 + 1 × 4) × 1 × 0.8 = 211.20; 30 days → 700.
        (
            TRUCK | {"stops": 1, "km": 1, "weight_t": "0.1", "reverse_stops": 1, "is_repeat": True, "attendance_days": 30},
            211_20, 700_00,
        ),
    ],
)  # fmt: skip
def test_the_carrier_is_owed_what_paper_says(factors: dict[str, Any], freight: int, subsidy: int) -> None:
    assert amounts(factors) == {"freight": freight, "attendance_subsidy": subsidy, "damage_deduction": 0}
    expected = expected_charge_minor(CARRIER, order(factors))
    assert expected is not None
    assert expected.amount_minor == freight + subsidy


def test_a_deduction_is_netted_against_what_is_payable() -> None:
    # 120.00 payable, 12.345 → 12.35 receivable: 107.65 net.
    found = charged(VAN | {"damage": "12.345"})
    assert [(net.payable_minor, net.receivable_minor, net.net_minor) for net in found.clearing.nets] == [
        (120_00, 12_35, 107_65)
    ]
    assert [(share.type, share.direction, share.amount_minor) for share in found.clearing.shares] == [
        ("deduction", "receivable", 12_35),
        ("freight", "payable", 120_00),
        ("subsidy", "payable", 0),
    ]


def test_the_rule_of_the_vehicle_applies() -> None:
    assert charged(VAN).rules == ("van",)
    assert charged(TRUCK).rules == ("truck",)


@pytest.mark.parametrize(
    "factors", [None, {}, {"base": "12.00"}, VAN | {"service": "storage"}, VAN | {"vehicle": "bike"}]
)
def test_other_orders_get_no_verdict(factors: dict[str, Any] | None) -> None:
    assert expected_charge_minor(CARRIER, order(factors)) is None


def test_a_charge_that_cannot_be_computed_is_told() -> None:
    found = expected_charge_minor(CARRIER, order({"service": "delivery", "vehicle": "van", "km": "3"}))
    assert found == ExpectedCharge(
        None, "carrier 1", "stops is not given · the values · give a value for stops", ""
    )  # fmt: skip


def test_another_currency_than_the_orders_is_told() -> None:
    found = expected_charge_minor(CARRIER, order(VAN, "USD"))
    assert found is not None
    assert (found.amount_minor, found.problem) == (None, "the spec charges CNY, the order is in USD")


def test_the_snapshot_keeps_what_was_used() -> None:
    found = expected_charge_minor(CARRIER, order(VAN | {"driver": "Li", "km": "30.00"}))
    snapshot = charged(VAN).snapshot
    assert json.loads(snapshot.json) == {
        "attendance_days": "0", "damage": "0", "is_repeat": False, "km": "30", "reverse_stops": "0", "service": "delivery",
        "stops": "10", "vehicle": "van", "weight_t": "0.2",
    }  # fmt: skip
    assert found is not None
    assert found.factors_sha256 == snapshot.sha256
    assert found.rule == "carrier 1: van"
