"""The reader: row changes from PostgreSQL to Kafka, inserts and updates, until the broker has acknowledged them.

The server, the broker and the reader share this machine. The clock runs from the first change that the reader takes until the
slot is confirmed behind the last one.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import psycopg

from trueup.embedded.ports import free_port
from trueup.stack import Stack
from trueup.stack_files import environment
from trueup.worker_metrics import metric_total

TIMEOUT_SECONDS: Final = 600.0
POLL_SECONDS: Final = 0.01

_INSERT: Final = (
    "INSERT INTO orders SELECT number, number % 997, 'USD', 10.55, 1, 0.5, '{\"rate\": 0.05}', 'created', NULL, now()"
    " FROM generate_series(1, %s) AS number"
)
_UPDATE: Final = "UPDATE orders SET status = 'paid', updated_at = now()"


class Reading(NamedTuple):
    """Figures of one run; CPU time is that of the reader's process, all threads."""

    changes: int
    seconds: float
    changes_per_s: float
    cpu_us_per_change: float
    rss_mib: int


def measure(stack: Stack, rows: int) -> Reading:
    """Half of the changes are inserts, half are updates with the row before; both wait in the slot when the reader starts.

    Args:
        stack: with PostgreSQL and the broker running, and no reader.
        rows: of the table; twice as many changes are read.
    """
    with _reader(stack):
        _wait(lambda: _confirmed(stack) > 0)
    with psycopg.connect(stack.postgres.dsn(), autocommit=True) as connection:
        connection.execute("TRUNCATE orders")
        connection.execute(_INSERT, (rows,))
        connection.execute(_UPDATE)
        row = connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::int8").fetchone()
    assert row is not None
    end = int(row[0])
    with _reader(stack) as (process, port):
        _wait(lambda: (metric_total(port, "trueup_reader_changes_total") or 0) > 0)
        taken = metric_total(port, "trueup_reader_changes_total") or 0
        began_at, before = time.monotonic(), process.cpu_times()
        _wait(lambda: _confirmed(stack) >= end)
        seconds, after = time.monotonic() - began_at, process.cpu_times()
        rss = process.memory_info().rss
    changes = round(2 * rows + 1 - taken)
    used = after.user + after.system - before.user - before.system
    return Reading(changes, seconds, changes / seconds, round(used / changes * 1e6, 1), rss >> 20)


def run(directory: Path, rows: int, rounds: int) -> dict[str, Any]:
    """The median of `rounds` runs, each on a stack of its own."""
    readings = []
    for number in range(rounds):
        stack = Stack(directory / f"reader-{number}", dashboard=False)
        stack.start(cdc=False)
        try:
            readings.append(measure(stack, rows))
        finally:
            stack.stop()
    return {
        "cdc_rows_per_s": round(statistics.median(each.changes_per_s for each in readings)),
        "cdc_runs": [each._asdict() for each in readings],
    }


@contextlib.contextmanager
def _reader(stack: Stack) -> Iterator[tuple[psutil.Process, int]]:
    """A reader of the stack in a process of its own: the process and the port of its metrics."""
    port = free_port()
    with (stack.data_dir / "reader.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "trueup.reader", "--metrics-port", str(port)],
            env={**os.environ, **environment(stack.settings)}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield psutil.Process(child.pid), port
    finally:
        child.terminate()
        child.wait(TIMEOUT_SECONDS)


def _confirmed(stack: Stack) -> int:
    """What the slot may forget, 0 until a reader streams from it."""
    with psycopg.connect(stack.postgres.dsn(), autocommit=True) as connection:
        row = connection.execute(
            "SELECT (confirmed_flush_lsn - '0/0')::int8 FROM pg_replication_slots WHERE active"
        ).fetchone()
    return int(row[0] or 0) if row else 0


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not done after {TIMEOUT_SECONDS:g} s")
        time.sleep(POLL_SECONDS)
