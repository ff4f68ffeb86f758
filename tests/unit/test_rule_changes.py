"""A partition that is opened with other rules judges what it holds again: nothing is missed, and nothing floods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from reconcile.settlement import SettlementRules
from streams.messages import PARTIALS_TOPIC, Marker, encode_watermarks
from tests.partition_bench import RULES, Sent, messages_of, order_bench, records_of, statement_bench
from tests.rule_versions import TEXT, edited, rules_of
from tests.source_log import FAR_US, SECOND_US, START_US, SourceLog

AT_US = START_US + 3600 * SECOND_US

LENIENT = rules_of(edited(2, without=("missing-billing",), tolerance="1.00"))
STRICT = rules_of(TEXT.replace("\nversion = 1\n", "\nversion = 3\n"))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.sweep.SWEEP_BATCH", 3)


def log_of_orders() -> SourceLog:
    """Order 2 is billed 0.50 too little, order 3 by 3.00, order 4 not at all; the others are right."""
    log = SourceLog()
    for number in range(1, 12):
        log.put("orders", order_id=number)
        if number != 4:
            amount = {2: "7.50", 3: "5.00"}.get(number, "8.00")
            log.put("billing_item", billing_item_id=number, order_id=number, source_no=str(number), amount=amount)
    return log


def told(sent: list[Sent]) -> list[dict[str, Any]]:
    return [orjson.loads(one.value or b"{}") for one in sent if one.topic.startswith("discrepancy.")]


def reopened(directory: Path, rules: SettlementRules, start_us: int) -> tuple[list[Sent], set[object]]:
    """What a partition says that is opened with these rules, while its watermark goes on; and the orders it writes."""
    bench = order_bench(directory, rules=rules)
    try:
        for later_us in range(8):
            bench.partition.advance(start_us + later_us)
        bench.settle_all(start_us + 100)
        return bench.sent, {row[0] for row in bench.tables.get("order_wide", [])}
    finally:
        bench.close()


def test_only_what_another_version_sees_otherwise_changes(tmp_path: Path) -> None:
    bench = order_bench(tmp_path)
    bench.partition.process(records_of(messages_of(log_of_orders().events)))
    bench.settle_all(FAR_US)
    bench.close()
    first = {one["order_id"]: one for one in told(bench.sent)}
    assert {key: (one["rule"], one["rule_version"]) for key, one in first.items()} == {
        "2": ("wrong-billing-amount", 1),
        "3": ("wrong-billing-amount", 1),
        "4": ("missing-billing", 1),
    }

    sent, written = reopened(tmp_path, LENIENT, FAR_US + 1_000)
    second = {one["order_id"]: one for one in told(sent)}
    assert second.keys() == {"2", "4"}
    assert written == {2, 4}
    for order_id, one in second.items():
        assert (one["status"], one["rule_version"]) == ("auto-resolved", 2)
        assert one["discrepancy_id"] == first[order_id]["discrepancy_id"]
        assert one["detail"].endswith("– the rule changed: settlement, version 2 no longer finds it")
    assert second["4"]["class"] == "one-sided"

    assert reopened(tmp_path, LENIENT, FAR_US + 2_000) == ([], set())

    sent, _ = reopened(tmp_path, STRICT, FAR_US + 3_000)
    third = {one["order_id"]: (one["status"], one["rule_version"], one["occurrences"]) for one in told(sent)}
    assert third == {"2": ("regressed", 3, 2), "4": ("regressed", 3, 2)}


def test_statements_are_judged_again_too(tmp_path: Path) -> None:
    log = SourceLog().put("statement", amount="9.00").put("payout", amount="9.00", statement_id=2, payout_id=2)
    marker = PARTIALS_TOPIC, encode_watermarks({0: Marker(AT_US, AT_US)})
    bench = statement_bench(tmp_path)
    bench.partition.process(records_of([*messages_of(log.events), marker]))
    bench.settle_all(AT_US)
    bench.close()
    found = {(one["rule"], one["entity_id"]) for one in told(bench.sent)}
    assert len(found) > 1

    gone = min(rule for rule, _ in found)
    bench = statement_bench(tmp_path, rules=rules_of(edited(2, without=(gone,))))
    try:
        later = PARTIALS_TOPIC, encode_watermarks({0: Marker(AT_US + 9, AT_US + 1)})
        (record,) = [one for one in records_of([marker, later]) if one.offset == 1]
        bench.partition.process([record])
        for later_us in range(2, 8):
            bench.partition.advance(AT_US + later_us)
        assert {(one["rule"], one["entity_id"], one["status"]) for one in told(bench.sent)} == {
            (rule, entity, "auto-resolved") for rule, entity in found if rule == gone
        }
        assert RULES.fingerprint != bench.partition._rules.fingerprint
    finally:
        bench.close()
