"""What is gone without a delete: truncated tables, and rows that were deleted while no slot kept the log."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from cdc.metrics import reader_parts
from cdc.postgres_slot import drop_slot
from cdc.postgres_state import ask_for_copy, read_postgres_state
from cdc.topics import source_topic
from tests.integration.cdc_stack import PARTITIONS, WAIT_SECONDS, Source, Stack, reading, running_stack, wait_until
from trueup.stack_files import environment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(800)]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("gaps")) as stack:
        yield stack


def insert_orders(source: Source, first: int, count: int) -> None:
    source.query(
        "INSERT INTO orders SELECT number, 1, 'USD', 10.55, 1, 0.5, '{\"rate\": 0.05}', 'created', NULL, now()"
        f" FROM generate_series({first}, {first + count - 1}) AS number"
    )


def test_a_truncate_is_told_in_every_partition_in_order_with_the_rest(stack: Stack) -> None:
    source = stack.source("emptied")
    source.query("INSERT INTO rule VALUES (1, 'daily', true, 10, 'USD', false)")
    with reading(source) as reader:
        reader.catch_up(source)
        with source.connect() as connection:
            connection.execute("BEGIN")
            for statement in (
                "INSERT INTO rule VALUES (2, 'daily', true, 10, 'USD', false)",
                "TRUNCATE orders, rule",
                "INSERT INTO rule VALUES (3, 'daily', true, 10, 'USD', false)",
            ):
                connection.execute(statement.encode())
            connection.execute("COMMIT")
        reader.catch_up(source)
        assert reader.counters.table("public.rule").changes == 3
    truncates = source.truncates()
    assert set(truncates) == {source_topic("emptied", "public", name) for name in ("orders", "rule")}
    assert all(len(positions) == 1 for topic in truncates.values() for positions in topic)
    assert source.mirror() == source.truth()
    assert set(source.mirror()["rule"]) == {3}


def test_a_lost_slot_is_told_and_what_was_deleted_meanwhile_goes(stack: Stack) -> None:
    source = stack.source("lost")
    insert_orders(source, 1, 50)
    with reading(source) as reader:
        reader.catch_up(source)
        wait_until(lambda: read_postgres_state(stack.kafka.bootstrap, source.name).progress is not None)
        assert reader.counters.gaps == 0
    assert source.truncates() == {}
    assert drop_slot(source.settings.source)
    source.query("DELETE FROM orders WHERE order_id <= 7")
    source.query("UPDATE orders SET status = 'paid' WHERE order_id = 8")
    with reading(source) as reader:
        reader.catch_up(source)
        assert reader.counters.gaps == 1
        gap = reader.counters.gap
        assert gap is not None
        assert 0 < gap.from_us < gap.repaired_us
        assert "the slot lost is gone: changes after 20" in str(gap)
        history = reader_parts(reader.counters)["history"]
        assert history.ready
        assert "all tables were copied again" in history.error
        assert reader.counters.snapshot_rows == 43
        insert_orders(source, 1, 2)
        reader.catch_up(source)
    told = source.truncates()[source_topic("lost", "public", "orders")]
    copied = {orjson.loads(m.value)["source"]["lsn"] for m in source.messages() if b'"op":"r"' in m.value}
    assert told == [[max(copied) - 1]] * PARTITIONS
    assert source.mirror() == source.truth()
    assert len(source.mirror()["orders"]) == 45
    with reading(source) as reader:
        reader.catch_up(source)
        assert reader.counters.gaps == 0


def test_a_repair_that_was_interrupted_begins_anew(stack: Stack) -> None:
    source = stack.source("interrupted")
    insert_orders(source, 1, 20_000)
    with reading(source) as reader:
        reader.catch_up(source)
    assert drop_slot(source.settings.source)
    source.query("DELETE FROM orders WHERE order_id % 100 = 0")
    with reading(source) as reader:
        reader.wait_until(lambda: reader.counters.snapshot_rows > 0)
    assert source.slot_exists()
    with reading(source) as reader:
        reader.catch_up(source)
        if reader.counters.snapshot_rows:
            assert "was not completed" in str(reader.counters.gap)
            assert reader.counters.snapshot_rows == 19_800
    assert source.mirror() == source.truth()


def test_a_slot_that_the_server_invalidated_is_a_gap(stack: Stack) -> None:
    source = stack.source("invalidated")
    insert_orders(source, 1, 10)
    with reading(source) as reader:
        reader.catch_up(source)
    source.query("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    source.query("SELECT pg_reload_conf()")
    try:
        source.query("DELETE FROM orders WHERE order_id = 3")
        for _ in range(3):
            source.query("SELECT pg_switch_wal() FROM (SELECT pg_logical_emit_message(true, 'noise', repeat('x', 99)))")
        source.query("CHECKPOINT")
        state = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'invalidated'"
        assert source.query(state) == [("lost",)]
        with reading(source) as reader:
            reader.catch_up(source)
            assert "thrown away log" in str(reader.counters.gap)
    finally:
        source.query("ALTER SYSTEM RESET max_slot_wal_keep_size")
        source.query("SELECT pg_reload_conf()")
    assert source.mirror() == source.truth()


def test_one_table_is_copied_again_while_it_is_written_to(stack: Stack) -> None:
    source = stack.source("again")
    insert_orders(source, 1, 3000)
    source.query("INSERT INTO rule VALUES (1, 'daily', true, 10, 'USD', false)")
    with reading(source) as reader:
        reader.catch_up(source)
        copied = reader.counters.snapshot_rows
        with source.connect() as connection:
            producer = stack.producer()
            ask_for_copy(producer, source.name, "public.orders", "first")
            producer.drain(60)
            producer.close()
            number, deadline = 0, time.monotonic() + WAIT_SECONDS
            # A thousand rows are left alone: they come with the copy, whenever it begins.
            while reader.counters.snapshot_rows < copied + 1000 or number < 200:
                number += 1
                connection.execute(f"UPDATE orders SET status = 'paid' WHERE order_id = {1 + number % 1000}".encode())
                if number <= 1000:
                    connection.execute(f"DELETE FROM orders WHERE order_id = {3001 - number}".encode())
                assert time.monotonic() < deadline, "the copy did not come"
        reader.wait_until(lambda: not read_postgres_state(stack.kafka.bootstrap, source.name).asked)
        reader.catch_up(source)
        assert reader.counters.sessions == 1
        assert reader.counters.table("public.rule").snapshot_rows == 1
    assert len(source.truncates()[source_topic("again", "public", "orders")][0]) == 1
    assert source.mirror() == source.truth()
    with reading(source) as reader:
        reader.catch_up(source)
        assert reader.counters.snapshot_rows == 0


def ask(source: Source, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`trueup cdc snapshot` with the settings of the source."""
    return subprocess.run(
        [sys.executable, "-m", "trueup.cli", "cdc", "snapshot", *arguments],
        env={**os.environ, **environment(source.settings), "PYTHONPATH": str(ROOT)},
        cwd=directory, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_the_command_waits_for_the_copy_and_knows_the_tables(stack: Stack, tmp_path: Path) -> None:
    source = stack.source("asked")
    source.query("INSERT INTO rule VALUES (1, 'daily', true, 10, 'USD', false)")
    with reading(source) as reader:
        reader.catch_up(source)
        done = ask(source, tmp_path, "rule", "--json")
        assert orjson.loads(done.stdout) == {"source": "asked", "asked": ["public.rule"], "copied": ["public.rule"]}
        assert reader.counters.table("public.rule").snapshot_rows == 2
    unknown = ask(source, tmp_path, "books.rule")
    assert unknown.returncode == 2
    assert "not read: books.rule" in " ".join(unknown.stderr.split())
    late = ask(source, tmp_path, "rule", "--wait", "0.5")
    assert late.returncode == 2
    assert "not copied within 0.5 s: public.rule" in " ".join(late.stderr.split())
    with reading(source) as reader:
        reader.wait_until(lambda: reader.counters.table("public.rule").snapshot_rows == 1)
