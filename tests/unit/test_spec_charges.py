"""wrong-charge: what was billed against the charging spec, for orders that the spec is meant for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

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


def log(billed: str, factors: dict[str, Any] | None = None) -> SourceLog:
    text = orjson.dumps(RUN if factors is None else factors).decode()
    amounts = {"gross_amount": billed, "tax_amount": "0", "fee_amount": "0"}
    return SourceLog().put("orders", factors=text, currency="CNY", **amounts).put(
        "billing_item", amount=billed, currency="CNY"
    )  # fmt: skip


def findings(source: SourceLog, rules: Any = RULES) -> list[Finding]:
    books = OrderBooks(1)
    for change in changes_of(source):
        merge(books, change)
    return [one for one in rules.judge_order(books) if one.rule == "wrong-charge"]


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
