"""Inserts off the event loop survive a server that goes away, and the reader finds what was written."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from clickhouse.columns import mirror_row, to_arrow
from clickhouse.migrate import migrate
from clickhouse.reader import Reader, Total
from clickhouse.schema import DISCREPANCY, DISCREPANCY_EVENT, MIRRORS, ORDER_WIDE, QUARANTINE, STATEMENT_WIDE, WATERMARK
from clickhouse.writer import Writer
from tests.integration.clickhouse_books import Server, running_server
from tests.integration.clickhouse_rows import changed, edge_rows, order_row
from trueup.model.change import Change
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.model.tables import BILLING_ITEM, ORDERS, PAYOUT

pytestmark = pytest.mark.integration
DATABASE = "books"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path) as running:
        migrate(running.client(), DATABASE)
        yield running


def write(server: Server, tables: dict[str, pa.Table], *, give_up_seconds: float = 60) -> None:
    writer = Writer(server.client(), DATABASE, give_up_seconds=give_up_seconds)
    try:
        asyncio.run(writer.insert(tables))
    finally:
        writer.close()


def test_an_insert_waits_for_a_server_that_comes_back(server: Server) -> None:
    writer = Writer(server.client(), DATABASE, give_up_seconds=90)
    asyncio.run(writer.insert({"order_wide": to_arrow(ORDER_WIDE, [order_row(1)])}))
    server.kill()
    restart = threading.Timer(1.0, server.start)
    restart.start()
    asyncio.run(writer.insert({"order_wide": to_arrow(ORDER_WIDE, [order_row(2)])}))
    restart.join()
    writer.close()
    assert [Reader(server.client(), DATABASE).order(order_id) is not None for order_id in ("1", "2", "3")] == [
        True,
        True,
        False,
    ]


def test_an_insert_gives_up_in_time_and_leaves_the_loop_free(server: Server) -> None:
    writer = Writer(server.client(), DATABASE, give_up_seconds=1.0)
    server.kill()

    async def insert_beside_a_clock() -> int:
        ticks = 0
        insert = asyncio.ensure_future(writer.insert({"order_wide": to_arrow(ORDER_WIDE, [order_row(1)])}))
        while not insert.done():
            await asyncio.sleep(0.05)
            ticks += 1
        with pytest.raises(UnavailableError):
            await insert
        return ticks

    started = time.monotonic()
    assert asyncio.run(insert_beside_a_clock()) >= 3
    assert time.monotonic() - started < 30
    writer.close()


def test_what_a_retry_cannot_mend_is_raised_at_once(server: Server) -> None:
    with pytest.raises(ConfigurationError, match="UNKNOWN_TABLE"):
        write(server, {"nowhere": to_arrow(ORDER_WIDE, [order_row(1)])})


def test_a_repeated_insert_counts_once_and_empty_tables_are_left_out(server: Server) -> None:
    tables = {
        "order_wide": to_arrow(ORDER_WIDE, [order_row(1), order_row(2, verdict="discrepant")]),
        "quarantine": to_arrow(QUARANTINE, edge_rows(QUARANTINE)),
        "discrepancy": to_arrow(DISCREPANCY, []),
    }
    write(server, tables)
    write(server, tables)
    assert Reader(server.client(), DATABASE).counts() == {
        "order_wide": {"discrepant": 1, "matched": 1},
        "statement_wide": {},
        "discrepancy": {},
        "quarantine": {"": 1, "open": 1, "ü": 1},
    }


def test_an_order_is_traced_through_all_its_tables(server: Server) -> None:
    order = Change(
        ORDERS, "main", "O-1", "O-1", 10, 99, False, ("O-1", 7, "USD", 500, 0, 0, None, "paid", None, 5), (), 3, 1
    )
    item = ("B-1", "O-1", 7, 9, "sale", "no", 500, "USD", "paid", 4, 5)
    moved = ("B-2", "O-2", 7, 9, "sale", "no", 500, "USD", "paid", 4, 5)
    items = [
        Change(BILLING_ITEM, "main", "O-1", "B-1", 11, 99, False, item, (), 3, 2),
        Change(BILLING_ITEM, "main", "O-1", "B-2", 12, 99, False, ("B-2", "O-1", *moved[2:]), (), 3, 3),
        Change(BILLING_ITEM, "main", "O-2", "B-2", 13, 99, False, moved, (), 3, 4),
    ]
    discrepancy, event = edge_rows(DISCREPANCY)[0], edge_rows(DISCREPANCY_EVENT)[0]
    found = changed(DISCREPANCY, discrepancy, discrepancy_id="d1", order_id="O-1", version=4, status="open")
    steps = [
        changed(DISCREPANCY_EVENT, event, discrepancy_id="d1", step_id=str(version), version=version, status=status)
        for version, status in ((4, "regressed"), (3, "auto-resolved"), (2, "open"))
    ]
    write(
        server,
        {
            "orders": to_arrow(MIRRORS["orders"], [mirror_row(order)]),
            "billing_item": to_arrow(MIRRORS["billing_item"], [mirror_row(change) for change in items]),
            "order_wide": to_arrow(ORDER_WIDE, [order_row("O-1", partition=3, completed_at=1_500_000)]),
            "discrepancy": to_arrow(DISCREPANCY, [found]),
            "discrepancy_event": to_arrow(DISCREPANCY_EVENT, steps),
        },
    )
    reader = Reader(server.client(), DATABASE)
    wide = reader.order("O-1")
    assert wide is not None
    assert wide["completed_at"] == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert "state" not in wide
    legs = reader.order_legs("O-1")
    assert [row["gross_amount"] for row in legs["orders"]] == [Decimal(5)]
    assert [row["billing_item_id"] for row in legs["billing_item"]] == ["B-1"]
    assert legs["payout_item"] == []
    assert [row["discrepancy_id"] for row in reader.order_discrepancies("O-1")] == ["d1"]
    assert [row["status"] for row in reader.events(["d1"])] == ["open", "auto-resolved", "regressed"]
    assert [row["discrepancy_id"] for row in reader.open_discrepancies()] == ["d1"]
    assert reader.order("O-1' OR 1 = 1 --") is None


def test_a_statement_is_read_with_its_totals(server: Server) -> None:
    row = changed(
        STATEMENT_WIDE,
        edge_rows(STATEMENT_WIDE)[0],
        statement_id="9",
        totals_currency=["JPY", "USD"],
        totals_count=[1, 2],
        totals_amount=[50_000, 10**38 - 1],
    )
    payout = Change(PAYOUT, "main", 9, 4, 10, 99, False, (4, 9, 7, "card", 500, "USD", "paid", None, 5), (), 3, 1)
    found = changed(DISCREPANCY, edge_rows(DISCREPANCY)[0], discrepancy_id="d2", statement_id="9")
    write(
        server,
        {
            "statement_wide": to_arrow(STATEMENT_WIDE, [row]),
            "payout": to_arrow(MIRRORS["payout"], [mirror_row(payout)]),
            "discrepancy": to_arrow(DISCREPANCY, [found]),
            "watermark": to_arrow(WATERMARK, edge_rows(WATERMARK)),
        },
    )
    reader = Reader(server.client(), DATABASE)
    assert reader.running_totals() == [
        Total("9", "JPY", 1, "5"),
        Total("9", "USD", 2, "9999999999999999999999999999999999.9999"),
    ]
    statement = reader.statement("9")
    assert statement is not None
    assert statement["running_amount"] == Decimal("9999999999999999999999999999999999.9999")
    assert [leg["payout_id"] for leg in reader.statement_legs("9")["payout"]] == ["4"]
    assert [one["discrepancy_id"] for one in reader.statement_discrepancies("9")] == ["d2"]
    assert len(reader.watermarks()) == 3
