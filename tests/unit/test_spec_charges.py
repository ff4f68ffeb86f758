"""wrong-charge: what was billed against the charging spec, for orders that the spec is meant for; and repairs of their factors."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from reconcile.causes.orders import cause_in_order, order_facts
from reconcile.charging.load import load_charging
from reconcile.finding import Finding
from reconcile.settlement import settlement_rules, shipped_settlement
from streams.merge import merge
from tests.partition_bench import TOLERANCES
from tests.source_log import SourceLog, changes_of
from tests.spec_books import HEAD, books_of, group_of, rule_text
from trueup.model.registers import OrderBooks

RULES = settlement_rules(shipped_settlement(), TOLERANCES._replace(charging=load_charging("carrier")))
UNCHARGED = settlement_rules(shipped_settlement(), TOLERANCES)
# van: start price 120 for 15 stops, 40 km and 0.3 t; 10 km more at 1.20 make 132; 30 stops or 0.48 t would convert.
RUN = {"service": "delivery", "vehicle": "van", "stops": 15, "km": "50", "weight_t": "0.3"}
RUN_COSTS = "132.00"
LONGER_RUN = RUN | {"km": "60"}
LONGER_RUN_COSTS_MINOR = 14400


def log(billed: str, factors: dict[str, Any] | None = None) -> SourceLog:
    text = text_of(RUN if factors is None else factors)
    amounts = {"gross_amount": billed, "tax_amount": "0", "fee_amount": "0"}
    return SourceLog().put("orders", factors=text, currency="CNY", **amounts).put(
        "billing_item", amount=billed, currency="CNY"
    )  # fmt: skip


def text_of(factors: dict[str, Any]) -> str:
    return orjson.dumps(factors).decode()


def books_after(source: SourceLog) -> OrderBooks:
    books = OrderBooks(1)
    for change in changes_of(source):
        merge(books, change)
    return books


def findings(source: SourceLog, rules: Any = RULES) -> list[Finding]:
    return [one for one in rules.judge_order(books_after(source)) if one.rule == "wrong-charge"]


def told(source: SourceLog) -> list[tuple[str, int | None, int | None]]:
    """(rule, expected, actual) of all findings about the order itself."""
    found = RULES.judge_order(books_after(source))
    return [(one.rule, one.expected_minor, one.actual_minor) for one in found if one.entity_kind == "order"]


def test_an_order_that_is_billed_as_charged_is_in_order() -> None:
    assert findings(log(RUN_COSTS)) == []


def test_another_amount_is_told_with_the_rule_that_charged() -> None:
    (wrong,) = findings(log("131.99"))
    assert (wrong.entity_kind, wrong.entity_id, wrong.expected_minor, wrong.actual_minor) == ("order", 1, 13200, 13199)
    assert wrong.currency == "CNY"
    assert wrong.detail.startswith("the billing items do not add up to the charge by carrier 1: ")
    assert [leg.table for leg in wrong.evidence] == ["orders", "billing_item"]


def test_a_charge_that_cannot_be_computed_does_not_pass() -> None:
    (told,) = findings(log(RUN_COSTS, {key: RUN[key] for key in ("service", "vehicle", "stops")}))
    assert (told.expected_minor, told.actual_minor) == (None, None)
    assert told.detail.startswith("the charge cannot be computed: ")


@pytest.mark.parametrize("source", [log("1.00", {"service": "freight"}), SourceLog().put("orders").put("billing_item")])
def test_an_order_that_the_spec_is_not_meant_for_is_not_judged(source: SourceLog) -> None:
    assert findings(source) == []


def test_without_a_charging_spec_nothing_is_charged() -> None:
    assert findings(log("1.00"), UNCHARGED) == []


def test_an_unbilled_order_is_missing_its_bill_and_nothing_else() -> None:
    assert findings(log("1.00").delete("billing_item")) == []


REPAIRED = ("silent-repair", LONGER_RUN_COSTS_MINOR, 13200)
WRONG = ("wrong-charge", LONGER_RUN_COSTS_MINOR, 13200)


def test_factors_changed_after_billing_are_a_silent_repair_and_no_wrong_charge() -> None:
    source = log(RUN_COSTS).tick().put("orders", factors=text_of(LONGER_RUN))
    assert told(source) == [REPAIRED]
    (one, *_) = RULES.judge_order(books_after(source))
    assert (one.currency, one.shop_id, one.statement_id) == ("CNY", 9, 1)
    assert one.detail == "the factors of the charge changed after the order was billed, and the bill was not corrected"
    assert [leg.table for leg in one.evidence] == ["orders", "billing_item"]


def test_a_bill_that_fits_neither_charge_is_a_wrong_charge() -> None:
    source = log("131.99").tick().put("orders", factors=text_of(LONGER_RUN))
    assert told(source) == [("wrong-charge", LONGER_RUN_COSTS_MINOR, 13199)]


def test_what_was_charged_before_the_first_change_counts() -> None:
    source = log(RUN_COSTS).tick().put("orders", factors=text_of(RUN | {"km": "55"}))
    assert told(source.tick().put("orders", factors=text_of(LONGER_RUN))) == [REPAIRED]
    between = log("138.00").tick().put("orders", factors=text_of(RUN | {"km": "55"})).tick()
    assert told(between.put("orders", factors=text_of(LONGER_RUN))) == [("wrong-charge", LONGER_RUN_COSTS_MINOR, 13800)]


def test_a_change_before_or_with_the_bill_is_no_repair() -> None:
    amounts = {"gross_amount": RUN_COSTS, "tax_amount": "0", "fee_amount": "0", "currency": "CNY"}
    before = (
        SourceLog().put("orders", factors=text_of(RUN), **amounts).tick().put("orders", factors=text_of(LONGER_RUN))
    )
    assert told(before.tick().put("billing_item", amount=RUN_COSTS, currency="CNY")) == [WRONG]
    assert told(log(RUN_COSTS).put("orders", factors=text_of(LONGER_RUN))) == [WRONG]


def test_a_repair_that_is_taken_back_or_billed_anew_is_over() -> None:
    repaired = log(RUN_COSTS).tick().put("orders", factors=text_of(LONGER_RUN)).tick()
    assert told(repaired.put("orders", factors=text_of(RUN))) == []
    again = log(RUN_COSTS).tick().put("orders", factors=text_of(LONGER_RUN), gross_amount="144.00").tick()
    assert told(again.put("billing_item", billing_item_id=2, kind="adjustment", amount="12.00", currency="CNY")) == []


def test_factors_that_the_charge_does_not_use_may_change() -> None:
    assert told(log(RUN_COSTS).tick().put("orders", factors=text_of(RUN | {"driver": "Li"}))) == []


@pytest.mark.parametrize("factors", [None, {"service": "freight"}, {"service": "delivery", "vehicle": "van"}])
def test_without_a_charge_as_billed_it_is_a_wrong_charge(factors: dict[str, Any] | None) -> None:
    amounts = {"gross_amount": RUN_COSTS, "tax_amount": "0", "fee_amount": "0", "currency": "CNY"}
    source = SourceLog().put("orders", factors=factors and text_of(factors), **amounts)
    source.put("billing_item", amount=RUN_COSTS, currency="CNY").tick()
    assert told(source.put("orders", factors=text_of(LONGER_RUN))) == [WRONG]


def test_factors_that_give_no_charge_any_more_do_not_pass() -> None:
    assert told(log(RUN_COSTS).tick().put("orders", factors=text_of({"service": "delivery", "vehicle": "van"}))) == [
        ("wrong-charge", None, None)
    ]


def test_of_amounts_and_factors_repaired_the_charge_is_told_first() -> None:
    source = log(RUN_COSTS).tick().put("orders", factors=text_of(LONGER_RUN), fee_amount="1.00")
    assert told(source) == [REPAIRED, ("silent-repair", 13100, 13200)]


def test_the_likely_cause_names_the_factors_that_changed() -> None:
    source = log(RUN_COSTS).tick(12).put("orders", factors=text_of(LONGER_RUN), fee_amount="1.00")
    books = books_after(source)
    causes = [cause_in_order(one, order_facts(books)) for one in RULES.judge_order(books)[:2]]
    assert [(cause.name, cause.detail.partition(" at ")[0]) for cause in causes if cause is not None] == [
        ("factor-edited", "the factors km changed"),
        ("factor-edited", "fee_amount went from 0.00 CNY to 1.00 CNY"),
    ]


def test_a_users_spec_names_its_own_charging_spec() -> None:
    rule = rule_text("formula", leg="bank", charging="carrier", factors="ref", actual="bank.value")
    group = group_of(rule, HEAD.replace('currency = "USD"', 'currency = "CNY"'))
    factors = orjson.dumps(RUN).decode()
    books = books_of(
        group, {"bank": [(1, "acme", 7, factors, 13200), (2, "acme", 7, factors, 1), (3, "acme", 7, None, 1)]}
    )
    assert [(one.entity_id, one.expected_minor, one.actual_minor) for one in group.judge(books, TOLERANCES)] == [
        (2, 13200, 1)
    ]
