"""Likely causes: what the figures, the history and the timing of books that disagree give away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconcile.causes.amounts import Parts, cause_of_difference
from reconcile.causes.cause import CAUSES, at, money, span
from reconcile.causes.explain import likely_cause, with_causes
from reconcile.finding import Finding
from reconcile.lifecycle import Case
from streams.order_state import decode_order_state
from tests.cause_bench import causes_of, of_order, of_statement, partial
from tests.histories import finish
from tests.partition_bench import messages_of, order_bench, records_of
from tests.source_log import SECOND_US, START_US, SourceLog


@pytest.mark.parametrize(
    ("currency", "expected", "actual", "name", "figures"),
    [
        ("USD", 800, -800, "sign-flipped", "-8.00 USD is 8.00 USD with its sign changed"),
        ("JPY", -800, 800, "sign-flipped", "800 JPY is -800 JPY"),
        ("KWD", 800, -800, "sign-flipped", "-0.800 KWD is 0.800 KWD"),
        ("USD", 800, 80_000, "currency-exponent", "800.00 USD is 8.00 USD × 100, as when minor units"),
        ("USD", 800, 8, "currency-exponent", "0.08 USD is 8.00 USD ÷ 100, as when minor units"),
        ("USD", 800, 8_000, "currency-exponent", "as when USD is given 3 digits instead of 2"),
        ("USD", 800, 8_000_000, "currency-exponent", "× 10000, as when a value scaled to 4 digits is taken for major"),
        ("JPY", 800, 80_000, "currency-exponent", "80000 JPY is 800 JPY × 100, as when JPY is given 2 digits"),
        ("JPY", 800, 800_000, "currency-exponent", "as when JPY is given 3 digits instead of 0"),
        ("JPY", 800, 8_000_000, "currency-exponent", "as when a value scaled to 4 digits is taken for minor"),
        ("KWD", 800, 800_000, "currency-exponent", "800.000 KWD is 0.800 KWD × 1000, as when minor units"),
        ("KWD", 800, 80, "currency-exponent", "0.080 KWD is 0.800 KWD ÷ 10, as when KWD is given 2 digits"),
        ("USD", 800, 920, "fee-left-out", "difference of 1.20 USD is the order's fee, not taken off"),
        ("JPY", 800, 680, "fee-left-out", "difference of -120 JPY is the order's fee, taken off twice"),
        ("KWD", 800, 870, "tax-left-out", "difference of 0.070 KWD is the order's tax, not taken off"),
        ("USD", 800, 730, "tax-left-out", "difference of -0.70 USD is the order's tax, taken off twice"),
        ("USD", 800, 990, "fee-and-tax-left-out", "difference of 1.90 USD is the order's fee and tax, not taken off"),
        ("USD", 800, 801, "rounding-unit", "difference of 0.01 USD is at most a minor unit for each of 3 rows"),
        ("JPY", 800, 797, "rounding-unit", "difference of -3 JPY is"),
        ("KWD", 800, 803, "rounding-unit", "difference of 0.003 KWD is"),
    ],
)  # fmt: skip
def test_figures_give_the_cause_away(currency: str, expected: int, actual: int, name: str, figures: str) -> None:
    found = cause_of_difference(expected, actual, currency, Parts(fee_minor=120, tax_minor=70, rows=3))
    assert found is not None
    assert (found.name, figures in found.detail) == (name, True), found.detail


@pytest.mark.parametrize(
    ("currency", "expected", "actual"),
    [
        ("USD", 800, 804), ("JPY", 800, 8_000), ("KWD", 800, 80_000), ("USD", 800, 800_000), ("USD", 0, 800),
        ("USD", 800, 0), ("USD", 0, 0),
    ],
)  # fmt: skip
def test_other_differences_give_nothing_away(currency: str, expected: int, actual: int) -> None:
    assert cause_of_difference(expected, actual, currency, Parts(rows=3)) is None


def test_what_is_more_telling_comes_first() -> None:
    both = Parts(fee_minor=1, tax_minor=1, rows=2)
    assert [
        cause.name
        for cause in (
            cause_of_difference(1, -1, "JPY", both),
            cause_of_difference(1, 100, "JPY", Parts(fee_minor=99)),
            cause_of_difference(800, 801, "USD", both),
            cause_of_difference(800, 802, "USD", both),
        )
        if cause
    ] == ["sign-flipped", "currency-exponent", "fee-left-out", "fee-and-tax-left-out"]


def billed(amount: str, **order: Any) -> SourceLog:
    """A completed order of 10.00 less 1.00 tax and 1.20 fee, billed with this amount."""
    return SourceLog().put("orders", fee_amount="1.20", **order).tick().put("billing_item", amount=amount)


@pytest.mark.parametrize(
    ("amount", "name"),
    [
        ("-7.80", "sign-flipped"), ("780.00", "currency-exponent"), ("9.00", "fee-left-out"), ("8.80", "tax-left-out"),
        ("10.00", "fee-and-tax-left-out"), ("7.81", "rounding-unit"), ("4.00", "unknown"),
    ],
)  # fmt: skip
def test_wrong_billing_amount(amount: str, name: str, tmp_path: Path) -> None:
    assert of_order(billed(amount), tmp_path)["wrong-billing-amount", 1][0] == name


def test_an_item_that_was_deleted_is_the_difference(tmp_path: Path) -> None:
    log = billed("5.00").put("billing_item", billing_item_id=2, kind="fee", amount="2.80")
    log.tick().delete("billing_item", 2)
    assert of_order(log, tmp_path)["wrong-billing-amount", 1] == (
        "row-deleted",
        f"item 2 was deleted at {at(START_US + 2 * SECOND_US)}, and is just the 2.80 USD that is short",
    )


def test_a_payout_line_that_is_the_item_before_it_was_edited(tmp_path: Path) -> None:
    log = billed("7.80").put("payout_item", amount="7.80").put("billing_item", status="paid")
    name, detail = of_order(log.tick().put("billing_item", amount="9.80"), tmp_path)["wrong-payout-amount", 1]
    assert (name, "amount went from 7.80 USD to 9.80 USD" in detail) == ("factor-edited", True)


@pytest.mark.parametrize(("amount", "name"), [("9.00", "fee-left-out"), ("7.79", "rounding-unit"), ("1.00", "unknown")])
def test_wrong_payout_amount(amount: str, name: str, tmp_path: Path) -> None:
    log = billed("7.80").put("payout_item", amount=amount).put("billing_item", status="paid")
    assert of_order(log, tmp_path)["wrong-payout-amount", 1][0] == name


def test_an_order_edited_after_it_was_billed(tmp_path: Path) -> None:
    log = billed("7.80").tick(12).put("orders", fee_amount="3.00")
    assert of_order(log, tmp_path)["silent-repair", 1] == (
        "factor-edited",
        f"fee_amount went from 1.20 USD to 3.00 USD at {at(START_US + 13 * SECOND_US)}, 12 s after billing",
    )


def test_an_item_edited_after_it_was_paid(tmp_path: Path) -> None:
    log = billed("7.80").put("payout_item", amount="7.80").put("billing_item", status="paid")
    causes = of_order(log.tick().put("billing_item", amount="9.80").tick().put("billing_item", amount="9.90"), tmp_path)
    name, detail = causes["silent-repair", 1]
    assert (name, "from 7.80 USD to 9.80 USD" in detail, "; 1 more edits" in detail) == ("factor-edited", True, True)


def test_an_order_charged_anew_by_other_rules(tmp_path: Path) -> None:
    log = billed("7.80", factors='{"rule_version": 3}')
    log.tick().put("orders", fee_amount="2.00", factors='{"rule_version": 4}')
    name, detail = of_order(log, tmp_path)["silent-repair", 1]
    assert (name, detail[:60]) == ("wrong-rule-version", "billed by rule version 3, charged by version 4 since 2023-11")


def test_missing_billing(tmp_path: Path) -> None:
    bare = SourceLog().put("orders")
    assert of_order(bare, tmp_path / "bare")["missing-billing", 1][0] == "late"
    followed = SourceLog().put("orders").tick().put("payout_item")
    name, detail = of_order(followed, tmp_path / "followed")["missing-billing", 1]
    assert (name, detail[:19]) == ("lost-message", "payout line 1 came ")
    gone = SourceLog().put("orders").put("billing_item").tick().delete("billing_item")
    assert of_order(gone, tmp_path / "gone")["missing-billing", 1][0] == "row-deleted"


def test_orphan_billing(tmp_path: Path) -> None:
    alone = SourceLog().put("billing_item")
    assert of_order(alone, tmp_path / "alone")["orphan-billing", 1][0] == "unknown"
    followed = SourceLog().put("billing_item").tick().put("payout_item")
    assert of_order(followed, tmp_path / "followed")["orphan-billing", 1][0] == "lost-message"
    gone = SourceLog().put("orders").put("billing_item").tick().delete("orders")
    assert of_order(gone, tmp_path / "gone")["orphan-billing", 1][0] == "row-deleted"


def test_missing_payout(tmp_path: Path) -> None:
    log = SourceLog().put("orders").put("billing_item").tick().put("billing_item", status="paid")
    assert of_order(log, tmp_path / "lost")["missing-payout", 1][0] == "lost-message"
    log = SourceLog().put("orders").put("billing_item").put("payout_item").put("billing_item", status="paid")
    assert of_order(log.tick().delete("payout_item"), tmp_path / "gone")["missing-payout", 1][0] == "row-deleted"


def test_orphan_payout(tmp_path: Path) -> None:
    assert of_order(SourceLog().put("payout_item"), tmp_path / "alone")["orphan-payout", 1][0] == "unknown"
    lost = SourceLog().put("orders").put("billing_item", billing_item_id=2).put("payout_item")
    assert of_order(lost, tmp_path / "lost")["orphan-payout", 1][0] == "lost-message"
    gone = SourceLog().put("orders").put("billing_item").put("payout_item").tick().delete("billing_item")
    assert of_order(gone, tmp_path / "gone")["orphan-payout", 1][0] == "row-deleted"


def test_a_refund_without_its_item(tmp_path: Path) -> None:
    refunded = SourceLog().put("orders").put("billing_item").tick().put("orders", status="refunded")
    assert of_order(refunded, tmp_path / "late")["status-mismatch", 1][0] == "late"
    refunded.tick().put("billing_item", status="paid").put("payout_item")
    assert of_order(refunded, tmp_path / "lost")["status-mismatch", 1][0] == "lost-message"


@pytest.mark.parametrize(
    ("currency", "amount", "name"),
    [("JPY", "800", "currency-exponent"), ("KWD", "0.800", "currency-exponent"), ("KWD", "8.000", "currency-relabelled"),
     ("JPY", "8", "currency-relabelled"), ("EUR", "8.00", "currency-relabelled"), ("EUR", "7.10", "unknown")],
)  # fmt: skip
def test_currency_mismatch(currency: str, amount: str, name: str, tmp_path: Path) -> None:
    log = SourceLog().put("orders").put("billing_item", currency=currency, amount=amount)
    assert of_order(log, tmp_path)["currency-mismatch", 1][0] == name


def test_party_mismatch(tmp_path: Path) -> None:
    log = SourceLog().put("orders").put("billing_item", shop_id=8)
    assert of_order(log, tmp_path / "plain")["party-mismatch", 1][0] == "unknown"
    log = SourceLog().put("orders").put("billing_item").put("payout_item").put("billing_item", status="paid")
    log.tick().put("billing_item", shop_id=8)
    assert of_order(log, tmp_path / "edited")["party-mismatch", 1][0] == "factor-edited"


@pytest.mark.parametrize(
    ("seconds", "amount", "name"), [(3, "8.00", "duplicate-delivery"), (3600, "8.00", "run-twice"), (3, "7.00", "unknown")]
)  # fmt: skip
def test_duplicates(seconds: int, amount: str, name: str, tmp_path: Path) -> None:
    log = SourceLog().put("orders").put("billing_item").put("payout_item").tick(seconds)
    log.put("billing_item", billing_item_id=2, amount=amount, created_at=START_US + seconds * SECOND_US)
    log.put("payout_item", payout_item_id=2, payout_id=2, amount=amount)
    causes = of_order(log, tmp_path)
    assert causes["duplicate-billing", 2][0] == name
    assert causes["duplicate-payout", 2][0] == name


@pytest.mark.parametrize(("amount", "name"), [("8.00", "duplicate-delivery"), ("9.00", "id-clash")])
def test_one_id_from_two_sources(amount: str, name: str, tmp_path: Path) -> None:
    log = SourceLog().put("orders").put("billing_item").put("billing_item", source="other", amount=amount)
    assert of_order(log, tmp_path)["duplicate-id", 1][0] == name


@pytest.mark.parametrize(
    ("old", "new", "name", "words"),
    [
        ("created", "completed", "step-skipped", "by way of paid"), ("completed", "paid", "reopened", "no step leads"),
        ("created", "refunded", "step-skipped", "by way of paid and completed"),
    ],
)  # fmt: skip
def test_illegal_transition(old: str, new: str, name: str, words: str, tmp_path: Path) -> None:
    log = SourceLog().put("orders", status=old).put("billing_item").tick().put("orders", status=new)
    found = of_order(log, tmp_path)["illegal-transition", 1]
    assert (found[0], words in found[1]) == (name, True)


def test_stuck(tmp_path: Path) -> None:
    log = SourceLog().put("orders").put("billing_item", status="failed")
    assert of_order(log, tmp_path / "order")["stuck", 1][0] == "late"
    log = SourceLog().put("statement").put("payout", status="ongoing")
    totals = partial(("USD", "statemented", 1, 800), lines=((1, "USD", 1, 800),))
    assert of_statement(log, totals, tmp_path / "payout")["stuck", 1][0] == "late"
    log.tick().put("statement", status="paid")
    assert of_statement(log, totals, tmp_path / "paid")["stuck", 1][0] == "lost-message"


def test_what_resolves_by_itself_was_late(tmp_path: Path) -> None:
    """The order is told as missing its item, and once more when the item has come."""
    log = SourceLog().put("orders").tick(20).put("billing_item")
    first, second = records_of(messages_of(log.events))
    bench = order_bench(tmp_path)
    try:
        bench.partition.process([first])
        bench.settle_all(START_US + 15 * SECOND_US)
        before = causes_of(bench)
        bench.partition.process([second])
        finish(bench)
        assert before["missing-billing", 1][0] == "late"
        assert causes_of(bench)["missing-billing", 1] == (
            "late",
            f"sale item 1 came at {at(START_US + 20 * SECOND_US)}, 15 s after it was due",
        )
        states = [decode_order_state(state.encode()) for state in bench.states().values()]
        assert [case.cause for state in states for case in state.cases.values()] == ["late"]
    finally:
        bench.close()


def test_what_is_corrected_keeps_its_cause(tmp_path: Path) -> None:
    log = billed("9.00")
    bench = order_bench(tmp_path)
    try:
        bench.partition.process(records_of(messages_of(log.events)))
        bench.settle_all(START_US + 15 * SECOND_US)
        log.tick(30).put("billing_item", amount="7.80")
        bench.partition.process(records_of(messages_of(log.events)))
        finish(bench)
        (state,) = bench.states().values()
        ((status, cause),) = [(case.status, case.cause) for case in state.cases.values()]
        assert (status, cause) == ("auto-resolved", "fee-left-out")
    finally:
        bench.close()


def test_a_finding_alone_is_told_by_its_amounts() -> None:
    finding = Finding("of-a-spec", "order", 1, 100, "", 800, -800, "USD", 9, 1, "a detail", ())
    assert likely_cause(finding, None).name == "sign-flipped"
    assert likely_cause(finding._replace(actual_minor=123), None).name == "unknown"
    assert likely_cause(finding._replace(expected_minor=None), None).name == "unknown"
    case = Case(finding, "open", 1, 0, 0, None, 0, 0)
    cases = {case.key: case}
    assert with_causes([case], cases, None) == [cases[case.key]]
    assert cases[case.key].cause == "sign-flipped"


def test_figures_read_well() -> None:
    assert [money(-1230, currency) for currency in ("USD", "JPY", "KWD")] == ["-12.30 USD", "-1230 JPY", "-1.230 KWD"]
    assert [span(us * 100_000) for us in (0, 4, 99, 100, 1199, 1200, 72_000, 1_728_000)] == [
        "0.0 s", "0.4 s", "9.9 s", "10 s", "119 s", "2 min", "2 h", "2 days",
    ]  # fmt: skip
    assert at(0) == "1970-01-01 00:00:00 UTC"
    assert "unknown" in CAUSES
