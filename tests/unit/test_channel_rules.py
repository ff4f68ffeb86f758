"""Releases against the payouts that name them and the funding of their channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconcile.channel_rules import judge_release, release_of
from reconcile.finding import Finding
from reconcile.reference_books import ReferenceBooks
from streams.merge import merge_register
from streams.release_messages import (
    SHARES_TOPIC,
    ShareMessage,
    decode_shares_topic,
    encode_reached,
    encode_share_message,
)
from streams.release_state import ReleaseState, decode_release_state, release_wide_row
from tests.partition_bench import (
    TOLERANCES,
    Message,
    messages_of,
    open_cases,
    read_references,
    records_of,
    release_bench,
)
from tests.source_log import FAR_US, SECOND_US, SOURCE, START_US, SourceLog, changes_of, row_of
from trueup.model.errors import InvalidRecord
from trueup.model.registers import LineTotal
from trueup.model.releases import Channel, ReleaseBooks, ReleaseShare
from trueup.model.tables import Payout

BANK = Channel("bank", "USD")
ONE_PAYOUT = ReleaseShare(1, {BANK: LineTotal(1, 800)}, START_US)
Told = tuple[str, Any, int | None, int | None, str]


def findings(log: SourceLog, *shares: ReleaseShare, copied: bool = False, source: str = SOURCE) -> list[Finding]:
    books, references = ReleaseBooks(1), ReferenceBooks()
    for change in changes_of(log):
        references.take(change, copied=copied)
        if change.table.name == "release_summary" and change.primary_key == 1:
            merge_register(books.releases, change)
            books.newest_us = max(books.newest_us, change.commit_us)
    books.shares = {(source, number): share for number, share in enumerate(shares)}
    return judge_release(books, references, TOLERANCES.grace_us)


def told(log: SourceLog, *shares: ReleaseShare) -> set[Told]:
    """(rule, entity id, expected, actual, currency)."""
    for finding in findings(log, *shares):
        assert (finding.entity_kind, finding.shop_id, finding.statement_id) == ("release_summary", "", "")
    return {
        (one.rule, one.entity_id, one.expected_minor, one.actual_minor, one.currency) for one in findings(log, *shares)
    }


def funded(**release: Any) -> SourceLog:
    return SourceLog().put("funding").tick().put("release_summary", **release)


def test_a_release_that_agrees_breaks_no_rule() -> None:
    assert findings(funded(), ONE_PAYOUT) == []
    halves = [ReleaseShare(1, {BANK: LineTotal(1, amount)}, START_US) for amount in (300, 500)]
    assert findings(funded(payout_count=2), *halves) == []


@pytest.mark.parametrize(
    ("release", "shares", "expected"),
    [
        ({"amount": "8.01"}, [ONE_PAYOUT], {("release-mismatch", 1, 800, 801, "USD"), ("funding-short", 1, 801, 800, "USD")}),
        ({"amount": "7.99"}, [ONE_PAYOUT], {("release-mismatch", 1, 800, 799, "USD")}),
        ({"payout_count": 2}, [ONE_PAYOUT], {("release-mismatch", 1, 800, 800, "USD")}),
        ({}, [], {("release-mismatch", 1, 0, 800, "USD")}),
        (
            {"payout_count": 2},
            [ReleaseShare(1, {Channel("card", "USD"): LineTotal(1, 300), BANK: LineTotal(1, 500)}, START_US)],
            {("release-mismatch", 1, 500, 800, "USD")},
        ),
    ],
    ids=["too much", "too little", "another count", "no payout", "a payout of another channel"],
)  # fmt: skip
def test_a_release_is_the_sum_of_its_payouts(release: dict[str, Any], shares: list[Any], expected: set[Told]) -> None:
    assert told(funded(**release), *shares) == expected


def test_a_release_is_compared_once_it_is_released_and_after_the_grace() -> None:
    log = SourceLog().put("funding").put("release_summary", status="funded")
    assert findings(log) == []
    (finding,) = findings(log.tick().put("release_summary", status="released"))
    assert finding.due_us == log.now_us + TOLERANCES.grace_us


def test_payouts_of_another_source_do_not_count() -> None:
    (finding,) = findings(funded(), ONE_PAYOUT, source="site-b")
    assert (finding.rule, finding.expected_minor) == ("release-mismatch", 0)


def test_more_is_released_than_was_put_in() -> None:
    log = SourceLog().put("funding", amount="7.00").put("release_summary")
    assert told(log, ONE_PAYOUT) == {("funding-short", 1, 800, 700, "USD")}
    assert told(log.tick().put("funding", funding_id=2, amount="1.00"), ONE_PAYOUT) == {
        ("funding-short", 1, 800, 700, "USD")
    }


@pytest.mark.parametrize(
    "fields", [{"status": "created"}, {"payment_method": "card"}, {"currency": "EUR"}], ids=["waits", "method", "money"]
)
def test_only_money_that_is_in_the_channel_counts(fields: dict[str, Any]) -> None:
    assert told(SourceLog().put("funding", **fields).put("release_summary"), ONE_PAYOUT) == {
        ("funding-short", 1, 800, 0, "USD")
    }


def test_earlier_releases_of_the_channel_have_taken_their_part() -> None:
    log = SourceLog().put("funding", amount="15.00").put("release_summary", release_id=2)
    assert told(log.tick().put("release_summary"), ONE_PAYOUT) == {("funding-short", 1, 1600, 1500, "USD")}
    later = SourceLog().put("funding", amount="15.00").put("release_summary").tick()
    assert told(later.put("release_summary", release_id=2), ONE_PAYOUT) == set()


def test_within_a_second_of_a_binlog_the_order_of_its_log_counts() -> None:
    assert START_US % SECOND_US == 0
    log = SourceLog().put("funding").put("release_summary")
    assert told(log.put("release_summary", release_id=2), ONE_PAYOUT) == set()
    assert told(SourceLog().put("release_summary").put("funding"), ONE_PAYOUT) == {("funding-short", 1, 800, 0, "USD")}


def test_what_one_transaction_changes_happens_at_once() -> None:
    log = SourceLog()
    log.now_us += 1
    assert told(log.put("release_summary").put("funding"), ONE_PAYOUT) == set()


def test_a_release_that_only_the_reference_tables_know_of_is_judged_later() -> None:
    log = SourceLog().put("release_summary", status="funded")
    books, references = ReleaseBooks(1), ReferenceBooks()
    (change,) = changes_of(log)
    merge_register(books.releases, change)
    books.newest_us = change.commit_us
    for later in changes_of(log.tick().put("release_summary", status="released")):
        references.take(later, copied=False)
    assert judge_release(books, references, TOLERANCES.grace_us) == []


def test_nothing_is_said_of_funding_before_the_first_copy() -> None:
    assert findings(SourceLog().put("release_summary"), ONE_PAYOUT, copied=True) == []


@pytest.mark.parametrize(
    ("reference", "release"),
    [("R7", 7), ("R0", 0), ("R07", None), ("R", None), ("CH7", None), ("R7x", None), (None, None), ("R" + "1" * 19, None)],
)  # fmt: skip
def test_a_payout_names_its_release(reference: str | None, release: int | None) -> None:
    row = {**row_of("payout"), "channel_ref": reference, "amount": 800}
    assert release_of(Payout._make(row.values())) == release


def share_message(release_id: int, amount_minor: int, version: int, newest_us: int = START_US) -> Message:
    share = ReleaseShare(version, {BANK: LineTotal(1, amount_minor)}, newest_us)
    return SHARES_TOPIC, encode_share_message(ShareMessage(release_id, SOURCE, 0, share))[1]


def test_a_release_waits_for_the_marker_behind_its_shares(tmp_path: Path) -> None:
    log = funded(amount="7.00")
    references = read_references(changes_of(log))
    bench = release_bench(tmp_path, references=references)
    try:
        events = [event for event in log.events if event.table.name == "release_summary"]
        records = records_of(
            [*messages_of(events), share_message(1, 800, 5), share_message(1, 700, 4), (SHARES_TOPIC, encode_reached({0: FAR_US}))]
        )  # fmt: skip
        bench.partition.process(records[:-1])
        bench.partition.advance(FAR_US)
        assert bench.partition.watermark_us == 0
        bench.partition.process(records[-1:])
        bench.settle_all(FAR_US)
        (state,) = bench.states().values()
        assert open_cases(state.cases.values()) == {(("release-mismatch", "release_summary", 1), 800, 700, "USD")}
        ((row,),) = [[row] for row in bench.rows("release_wide").values()]
        assert row[4:11] == ("bank", "USD", "released", 1, 70_000, 1, 80_000)
        assert row[11:13] == ("discrepant", ["release-mismatch"])
    finally:
        bench.close()


def test_a_state_survives_its_encoding() -> None:
    state = ReleaseState(1)
    for change in changes_of(funded()):
        if change.table.name == "release_summary":
            merge_register(state.books.releases, change)
    state.books.shares = {(SOURCE, 0): ONE_PAYOUT, ("site-b", 1): ONE_PAYOUT}
    state.books.newest_us = START_US + SECOND_US
    again = decode_release_state(state.encode())
    assert again.encode() == state.encode()
    assert release_wide_row(again, b"", 0, 1) == release_wide_row(state, b"", 0, 1)
    assert (again.books.releases, again.books.shares) == (state.books.releases, state.books.shares)


@pytest.mark.parametrize(
    "value", [None, b"[]", b"{}", b"[1,2,3,4]", b'[true,"s",0,[1,[],1]]', b'[1,"s",0,[1,[["a"]],1]]']
)
def test_what_is_no_share_is_refused(value: bytes | None) -> None:
    with pytest.raises(InvalidRecord, match="not a share"):
        decode_shares_topic(value)
