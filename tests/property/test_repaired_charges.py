"""Charging adds to the rules written by hand what a plain reading of an order's history says of its charge, and nothing else."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.hand_order_rules import judge_order, view_order
from reconcile.charging.load import load_charging
from reconcile.settlement import settlement_rules, shipped_settlement
from reconcile.spec.model import Tolerances
from streams.merge import merge
from tests.histories import Step, happened
from tests.source_log import SECOND_US, SOURCE, SourceLog, changes_of
from trueup.model.registers import OrderBooks

TOLERANCES = Tolerances(5 * SECOND_US, {}, load_charging("carrier"))
RULES = settlement_rules(shipped_settlement(), TOLERANCES)

RUN = '{"service":"delivery","vehicle":"van","stops":15,"km":"%s","weight_t":"0.3"}'
CHARGES: dict[str | None, int | None] = {
    RUN % 50: 13200,
    RUN % 60: 14400,
    RUN % "50.00": 13200,
    '{"service":"freight"}': None,
    None: None,
}
"""Factors → what they cost, in fen; None where nothing is agreed."""

WITHOUT_RESULT = '{"service":"delivery","vehicle":"van","stops":15}'
FACTORS = st.sampled_from((*CHARGES, RUN % 50, RUN % 60, WITHOUT_RESULT))
AMOUNTS = st.sampled_from(("132.00", "132.00", "144.00", "12.00", "0"))
BILLED: list[Step] = [
    ("put", "orders", SOURCE, {"currency": "CNY", "factors": RUN % 50, "gross_amount": "134.00"}),
    ("put", "billing_item", SOURCE, {"currency": "CNY", "amount": "132.00"}),
    ("tick", "", "", {}),
]


def steps() -> st.SearchStrategy[list[Step]]:
    """What happens to one order and its items, in commit order."""
    order: dict[str, st.SearchStrategy[Any]] = {
        "factors": FACTORS,
        "gross_amount": st.sampled_from(("134.00", "146.00")),
    }
    item: dict[str, st.SearchStrategy[Any]] = {
        "amount": AMOUNTS, "kind": st.sampled_from(("sale", "adjustment", "refund")), "source_no": st.sampled_from("12"),
        "currency": st.sampled_from(("CNY", "CNY", "CNY", "USD")),
    }  # fmt: skip
    ids = {"billing_item_id": st.sampled_from((1, 1, 2, 10))}
    put_order = st.fixed_dictionaries({}, optional=order).map(lambda fields: {"currency": "CNY", **fields})
    charged_anew = FACTORS.map(lambda text: {"currency": "CNY", "factors": text})
    put_item = st.fixed_dictionaries(ids, optional=item).map(lambda fields: {"currency": "CNY", **fields})
    return st.lists(
        st.one_of(
            st.just(("tick", "", "", {})),
            st.tuples(st.just("put"), st.just("orders"), st.just(SOURCE), put_order),
            st.tuples(st.just("put"), st.just("orders"), st.just(SOURCE), charged_anew),
            st.tuples(st.just("put"), st.just("billing_item"), st.just(SOURCE), put_item),
            st.tuples(st.just("delete"), st.just("billing_item"), st.just(SOURCE), st.fixed_dictionaries(ids)),
        ),
        max_size=12,
    )


def minor(amount: str) -> int:
    return int(Decimal(amount).scaleb(2))


def told_of_the_charge(log: SourceLog) -> list[tuple[str, int | None, int | None]]:
    """(rule, expected, actual) by docs/rules.md, read off the source."""
    order = next(iter(log.live("orders")), None)
    items = sorted(log.live("billing_item"), key=lambda item: int(item["billing_item_id"]))
    sales = [item for item in items if item["kind"] == "sale"]
    if order is None or not sales:
        return []
    if order["factors"] == WITHOUT_RESULT:
        return [("wrong-charge", None, None)]
    counted = {(item["kind"], item["source_no"]): item for item in reversed(items) if item["kind"] != "refund"}
    charge, billed = CHARGES[order["factors"]], sum(minor(item["amount"]) for item in counted.values())
    if charge in (None, billed) or any(item["currency"] != order["currency"] for item in counted.values()):
        return []
    billed_us = min(log.first_commit_us("billing_item", sale) for sale in sales)
    changed = [
        step.before["factors"]
        for step in log.history
        if step.table == "orders" and step.before is not None and step.after is not None and step.commit_us > billed_us
        and step.before["factors"] not in (None, step.after["factors"])
    ]  # fmt: skip
    is_repair = bool(changed) and CHARGES.get(changed[0]) == billed
    return [("silent-repair" if is_repair else "wrong-charge", charge, billed)]


@given(st.sampled_from(([], BILLED)), steps(), st.data())
def test_charging_adds_what_the_history_says(before: list[Step], what: list[Step], data: st.DataObject) -> None:
    log = happened(before + what)
    books = OrderBooks(1)
    for change in data.draw(st.permutations(changes_of(log))):
        merge(books, change)
    found = [(one.rule, one.entity_kind, one.expected_minor, one.actual_minor) for one in RULES.judge_order(books)]
    by_hand = [
        (one.rule, one.entity_kind, one.expected_minor, one.actual_minor)
        for one in judge_order(view_order(books, TOLERANCES))
    ]
    of_the_charge = [(rule, "order", expected, actual) for rule, expected, actual in told_of_the_charge(log)]
    assert Counter(found) == Counter(by_hand) + Counter(of_the_charge)
    # Of two findings of one rule about one entity the first counts: that of the charge.
    first = next((one for one in found if one[:2] == ("silent-repair", "order")), None)
    assert first == next((one for one in of_the_charge if one[0] == "silent-repair"), first)
