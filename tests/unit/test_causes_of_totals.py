"""Likely causes about statements, their payouts, sellers and releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconcile.causes.cause import Cause
from reconcile.causes.explain import likely_cause
from reconcile.channel_rules import release_against_payouts
from reconcile.reference_books import ReferenceBooks
from reconcile.seller_rules import judge_sellers
from streams.merge import merge
from streams.messages import encode_partial_message
from tests.cause_bench import causes_of, of_statement, partial
from tests.histories import PARTIAL_PARTITIONS, finish
from tests.partition_bench import messages_of, records_of, statement_bench
from tests.source_log import SECOND_US, START_US, SourceLog, changes_of
from trueup.model.money import minor_units
from trueup.model.registers import LatestItem, LineTotal, Register, StatementBooks
from trueup.model.releases import Channel, ReleaseBooks, ReleaseShare
from trueup.model.tables import Release


def latest(item_id: int, amount: int, created_us: int = START_US) -> LatestItem:
    return LatestItem(created_us, item_id, 1, amount, "USD")


@pytest.mark.parametrize(
    ("statement", "name", "words"),
    [
        ({"amount": "8.02"}, "rounding-unit", "each of 2 rows"),
        ({"amount": "800.00"}, "currency-exponent", "800.00 USD is 8.00 USD × 100"),
        ({"amount": "-8.00"}, "sign-flipped", "-8.00 USD is 8.00 USD"),
        ({"amount": "5.00", "item_count": 1}, "items-left-out", "7 of 3.00 USD, are just the difference"),
        ({"amount": "6.00", "item_count": 1}, "items-left-out", "leaves out 1 of its items, worth 2.00 USD"),
        ({"amount": "9.00", "item_count": 3}, "lost-message", "counts 3 items, 2 are here: 1 never came"),
        ({"amount": "4.00"}, "unknown", ""),
    ],
)  # fmt: skip
def test_statement_drift(statement: dict[str, Any], name: str, words: str, tmp_path: Path) -> None:
    totals = partial(
        ("USD", "statemented", 2, 800),
        latest=(latest(7, 300, START_US + 1), latest(6, 500)),
        lines=((1, "USD", 1, 800),),
    )
    log = SourceLog().put("statement", **{"item_count": 2, **statement})
    found = of_statement(log, totals, tmp_path)["statement-drift", 1]
    assert (found[0], words in found[1]) == (name, True), found


def test_wrong_payout_total(tmp_path: Path) -> None:
    one = partial(("USD", "statemented", 1, 800), lines=((1, "USD", 2, 500),))
    log = SourceLog().put("statement").put("payout")
    name, detail = of_statement(log, one, tmp_path / "short")["wrong-payout-total", 1]
    assert (name, "its lines are 3.00 USD short of it" in detail) == ("items-left-out", True)
    log = SourceLog().put("statement").put("payout", amount="5.02")
    assert of_statement(log, one, tmp_path / "rounding")["wrong-payout-total", 1][0] == "rounding-unit"


def test_a_payout_that_is_right_under_a_statement_that_is_not(tmp_path: Path) -> None:
    one = partial(("USD", "statemented", 1, 800), lines=((1, "USD", 1, 800),))
    log = SourceLog().put("statement", amount="800.00").put("payout")
    name, detail = of_statement(log, one, tmp_path / "scale")["wrong-payout-total", 1]
    assert (name, detail[:60]) == (
        "currency-exponent",
        "the items add up to the payout, its statement is off: 800.00 USD"[:60],
    )
    log = SourceLog().put("statement", amount="5.00").put("payout")
    name, detail = of_statement(log, one, tmp_path / "plain")["wrong-payout-total", 1]
    assert (name, detail[-12:]) == ("unknown", "by -3.00 USD")


def test_a_payout_with_lines_for_nothing(tmp_path: Path) -> None:
    one = partial(("USD", "statemented", 1, 800), lines=((1, "USD", 1, 800),))
    stray = partial(lines=((1, "USD", 1, 1200),))
    messages = messages_of(SourceLog().put("statement").put("payout", amount="20.00").events)
    messages.append(("trueup.statement-partials", encode_partial_message(1, None, 0, one)[1]))
    messages.append(("trueup.statement-partials", encode_partial_message(None, 1, 1, stray)[1]))
    bench = statement_bench(tmp_path, partition_count=PARTIAL_PARTITIONS)
    try:
        bench.partition.process(records_of(messages))
        finish(bench)
        assert causes_of(bench)["wrong-payout-total", 1] == (
            "stray-lines",
            "1 of its lines, 12.00 USD, name no billing item",
        )
    finally:
        bench.close()


def test_orphan_statement(tmp_path: Path) -> None:
    one = partial(("USD", "statemented", 1, 800), latest=(latest(1, 800),), lines=((1, "USD", 1, 800),))
    assert of_statement(SourceLog(), one, tmp_path / "alone")["orphan-statement", 1][0] == "late"
    assert of_statement(SourceLog().put("payout"), one, tmp_path / "paid")["orphan-statement", 1][0] == "lost-message"
    gone = SourceLog().put("statement").tick().delete("statement")
    assert of_statement(gone, one, tmp_path / "gone")["orphan-statement", 1][0] == "row-deleted"


def test_late_item(tmp_path: Path) -> None:
    log = SourceLog().put("statement", status="closed", closed_at=START_US)
    late = partial(("USD", "statemented", 1, 800), latest=(latest(1, 800, START_US + 90 * SECOND_US),))
    name, detail = of_statement(log, late, tmp_path)["late-item", 1]
    assert (name, "90 s after its statement had closed" in detail) == ("late", True)


def test_a_paid_payout_whose_items_wait(tmp_path: Path) -> None:
    log = SourceLog().put("statement", item_count=2).put("payout", status="paid")
    lines = ((1, "USD", 2, 800),)
    some = partial(("USD", "statemented", 1, 300), ("USD", "paid", 1, 500), lines=lines)
    assert of_statement(log, some, tmp_path / "some")["status-mismatch", 1][0] == "lost-message"
    none = partial(("USD", "statemented", 2, 800), lines=lines)
    assert of_statement(log, none, tmp_path / "none")["status-mismatch", 1][0] == "late"


@pytest.mark.parametrize(
    ("versions", "name", "words"),
    [
        ([{"is_hold": False}, {"is_hold": True}], "wrong-rule-version", "did, the one of"),
        ([{"is_hold": True}], "unknown", ""),
    ],
)
def test_a_seller_paid_by_an_earlier_version_of_the_rule(versions: list[dict[str, Any]], name: str, words: str) -> None:
    log = SourceLog().put("account")
    for version in versions:
        log.put("rule", **version).tick()
    found = of_violation(log.put("payout"))
    assert (found.name, words in found.detail) == (name, True)


def test_a_seller_paid_by_a_later_version_of_the_rule() -> None:
    log = SourceLog().put("account").put("rule", is_hold=True).tick().put("payout").tick().put("rule", is_hold=False)
    assert of_violation(log).name == "unknown"
    found = of_violation(log.tick().put("payout", status="ongoing"))
    assert (found.name, found.detail[-30:]) == ("wrong-rule-version", " does, which was not in force yet"[-30:])


def of_violation(log: SourceLog) -> Cause:
    """The cause of the one rule-violation of statement 1."""
    books, references = StatementBooks(1), ReferenceBooks()
    for change in changes_of(log):
        if change.table.name in {"account", "rule"}:
            references.take(change, copied=False)
        else:
            merge(books, change)
    (finding,) = judge_sellers(books, references)
    return likely_cause(finding, books, references)


@pytest.mark.parametrize(
    ("payouts", "release", "name"),
    [
        (["5.00", "3.00"], {"payout_count": 1}, "items-left-out"), (["8.00"], {"payout_count": 2}, "lost-message"),
        (["8.00"], {"amount": "800.00"}, "currency-exponent"), (["5.00", "3.00"], {"payout_count": 2, "amount": "8.02"},
        "rounding-unit"), (["8.00"], {"amount": "5.00"}, "unknown"),
    ],
)  # fmt: skip
def test_release_mismatch(payouts: list[str], release: dict[str, Any], name: str) -> None:
    channel = Channel("bank", "USD")
    amounts = [minor_units(amount, "USD") for amount in payouts]
    books = ReleaseBooks(1)
    (change,) = changes_of(SourceLog().put("release_summary", **release))
    row = Release._make(change.row or ())
    books.releases["settlement", 1] = Register("settlement", 1, 1, START_US, START_US, False, row, 0, 0)
    books.shares["settlement", 0] = ReleaseShare(1, {channel: LineTotal(len(amounts), sum(amounts))}, START_US)
    (finding,) = release_against_payouts(books, books.releases["settlement", 1], row, 0)
    assert likely_cause(finding, books).name == name
