"""The wide rows that people read: one line per order and statement, with the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clickhouse.columns import to_arrow
from clickhouse.schema import DEFINITIONS
from streams.order_state import decode_order_state
from streams.wide_rows import literal
from tests.histories import finish
from tests.partition_bench import messages_of, order_bench, partials_for, records_of, statement_bench
from tests.source_log import FAR_US, START_US, SourceLog


def columns(table: str, row: tuple[object, ...]) -> dict[str, Any]:
    assert to_arrow(DEFINITIONS[table], [row]).num_rows == 1
    return dict(zip([column.name for column in DEFINITIONS[table].columns], row, strict=True))


def order_row(path: Path, log: SourceLog, *, judged: bool = True) -> dict[str, Any]:
    bench = order_bench(path / "orders")
    try:
        bench.partition.process(records_of(messages_of(log.events)))
        if judged:
            bench.partition.advance(FAR_US)
        bench.close_window()
        return columns("order_wide", bench.rows("order_wide")[1])
    finally:
        bench.close()


def test_a_matched_order(tmp_path: Path) -> None:
    log = SourceLog().put("orders").put("billing_item").tick().put("payout_item")
    row = order_row(tmp_path, log)
    assert (row["shop_id"], row["currency"], row["status"], row["verdict"]) == (9, "USD", "completed", "matched")
    amounts = [row[name] for name in ("gross_amount", "tax_amount", "fee_amount", "net_amount", "billed_amount")]
    assert amounts == [100_000, 10_000, 10_000, 80_000, 80_000]
    assert (row["billed_count"], row["paid_out_amount"], row["line_count"]) == (1, 80_000, 1)
    assert (row["statement_ids"], row["open_rules"], row["next_due_at"]) == (["1"], [], None)
    assert (row["first_committed_at"], row["last_committed_at"]) == (START_US, START_US + 1_000_000)
    assert list(row["contribution_kind"]) == ["item", "line"]
    assert list(row["contribution_statement"]) == ["1", "1"]
    assert list(row["contribution_payout"]) == ["null", "1"]
    assert list(row["contribution_amount_minor"]) == [800, 800]
    assert decode_order_state(row["state"].encode()).books.order_id == 1


def test_an_order_that_is_not_yet_judged_is_pending(tmp_path: Path) -> None:
    row = order_row(tmp_path, SourceLog().put("orders"), judged=False)
    assert (row["verdict"], row["next_due_at"], list(row["contribution_kind"])) == ("pending", START_US, [])


def test_a_discrepant_order_names_its_rules(tmp_path: Path) -> None:
    row = order_row(tmp_path, SourceLog().put("orders").put("billing_item", amount="9", shop_id=8))
    assert (row["verdict"], row["open_rules"]) == ("discrepant", ["party-mismatch", "wrong-billing-amount"])


def test_an_order_that_is_only_known_from_its_item(tmp_path: Path) -> None:
    row = order_row(tmp_path, SourceLog().put("billing_item", currency="JPY", amount="7"))
    assert (row["shop_id"], row["currency"], row["status"], row["gross_amount"]) == (9, "JPY", "", None)
    assert row["billed_amount"] == 70_000


def test_a_deleted_order_has_an_empty_row(tmp_path: Path) -> None:
    row = order_row(tmp_path, SourceLog().put("orders").delete("orders"))
    assert (row["currency"], row["status"], row["verdict"], row["billed_count"]) == ("", "", "matched", 0)


@pytest.mark.parametrize(("amount", "delta", "verdict"), [("8.00", 0, "matched"), ("9.00", 10_000, "discrepant")])
def test_a_statement_beside_its_running_total(tmp_path: Path, amount: str, delta: int, verdict: str) -> None:
    log = SourceLog().put("orders").put("billing_item").put("statement", amount=amount)
    orders = order_bench(tmp_path / "orders", partition_count=2)
    statements = statement_bench(tmp_path / "statements", partition_count=2)
    try:
        orders.partition.process(records_of(messages_of(log.events[:2])))
        orders.settle_all(FAR_US)
        partials = [("trueup.statement-partials", value or b"") for number in (0, 1)
                    for value in partials_for(orders.sent, number, 2)]  # fmt: skip
        statements.partition.process(records_of(messages_of(log.events[2:]) + partials))
        finish(statements)
        row = columns("statement_wide", statements.rows("statement_wide")[1])
        assert (row["running_amount"], row["running_count"], row["upstream_count"]) == (80_000, 1, 1)
        assert (row["delta_amount"], row["verdict"]) == (delta, verdict)
        assert (row["totals_currency"], row["totals_count"], row["totals_amount"]) == (["USD"], [1], [80_000])
    finally:
        orders.close()
        statements.close()


def test_ids_are_told_as_json() -> None:
    assert [literal(identifier) for identifier in (7, "7", None, 'a"b')] == ["7", '"7"', "null", '"a\\"b"']
