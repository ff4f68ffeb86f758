"""What was agreed with a seller: which terms count, and what violates them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from reconcile.finding import Finding
from reconcile.reference_books import ReferenceBooks
from reconcile.seller_rules import fits_cycle, judge_sellers
from streams.merge import merge
from streams.messages import PARTIALS_TOPIC, Marker, encode_watermarks
from streams.reference import ReferenceRecord, References, is_copied
from streams.watermark import Heartbeat
from tests.partition_bench import messages_of, open_cases, read_references, records_of, statement_bench
from tests.source_log import FAR_US, SECOND_US, SOURCE, START_US, SourceLog, changes_of, envelope, row_of
from trueup.model.registers import StatementBooks
from trueup.model.tables import REFERENCE_TABLES

REFERENCE = {table.name for table in REFERENCE_TABLES}


def agreed() -> SourceLog:
    return SourceLog().put("rule").put("account").tick()


def findings(log: SourceLog, *, copied: bool = False) -> list[Finding]:
    books, references = StatementBooks(1), ReferenceBooks()
    for change in changes_of(log):
        if change.table.name in REFERENCE:
            references.take(change, copied=copied)
        else:
            merge(books, change)
    return judge_sellers(books, references)


def told(log: SourceLog) -> dict[tuple[str, Any], str]:
    """(entity kind, entity id) → detail."""
    for finding in findings(log):
        assert (finding.rule, finding.expected_minor, finding.due_us) == ("rule-violation", None, log.now_us)
        assert (finding.shop_id, finding.statement_id) == (9, 1)
        assert [leg.table for leg in finding.evidence] == [finding.entity_kind, "account", "rule"]
    return {(finding.entity_kind, finding.entity_id): finding.detail for finding in findings(log)}


def test_what_was_agreed_violates_nothing() -> None:
    assert findings(agreed().put("statement").put("payout", amount="1.00")) == []


@pytest.mark.parametrize(
    ("rule", "payout", "detail"),
    [
        ({"is_hold": True}, {}, "the payout was made while rule 1 held payments back"),
        ({}, {"amount": "0.99"}, "the payout of 0.99 USD is below the threshold of 1.00"),
        ({"payment_currency": "JPY", "payment_threshold": "900"}, {}, "the payout is in USD, the rule pays in JPY"),
        (
            {"is_hold": True, "payment_threshold": "9"},
            {},
            "the payout was made while rule 1 held payments back; the payout of 8.00 USD is below the threshold of 9.00",
        ),
    ],
)
def test_a_payout_violates_its_rule(rule: dict[str, Any], payout: dict[str, Any], detail: str) -> None:
    assert told(SourceLog().put("rule", **rule).put("account").tick().put("payout", **payout)) == {
        ("payout", 1): detail
    }


def test_a_statement_has_the_cycle_of_its_rule_and_a_period_of_that_length() -> None:
    assert told(agreed().put("statement", cycle="weekly", period_end=19_681)) == {
        ("statement", 1): "the statement is weekly, the rule says daily"
    }
    assert told(agreed().put("statement", period_end=19_676)) == {
        ("statement", 1): "the period from 2023-11-14 to 2023-11-15 is not daily"
    }


def test_terms_are_those_of_the_first_commit() -> None:
    later = agreed().put("payout").tick().put("rule", is_hold=True).put("payout", status="ongoing")
    assert findings(later) == []
    earlier = agreed().put("rule", is_hold=True).tick().put("payout").tick().put("rule", is_hold=False)
    assert told(earlier.put("payout", status="ongoing")).keys() == {("payout", 1)}
    other_rule = agreed().put("rule", rule_id=2, is_hold=True).put("payout").tick().put("account", rule_id=2)
    assert findings(other_rule) == []


def test_terms_of_the_same_transaction_count() -> None:
    assert told(SourceLog().put("payout").put("rule", is_hold=True).put("account")).keys() == {("payout", 1)}


@pytest.mark.parametrize(
    "log",
    [
        SourceLog().put("rule", is_hold=True).put("payout"),
        SourceLog().put("account").put("payout"),
        SourceLog().put("rule", is_hold=True).put("account").delete("account").tick().put("payout"),
        SourceLog().put("payout").tick().put("rule", is_hold=True).put("account"),
        SourceLog().put("rule", is_hold=True, source="site-b").put("account", source="site-b").put("payout"),
    ],
    ids=["no account", "no rule", "account deleted", "agreed later", "agreed elsewhere"],
)
def test_where_nothing_was_agreed_there_is_no_verdict(log: SourceLog) -> None:
    assert findings(log) == []


def test_rows_of_a_first_copy_are_not_judged_by_terms_of_that_copy() -> None:
    """The copy tells what is agreed now, not what was when the payout was made."""
    together = SourceLog().put("rule", is_hold=True).put("account").put("payout")
    assert findings(together, copied=True) == []
    after = SourceLog().put("rule", is_hold=True).put("account").tick().put("payout")
    assert len(findings(after, copied=True)) == 1
    assert is_copied(envelope(None, row_of("account"), "r", 1, 1))
    assert not is_copied(envelope(None, row_of("account"), "c", 1, 1))


@pytest.mark.parametrize(
    ("cycle", "first", "last", "fits"),
    [
        ("daily", date(2024, 2, 29), date(2024, 2, 29), True),
        ("weekly", date(2024, 1, 3), date(2024, 1, 9), True),
        ("weekly", date(2024, 1, 3), date(2024, 1, 10), False),
        ("biweekly", date(2024, 1, 1), date(2024, 1, 14), True),
        ("monthly", date(2024, 2, 1), date(2024, 2, 29), True),
        ("monthly", date(2023, 12, 1), date(2023, 12, 31), True),
        ("monthly", date(2024, 2, 1), date(2024, 2, 28), False),
        ("monthly", date(2024, 1, 2), date(2024, 2, 1), False),
        ("monthly", date(2024, 1, 1), date(2024, 2, 29), False),
        ("monthly", date(2024, 2, 1), date(2024, 1, 31), False),
        ("quarterly", date(2024, 1, 1), date(2024, 1, 2), True),
    ],
)
def test_a_period_fits_its_cycle(cycle: str, first: date, last: date, *, fits: bool) -> None:
    epoch = date(1970, 1, 1)
    assert fits_cycle(cycle, (first - epoch).days, (last - epoch).days) is fits


def test_a_statement_waits_until_what_was_agreed_has_been_read(tmp_path: Path) -> None:
    log = SourceLog().put("rule", is_hold=True).put("account").tick().put("payout", amount="0.00")
    changes = [change for change in changes_of(log) if change.table.name in REFERENCE]
    references = References(["account", "rule"], [SOURCE], 2)
    bench = statement_bench(tmp_path, references=references)
    marked = PARTIALS_TOPIC, encode_watermarks({0: Marker(FAR_US, 0)})
    try:
        events = [event for event in log.events if event.table.name not in REFERENCE]
        bench.partition.process(records_of([*messages_of(events), marked]))
        bench.partition.advance(FAR_US)
        assert bench.partition.watermark_us == 0
        references.hear([Heartbeat(SOURCE, START_US + 5 * SECOND_US, {"account": [0, 1], "rule": [0, 1]})])
        references.take([ReferenceRecord("account", 1, 1, changes[1], copied=False)])
        bench.partition.advance(FAR_US)
        assert (references.watermark_us, bench.partition.watermark_us) == (0, 0)
        references.take([ReferenceRecord("rule", 1, 1, changes[0], copied=False)])
        bench.settle_all(FAR_US)
        assert bench.partition.watermark_us == references.watermark_us == START_US + 5 * SECOND_US
        (state,) = bench.states().values()
        assert open_cases(state.cases.values()) == {(("rule-violation", "payout", 1), None, None, "")}
    finally:
        bench.close()


def test_a_log_that_lost_its_beginning_counts_as_read() -> None:
    references = References(["rule"], [SOURCE], 1)
    references.hear([Heartbeat(SOURCE, 7, {"rule": [30]})])
    assert references.watermark_us == 0
    references.take([ReferenceRecord("rule", 0, 30, None, copied=False)])
    assert references.watermark_us == 7


def test_nothing_is_agreed_in_empty_tables() -> None:
    assert read_references().watermark_us == FAR_US
    assert read_references().books.terms(SOURCE, 9, FAR_US) is None
