"""Clearing keeps every minor unit, and the snapshot tells equal factors from different ones."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from reconcile.charging.clearing import clear
from reconcile.charging.factors import read_factors, snapshot
from reconcile.charging.model import Factor, FeeItem
from reconcile.formula.kinds import Value

FEES = st.builds(
    FeeItem,
    rule=st.sampled_from(["r", "s"]),
    name=st.sampled_from(["f", "g"]),
    party=st.sampled_from(["carrier", "platform", "tax office"]),
    type=st.sampled_from(["freight", "subsidy"]),
    direction=st.sampled_from(["payable", "receivable"]),
    currency=st.sampled_from(["CNY", "JPY", "KWD"]),
    amount_minor=st.integers(-(10**12), 10**12),
)
KNOWN = {"km": Factor("number", None), "vehicle": Factor("text", None), "is_repeat": Factor("flag", None)}
VALUES = st.fixed_dictionaries(
    {
        "km": st.decimals(-(10**9), 10**9, places=3, allow_nan=False),
        "vehicle": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        "is_repeat": st.booleans(),
    }
)


@given(st.lists(FEES, max_size=12))
def test_clearing_keeps_every_minor_unit_in_any_order(fees: list[FeeItem]) -> None:
    cleared = clear(fees)
    assert clear(reversed(fees)) == cleared
    for net in cleared.nets:
        own = [fee for fee in fees if (fee.party, fee.currency) == (net.party, net.currency)]
        assert net.payable_minor == sum(fee.amount_minor for fee in own if fee.direction == "payable")
        assert net.receivable_minor == sum(fee.amount_minor for fee in own if fee.direction == "receivable")
        assert net.net_minor == net.payable_minor - net.receivable_minor
    assert {(net.party, net.currency) for net in cleared.nets} == {(fee.party, fee.currency) for fee in fees}
    assert sum(share.amount_minor for share in cleared.shares) == sum(fee.amount_minor for fee in fees)
    assert len({share[:4] for share in cleared.shares}) == len(cleared.shares)


@given(VALUES, VALUES)
def test_a_snapshot_reads_back_and_is_equal_for_equal_values_only(one: dict[str, Value], two: dict[str, Value]) -> None:
    first, second = snapshot(one, one), snapshot(two, two)
    assert read_factors(first.json, KNOWN) == one
    assert (first == second) == (one == two)
    km = one["km"]
    assert isinstance(km, Decimal)
    assert snapshot(one | {"km": km * Decimal("1.0")}, one) == first
