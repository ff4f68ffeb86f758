"""The embedded PostgreSQL on real processes: logical decoding, access, crash recovery, restart."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from trueup.embedded.ports import free_port
from trueup.embedded.postgres import Postgres
from trueup.embedded.service import Backoff
from trueup.embedded.supervisor import Supervisor

pytestmark = pytest.mark.integration

QUICK = Backoff(first_seconds=0.1, max_seconds=0.5)
WAIT_SECONDS = 180.0


@pytest.fixture
def postgres(tmp_path: Path) -> Postgres:
    return Postgres(tmp_path / "data", free_port(), durable=False)


@pytest.fixture
def supervisor(postgres: Postgres) -> Iterator[Supervisor]:
    supervisor = Supervisor(postgres.data_dir, [postgres.service()], backoff=QUICK)
    supervisor.start()
    yield supervisor
    supervisor.stop()


def query(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(dsn)) as connection:
        connection.set_session(autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def pid_of(supervisor: Supervisor) -> int:
    pid = supervisor.states()[0].pid
    assert pid is not None
    return pid


def test_logical_decoding_works(postgres: Postgres, supervisor: Supervisor) -> None:
    dsn = postgres.dsn()
    assert query(dsn, "SELECT current_database(), current_user") == [("settlement", "trueup")]
    assert query(dsn, "SHOW wal_level") == [("logical",)]
    assert query(dsn, "SHOW synchronous_commit") == [("on",)]
    assert query(dsn, "SHOW server_version")[0][0].startswith("18.")
    query(dsn, "CREATE TABLE orders (order_id text PRIMARY KEY)")
    query(dsn, "CREATE PUBLICATION trueup FOR ALL TABLES")
    query(dsn, "SELECT pg_create_logical_replication_slot('trueup', 'pgoutput')")
    query(dsn, "INSERT INTO orders VALUES ('o1')")
    changes = query(
        dsn,
        "SELECT data FROM pg_logical_slot_get_binary_changes"
        "('trueup', NULL, NULL, 'proto_version', '1', 'publication_names', 'trueup')",
    )
    assert any(bytes(row[0]).startswith(b"I") and b"o1" in bytes(row[0]) for row in changes)


def test_only_loopback_with_the_password(postgres: Postgres, supervisor: Supervisor) -> None:
    server = psutil.Process(pid_of(supervisor))
    listeners = {each.laddr for each in server.net_connections("all") if each.status == psutil.CONN_LISTEN}
    assert listeners == {("127.0.0.1", postgres.port)}
    password_file = postgres.data_dir / "postgres.password"
    assert stat.S_IMODE(password_file.stat().st_mode) == 0o600
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(postgres.dsn(), password="wrong")
    assert query(postgres.dsn(), "SELECT left(rolpassword, 13) FROM pg_authid WHERE rolname = 'trueup'") == [
        ("SCRAM-SHA-256",)
    ]


def test_a_killed_server_recovers_what_was_committed(postgres: Postgres, supervisor: Supervisor) -> None:
    dsn = postgres.dsn()
    query(dsn, "CREATE TABLE orders (order_id text PRIMARY KEY)")
    query(dsn, "SELECT pg_create_logical_replication_slot('trueup', 'pgoutput')")
    query(dsn, "INSERT INTO orders SELECT i::text FROM generate_series(1, 1000) AS i")
    first = pid_of(supervisor)
    supervisor.kill("postgres")
    deadline = time.monotonic() + WAIT_SECONDS
    while supervisor.states()[0].pid in (None, first) and time.monotonic() < deadline:
        time.sleep(0.05)
    supervisor.wait_ready(WAIT_SECONDS)
    assert query(dsn, "SELECT count(*) FROM orders") == [(1000,)]
    assert query(dsn, "SELECT slot_name FROM pg_replication_slots") == [("trueup",)]


RUNNER = """
import sys
from pathlib import Path
from trueup.embedded.postgres import Postgres
from trueup.embedded.supervisor import Supervisor
postgres = Postgres(Path(sys.argv[1]), int(sys.argv[2]), durable=False)
Supervisor(postgres.data_dir, [postgres.service()]).run(lambda: print("running", flush=True))
"""


def test_a_killed_supervisor_takes_the_server_along_and_the_next_one_recovers(postgres: Postgres) -> None:
    command = [sys.executable, "-c", RUNNER, str(postgres.data_dir), str(postgres.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            while (line := process.stdout.readline()) != "running\n":
                assert line, "the supervisor ended"
            query(postgres.dsn(), "CREATE TABLE kept AS SELECT 1 AS a")
            server = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()
    _, alive = psutil.wait_procs(server, timeout=WAIT_SECONDS)
    assert not alive
    supervisor = Supervisor(postgres.data_dir, [postgres.service()], backoff=QUICK)
    supervisor.start()
    try:
        assert query(postgres.dsn(), "SELECT a FROM kept") == [(1,)]
    finally:
        supervisor.stop()


def test_data_survive_a_stop_and_a_start_on_another_port(postgres: Postgres) -> None:
    first = Supervisor(postgres.data_dir, [postgres.service()], backoff=QUICK)
    first.start()
    try:
        query(postgres.dsn(), "CREATE TABLE kept AS SELECT 1 AS a")
    finally:
        first.stop()
    moved = Postgres(postgres.data_dir, free_port(), durable=False)
    second = Supervisor(moved.data_dir, [moved.service()], backoff=QUICK)
    second.start()
    try:
        assert query(moved.dsn(), "SELECT a FROM kept") == [(1,)]
    finally:
        second.stop()
    # A clean stop needs no recovery at the next start.
    assert "was not properly shut down" not in second.log_path("postgres").read_text()
