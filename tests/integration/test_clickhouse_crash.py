"""The embedded ClickHouse endpoint is killed, stopped and started again; what it acknowledged is there."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.integration.endpoint_process import PASSWORD, ROOT, ClickHouseServer

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ClickHouseServer]:
    running = ClickHouseServer(tmp_path / "data")
    running.start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def test_every_acknowledged_insert_survives_kill_9(server: ClickHouseServer) -> None:
    with server.client() as client:
        client.command("CREATE TABLE kept (batch UInt64, line UInt64) ENGINE = MergeTree ORDER BY (batch, line)")
    acknowledged: list[int] = []

    def insert_until_it_breaks(shard: int) -> None:
        try:
            with server.client() as other:
                for batch in range(shard, 1_000_000, 2):
                    other.insert("kept", [[batch, line] for line in range(500)], ["batch", "line"])
                    acknowledged.append(batch)
        except (DatabaseError, OSError):
            return

    for _ in range(2):
        seen = len(acknowledged)
        threads = [threading.Thread(target=insert_until_it_breaks, args=(shard,)) for shard in range(2)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 120
        while len(acknowledged) < seen + 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        for thread in threads:
            thread.join()
        server.start()
    with server.client() as client:
        found = client.query("SELECT batch, count() % 500 FROM kept GROUP BY batch").result_rows
    counted = {int(batch): int(rest) for batch, rest in found}
    assert len(acknowledged) >= 40
    assert set(acknowledged) - set(counted) == set()
    assert {batch for batch, rest in counted.items() if rest} == set(), "a batch is there whole or not at all"


def test_a_clean_stop_lets_a_running_query_end(server: ClickHouseServer) -> None:
    answers: list[tuple[int, str]] = []
    query = "SELECT count() FROM numbers(60) WHERE sleepEachRow(0.1) = 0 SETTINGS max_block_size = 1"
    running = threading.Thread(target=lambda: answers.append(server.curl(query)))
    running.start()
    with server.client() as client:
        deadline = time.monotonic() + 120
        while client.query("SELECT count() FROM system.processes").result_rows == [(1,)]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert server.stop(signal.SIGTERM) == 0
    running.join()
    assert answers == [(200, "60\n")]


def test_a_restart_keeps_tables_and_databases(server: ClickHouseServer) -> None:
    with server.client() as client:
        client.command("CREATE DATABASE books")
        client.command("CREATE TABLE books.ledger (a UInt8) ENGINE = MergeTree ORDER BY a")
        client.command("INSERT INTO books.ledger VALUES (1)")
        client.command(
            "CREATE VIEW trueup.v_ledger DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT a + 1 AS b FROM books.ledger"
        )
    assert server.stop(signal.SIGINT) == 0
    server.start()
    with server.analyst() as analyst:
        assert analyst.query("SELECT b FROM v_ledger").result_rows == [(2,)]


def test_a_second_process_on_the_directory_is_told_why(server: ClickHouseServer) -> None:
    second = ClickHouseServer(server.data_dir)
    environment = os.environ | {
        "TRUEUP_CLICKHOUSE_PASSWORD": PASSWORD,
        "TRUEUP_CLICKHOUSE_ANALYST_PASSWORD": "x",
        "TRUEUP_CLICKHOUSE_DASHBOARD_PASSWORD": "x",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "trueup.embedded.clickhouse", "--data-dir", str(server.data_dir), "--port"]
    for port, expected in ((second.port, "Stop the other process"), (server.port, "cannot listen")):
        done = subprocess.run(
            [*command, str(port)], env=environment, capture_output=True, check=False, text=True, timeout=60
        )
        assert done.returncode == 1
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
    assert server.curl("SELECT 1") == (200, "1\n")


def test_a_missing_password_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trueup.embedded.clickhouse", "--data-dir", str(tmp_path / "x"), "--port", "1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUEUP_")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, env=environment, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 1
    assert "TRUEUP_CLICKHOUSE_PASSWORD is not set" in done.stderr
