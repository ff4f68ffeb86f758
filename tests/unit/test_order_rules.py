"""Every rule about an order: books that break it, and books that nearly do."""

from __future__ import annotations

from typing import Any

import pytest

from reconcile.finding import Finding
from reconcile.settlement import rule_classes
from streams.merge import merge
from tests.partition_bench import RULES, TOLERANCES
from tests.source_log import SECOND_US, START_US, SourceLog, changes_of
from trueup.model.registers import OrderBooks

GRACE_US = TOLERANCES.grace_us
Told = tuple[str, str, Any, int | None, int | None]


def findings(log: SourceLog, order_id: int = 1) -> list[Finding]:
    books = OrderBooks(order_id)
    for change in changes_of(log):
        if change.key == order_id:
            merge(books, change)
    return RULES.judge_order(books)


def told(log: SourceLog) -> set[Told]:
    """(rule, entity kind, entity id, expected, actual)."""
    return {(one.rule, one.entity_kind, one.entity_id, one.expected_minor, one.actual_minor) for one in findings(log)}


def rules(log: SourceLog) -> set[str]:
    return {one.rule for one in findings(log)}


def due_us(log: SourceLog, rule: str) -> int:
    return next(one.due_us for one in findings(log) if one.rule == rule)


def good() -> SourceLog:
    """A completed order with its sale item."""
    return SourceLog().put("orders").put("billing_item")


def paid() -> SourceLog:
    """The same, paid out."""
    return good().put("payout_item").put("billing_item", status="paid")


def test_good_books_break_no_rule() -> None:
    assert findings(good()) == []
    assert findings(paid()) == []


def test_every_rule_has_a_class() -> None:
    for log in (SourceLog().put("orders"), SourceLog().put("billing_item"), SourceLog().put("payout_item")):
        assert {one.rule for one in findings(log)} <= set(rule_classes())


@pytest.mark.parametrize("status", ["completed", "refunded", "partially_refunded"])
def test_missing_billing(status: str) -> None:
    log = SourceLog().put("orders", status=status)
    assert ("missing-billing", "order", 1, 800, 0) in told(log)
    assert due_us(log, "missing-billing") == START_US + GRACE_US


@pytest.mark.parametrize("status", ["created", "paid", "cancelled"])
def test_an_order_that_is_not_completed_needs_no_bill(status: str) -> None:
    assert findings(SourceLog().put("orders", status=status)) == []


def test_another_kind_of_item_or_a_deleted_one_is_no_bill() -> None:
    assert rules(SourceLog().put("orders").put("billing_item", kind="fee")) == {"missing-billing"}
    assert rules(good().delete("billing_item")) == {"missing-billing"}


def test_orphan_billing() -> None:
    log = SourceLog().put("billing_item", created_at=START_US + 7)
    assert told(log) == {("orphan-billing", "billing_item", 1, 0, 800)}
    assert due_us(log, "orphan-billing") == START_US + 7 + GRACE_US
    assert [one.direction for one in findings(log)] == ["long"]
    assert rules(good().delete("orders")) == {"orphan-billing"}


def test_wrong_billing_amount() -> None:
    log = good().put("billing_item", amount="8.01")
    assert told(log) == {("wrong-billing-amount", "order", 1, 800, 801)}


def test_all_kinds_but_refunds_count() -> None:
    log = good().put("billing_item", amount="7.00")
    assert rules(log) == {"wrong-billing-amount"}
    assert findings(log.put("billing_item", billing_item_id=2, kind="fee", amount="1.00")) == []
    assert findings(log.put("billing_item", billing_item_id=3, kind="refund", amount="-7.00")) == []


@pytest.mark.parametrize("status", ["refunded", "partially_refunded"])
def test_an_adjustment_stands_in_for_a_refund(status: str) -> None:
    log = good().put("orders", status=status).put("billing_item", billing_item_id=2, kind="adjustment", amount="-8.00")
    assert findings(log) == []


def test_an_adjustment_beside_a_refund_or_on_a_completed_order_counts() -> None:
    adjusted = good().put("billing_item", billing_item_id=2, kind="adjustment", amount="-1.00")
    assert told(adjusted) == {("wrong-billing-amount", "order", 1, 800, 700)}
    refunded = adjusted.put("orders", status="refunded").put(
        "billing_item", billing_item_id=3, kind="refund", amount="-8"
    )
    assert told(refunded) == {("wrong-billing-amount", "order", 1, 800, 700)}


def test_a_refund_is_needed_where_the_order_is_refunded() -> None:
    log = good().put("orders", status="refunded", updated_at=START_US + 3)
    assert told(log) == {("status-mismatch", "order", 1, None, None)}
    assert due_us(log, "status-mismatch") == START_US + 3 + GRACE_US
    assert findings(log.put("billing_item", billing_item_id=2, kind="refund", amount="-8.00")) == []


def test_the_lowest_id_of_a_business_key_counts() -> None:
    log = (
        good()
        .put("billing_item", billing_item_id=10, amount="9.00")
        .put("billing_item", billing_item_id=9, amount="9.00")
    )
    assert told(log) == {
        ("duplicate-billing", "billing_item", 9, 0, 900),
        ("duplicate-billing", "billing_item", 10, 0, 900),
    }


def test_another_kind_or_number_is_no_duplicate() -> None:
    log = good().put("billing_item", amount="4.00").put("billing_item", billing_item_id=2, source_no="2", amount="4.00")
    assert findings(log) == []
    assert "duplicate-billing" not in rules(good().put("billing_item", billing_item_id=2, kind="fee"))
    assert findings(good().put("billing_item", billing_item_id=2).delete("billing_item", 2)) == []


def test_items_in_another_currency_are_not_summed() -> None:
    log = good().put("billing_item", currency="KWD", amount="7.000")
    assert told(log) == {("currency-mismatch", "billing_item", 1, None, None)}


def test_an_uncounted_item_in_another_currency_leaves_the_sum_alone() -> None:
    log = (
        good()
        .put("billing_item", amount="7.00")
        .put("billing_item", billing_item_id=2, kind="refund", currency="JPY", amount="-8")
    )
    assert rules(log) == {"currency-mismatch", "wrong-billing-amount"}


def test_party_mismatch() -> None:
    assert told(good().put("billing_item", shop_id=8)) == {("party-mismatch", "billing_item", 1, None, None)}


def test_a_repair_before_the_bill_is_none() -> None:
    log = SourceLog().put("orders", fee_amount="2.00").tick().put("orders", fee_amount="1.00").tick()
    assert findings(log.put("billing_item")) == []


def test_a_repair_in_the_transaction_of_the_bill_is_a_wrong_bill() -> None:
    log = SourceLog().put("orders").tick().put("billing_item").put("orders", fee_amount="2.00")
    assert rules(log) == {"wrong-billing-amount"}


def test_silent_repair_of_an_order() -> None:
    log = good().tick().put("orders", fee_amount="2.00")
    assert told(log) == {("silent-repair", "order", 1, 700, 800)}


def test_a_repair_that_is_taken_back_or_billed_anew_is_over() -> None:
    log = good().tick().put("orders", fee_amount="2.00").tick()
    assert findings(log.put("orders", fee_amount="1.00")) == []
    again = log.put("orders", fee_amount="2.00").tick().put("billing_item", amount="7.00")
    assert findings(again) == []


def test_a_repair_of_a_wrong_bill_is_both() -> None:
    log = good().put("billing_item", amount="8.50").tick().put("orders", fee_amount="2.00")
    assert told(log) == {("silent-repair", "order", 1, 700, 850), ("wrong-billing-amount", "order", 1, 700, 850)}


def test_net_as_billed_is_that_before_the_first_repair() -> None:
    log = good().tick().put("orders", fee_amount="2.00").tick().put("orders", fee_amount="3.00", gross_amount="11.00")
    assert told(log) == {("silent-repair", "order", 1, 700, 800)}


def test_silent_repair_of_a_paid_item() -> None:
    log = (
        paid()
        .tick()
        .put("billing_item", amount="7.00")
        .put("orders", fee_amount="2.00")
        .put("payout_item", amount="7.00")
    )
    assert told(log) == {("silent-repair", "billing_item", 1, 800, 700)}


def test_an_item_edited_before_or_while_it_is_paid_or_set_right_again_is_no_repair() -> None:
    unpaid = good().tick().put("billing_item", amount="7.00").put("orders", fee_amount="2.00")
    assert "billing_item" not in {one.entity_kind for one in findings(unpaid)}
    while_paid = good().tick().put("billing_item", amount="7.00", status="paid")
    assert ("silent-repair", "billing_item") not in {(one.rule, one.entity_kind) for one in findings(while_paid)}
    taken_back = paid().tick().put("billing_item", amount="7.00").tick().put("billing_item", amount="8.00")
    assert findings(taken_back) == []
    assert findings(paid().tick().put("billing_item", statement_id=2)) == []


def test_missing_payout() -> None:
    log = good().put("billing_item", status="paid", updated_at=START_US + 5)
    assert told(log) == {("missing-payout", "billing_item", 1, 800, 0)}
    assert due_us(log, "missing-payout") == START_US + 5 + GRACE_US
    assert findings(log.put("payout_item")) == []
    assert rules(log.delete("payout_item")) == {"missing-payout"}


def test_orphan_payout() -> None:
    log = good().tick(3).put("payout_item", billing_item_id=2)
    assert told(log) == {("orphan-payout", "payout_item", 1, 0, 800)}
    assert due_us(log, "orphan-payout") == START_US + 3 * SECOND_US + GRACE_US
    assert findings(log.delete("payout_item")) == []


def test_wrong_payout_amount() -> None:
    assert told(paid().put("payout_item", amount="8.01")) == {("wrong-payout-amount", "payout_item", 1, 800, 801)}


def test_a_line_in_another_currency_is_not_compared() -> None:
    log = paid().put("payout_item", currency="JPY", amount="1")
    assert told(log) == {("currency-mismatch", "payout_item", 1, None, None)}


def test_duplicate_payout() -> None:
    log = paid().put("payout_item", payout_item_id=10, amount="9.00").put("payout_item", payout_item_id=9)
    assert told(log) == {
        ("duplicate-payout", "payout_item", 9, 0, 800),
        ("duplicate-payout", "payout_item", 10, 0, 900),
    }


def test_a_duplicate_of_an_orphan_is_told_as_a_duplicate_only() -> None:
    log = good().put("payout_item", billing_item_id=5).put("payout_item", payout_item_id=2, billing_item_id=5)
    assert told(log) == {("orphan-payout", "payout_item", 1, 0, 800), ("duplicate-payout", "payout_item", 2, 0, 800)}


def test_a_duplicate_in_another_currency_is_told_as_both() -> None:
    log = paid().put("payout_item", payout_item_id=2, currency="JPY", amount="8")
    assert told(log) == {
        ("duplicate-payout", "payout_item", 2, 0, 8),
        ("currency-mismatch", "payout_item", 2, None, None),
    }


def test_ids_of_numbers_and_text_are_ordered_by_value() -> None:
    log = paid().put("payout_item", payout_item_id="a").put("payout_item", payout_item_id=10)
    assert {one.entity_id for one in findings(log)} == {10, "a"}


@pytest.mark.parametrize(
    ("table", "kind", "first", "second"),
    [
        ("orders", "order", "created", "completed"),
        ("orders", "order", "partially_refunded", "refunded"),
        ("orders", "order", "cancelled", "paid"),
        ("billing_item", "billing_item", "paid", "failed"),
    ],
)
def test_illegal_transition(table: str, kind: str, first: str, second: str) -> None:
    log = good().put(table, status=first).tick().put(table, status=second)
    assert (("illegal-transition", kind, 1, None, None)) in told(log)
    assert (("illegal-transition", kind, 1, None, None)) in told(log.tick().delete(table))


@pytest.mark.parametrize(
    ("table", "first", "second"),
    [
        ("orders", "created", "paid"),
        ("orders", "paid", "completed"),
        ("orders", "completed", "partially_refunded"),
        ("billing_item", "failed", "statemented"),
    ],
)
def test_a_listed_step_is_no_transition_to_tell(table: str, first: str, second: str) -> None:
    log = SourceLog().put(table, status=first).tick().put(table, status=second)
    assert "illegal-transition" not in rules(log)


def test_stuck() -> None:
    limit_us = TOLERANCES.limits_us["billing_item", "failed"]
    log = good().tick().put("billing_item", status="failed").tick().put("billing_item", source_no="7")
    assert told(log) == {("stuck", "billing_item", 1, None, None)}
    assert due_us(log, "stuck") == START_US + 2 * SECOND_US + limit_us
    assert findings(log.put("billing_item", status="statemented")) == []


@pytest.mark.parametrize(
    ("table", "kind"), [("orders", "order"), ("billing_item", "billing_item"), ("payout_item", "payout_item")]
)
def test_duplicate_id(table: str, kind: str) -> None:
    log = paid().put(table, "site-b")
    assert ("duplicate-id", kind, 1, None, None) in told(log)
    assert findings(log.delete(table, 1, "site-b")) == []


def test_findings_name_their_evidence() -> None:
    log = paid().put("payout_item", amount="8.01")
    (wrong,) = findings(log)
    assert [(leg.table, leg.primary_key) for leg in wrong.evidence] == [("payout_item", 1), ("billing_item", 1)]
    assert (wrong.statement_id, wrong.shop_id, wrong.currency) == (1, 9, "USD")
