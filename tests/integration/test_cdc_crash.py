"""The reader is killed, its broker stands still, its database dies: nothing is lost."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.metrics import reader_alive, reader_parts
from tests.integration.cdc_stack import WAIT_SECONDS, Source, Stack, reading, running_stack, wait_until
from tests.integration.cdc_workload import Writer
from tests.integration.reader_process import start_reader

pytestmark = pytest.mark.integration

KILLS = 6


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("crash")) as stack:
        yield stack


def confirmed_lsn(source: Source) -> int:
    """What the slot may forget; 0 until it is streamed from, for a new slot is ahead of its own snapshot."""
    rows = source.query(
        "SELECT coalesce((confirmed_flush_lsn - '0/0')::int8, 0) FROM pg_replication_slots"
        f" WHERE slot_name = '{source.name}' AND active"
    )
    return int(rows[0][0]) if rows else 0


def written_lsn(source: Source) -> int:
    return int(source.query("SELECT (pg_current_wal_insert_lsn() - '0/0')::int8")[0][0])


def insert_orders(source: Source, first: int, count: int) -> None:
    source.query(
        "INSERT INTO orders SELECT number, 1, 'USD', 10.55, 1, 0.5, '{\"rate\": 0.05}', 'created', NULL, now()"
        f" FROM generate_series({first}, {first + count - 1}) AS number"
    )


@pytest.mark.slow
def test_a_reader_killed_at_random_moments_loses_nothing(stack: Stack, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    pick = random.Random(seed)
    # Shown when the test fails; the moments of the kills follow from it.
    sys.stdout.write(f"seed {seed}\n")
    source = stack.source("killed")
    insert_orders(source, 5_000_000, 30_000)
    writers = [Writer(source, number, seed) for number in range(2)]
    for writer in writers:
        writer.start()
    for _ in range(KILLS):
        process = start_reader(source.settings, tmp_path)
        time.sleep(pick.uniform(0.5, 4.0))
        process.kill()
        process.wait(WAIT_SECONDS)
    for writer in writers:
        writer.stop()
    process = start_reader(source.settings, tmp_path)
    end = written_lsn(source)
    wait_until(lambda: confirmed_lsn(source) >= end or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_SECONDS) == 0, (tmp_path / "reader.log").read_text()[-2000:]
    assert source.mirror() == source.truth()


def test_a_broker_that_stands_still_slows_the_reader_down_and_nothing_else(stack: Stack) -> None:
    source = stack.source("slow")
    source.query("ALTER SYSTEM SET wal_sender_timeout = '2s'")
    source.query("SELECT pg_reload_conf()")
    try:
        with reading(source) as reader:
            reader.catch_up(source)
            stack.supervisor.pause("kafka")
            try:
                # More than the queue holds; three times as long as the server waits for a sign of life.
                insert_orders(source, 1, 150_000)
                reader.wait_until(lambda: reader.counters.throttled_seconds > 6)
                assert not reader_parts(reader.counters)["kafka"].ready
                assert reader_alive(reader.counters)
                assert reader.counters.changes < 150_000
            finally:
                stack.supervisor.resume("kafka")
            reader.catch_up(source)
            assert reader.counters.sessions == 1
            assert reader.counters.throttled_seconds > 6
            assert reader.counters.server_lsn > 0
            assert all(part.ready for part in reader_parts(reader.counters).values())
    finally:
        source.query("ALTER SYSTEM RESET wal_sender_timeout")
        source.query("SELECT pg_reload_conf()")
    assert len(source.messages()) == 150_000
    assert source.mirror() == source.truth()


def test_a_database_that_dies_is_read_on_where_it_was(stack: Stack) -> None:
    source = stack.source("dying")
    with reading(source) as reader:
        reader.catch_up(source)
        insert_orders(source, 1, 5_000)
        stack.supervisor.kill("postgres")
        wait_until(lambda: stack.supervisor.states()[0].restarts > 0)
        stack.supervisor.wait_ready(WAIT_SECONDS)
        insert_orders(source, 10_001, 5_000)
        reader.catch_up(source)
        assert reader.counters.sessions > 1
        assert reader.counters.snapshot_rows == 0
    assert source.mirror() == source.truth()


def test_a_second_reader_of_the_same_slot_waits_for_the_first(stack: Stack) -> None:
    source = stack.source("twice")
    with reading(source) as first:
        first.catch_up(source)
        with reading(source) as second:
            second.wait_until(lambda: second.counters.sessions > 2)
            insert_orders(source, 1, 10)
            first.catch_up(source)
            assert second.counters.changes == 0
            first.stop()
            second.catch_up(source)
    assert len(source.messages()) == 10
