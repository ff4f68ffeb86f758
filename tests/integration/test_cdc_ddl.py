"""Tables are altered while they are written to: what adds passes, what breaks stops that table alone, loudly."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from cdc.metrics import reader_parts
from cdc.topics import QUARANTINE_TOPIC, source_topic
from tests.integration.cdc_stack import Reader, Source, Stack, reading, running_stack
from tests.integration.cdc_workload import Writer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(800)]

SEED = 20_261_128


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("ddl")) as stack:
        yield stack


def insert_orders(source: Source, first: int, count: int, column: str = "gross_amount") -> None:
    source.query(
        f"INSERT INTO orders (order_id, shop_id, currency, {column}, tax_amount, fee_amount, status, updated_at)"
        f" SELECT number, 1, 'USD', 10.55, 1, 0.5, 'created', now()"
        f" FROM generate_series({first}, {first + count - 1}) AS number"
    )


def stopped(reader: Reader) -> str:
    return reader_parts(reader.counters)["tables"].error


def quarantined(source: Source) -> set[tuple[str, str]]:
    name = source_topic(source.name, "public", "orders").encode()
    return {(m.headers["code"], m.headers["reason"]) for m in source.messages(QUARANTINE_TOPIC) if m.key == name}


def newest(source: Source, order_id: int) -> dict[str, object]:
    told = [m for m in source.messages(source_topic(source.name, "public", "orders")) if m.key]
    rows: dict[str, object] = [
        row for m in told if (row := orjson.loads(m.value)["after"]) and row["order_id"] == order_id
    ][-1]
    return rows


def test_what_adds_or_changes_nothing_that_is_needed_passes_under_load(stack: Stack) -> None:
    source = stack.source("adding")
    writer = Writer(source, 1, SEED)
    with reading(source) as reader:
        reader.catch_up(source)
        writer.start()
        for statement in (
            "ALTER TABLE orders ADD COLUMN note text DEFAULT 'none'",
            "CREATE DOMAIN points AS bigint",
            "ALTER TABLE orders ADD COLUMN points points DEFAULT 7",
            "ALTER TABLE orders RENAME COLUMN note TO remark",
            "ALTER TABLE orders ALTER COLUMN tax_amount TYPE numeric(30, 6)",
            "ALTER TABLE orders ALTER COLUMN status TYPE varchar(40)",
        ):
            before = reader.counters.changes
            source.query(statement)
            reader.wait_until(lambda before=before: reader.counters.changes > before + 5)  # type: ignore[misc]
        insert_orders(source, 9, 1)
        reader.catch_up(source)
        row = newest(source, 9)
        assert (row["remark"], row["points"]) == ("none", 7)
        source.query("ALTER TABLE orders DROP COLUMN remark")
        writer.stop()
        reader.catch_up(source)
        assert stopped(reader) == ""
        assert (reader.counters.sessions, reader.counters.quarantined) == (1, 0)
    assert source.mirror() == source.truth()


@pytest.mark.parametrize(
    ("name", "breaking", "mending", "code", "reason"),
    [
        (
            "renamed",
            "ALTER TABLE orders RENAME COLUMN gross_amount TO total",
            "ALTER TABLE orders RENAME COLUMN total TO gross_amount",
            "missing-column",
            "table public.orders has no column gross_amount",
        ),
        (
            "retyped",
            "ALTER TABLE orders ALTER COLUMN gross_amount TYPE double precision",
            "ALTER TABLE orders ALTER COLUMN gross_amount TYPE numeric(38, 4)",
            "wrong-type",
            "gross_amount as money",
        ),
    ],
)
def test_a_breaking_change_stops_its_table_and_mending_it_makes_up_for_it(
    stack: Stack, name: str, breaking: str, mending: str, code: str, reason: str
) -> None:
    source = stack.source(name)
    insert_orders(source, 1, 20)
    with reading(source) as reader:
        reader.catch_up(source)
        source.query(breaking)
        reader.wait_until(lambda: reason in stopped(reader))
        assert not reader_parts(reader.counters)["tables"].ready
        source.query("UPDATE orders SET status = 'paid' WHERE order_id = 3")
        source.query("DELETE FROM orders WHERE order_id = 4")
        source.query("INSERT INTO rule VALUES (1, 'daily', true, 10, 'USD', false)")
        reader.catch_up(source)
        assert reader.counters.table("public.rule").changes == 1
        assert {found for found, text in quarantined(source) if reason in text} == {code}
    # A restart while it is altered does not take the others down, and forgets nothing.
    with reading(source) as reader:
        reader.catch_up(source)
        assert reason in stopped(reader)
        source.query("INSERT INTO rule VALUES (2, 'daily', true, 10, 'USD', false)")
        source.query(mending)
        source.query("UPDATE orders SET status = 'paid' WHERE order_id = 5")
        reader.wait_until(lambda: stopped(reader) == "")
        reader.catch_up(source)
        assert reader.counters.table("public.orders").snapshot_rows >= 19
    assert source.mirror() == source.truth()
    assert len(source.mirror()["orders"]) == 19


def test_a_table_that_was_dropped_comes_back(stack: Stack) -> None:
    source = stack.source("dropped")
    source.query("INSERT INTO funding SELECT * FROM funding LIMIT 0")
    source.query("CREATE TABLE kept AS SELECT * FROM rule LIMIT 0")
    with reading(source) as reader:
        reader.catch_up(source)
        source.query("INSERT INTO rule VALUES (1, 'daily', true, 10, 'USD', false)")
        source.query("DROP TABLE rule CASCADE")
        reader.wait_until(lambda: stopped(reader) == "table public.rule does not exist")
        insert_orders(source, 1, 2)
        source.query("CREATE TABLE rule (LIKE kept INCLUDING ALL)")
        source.query("INSERT INTO rule VALUES (2, 'daily', true, 10, 'USD', false)")
        reader.wait_until(lambda: stopped(reader) == "")
        source.query("INSERT INTO rule VALUES (3, 'daily', true, 10, 'USD', false)")
        reader.catch_up(source)
    assert source.mirror() == source.truth()
    assert set(source.mirror()["rule"]) == {2, 3}
