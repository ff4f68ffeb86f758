"""The reference business runs on MariaDB as it runs on PostgreSQL."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import psycopg2
import pytest

from tests.integration.mariadb_replica import Replica
from tests.integration.mariadb_server import MariaDb
from trueup.embedded.ports import free_port
from trueup.embedded.postgres import Postgres
from trueup.embedded.supervisor import Supervisor
from trueup.model.tables import TABLES, Table
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.schema import create
from trueup.upstream.workload import run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(800)]

SEED = 20_261_128


def test_the_workload_of_postgres_is_on_mariadb_row_by_row(tmp_path: Path) -> None:
    postgres, server = Postgres(tmp_path, free_port(), durable=False), MariaDb(tmp_path, free_port())
    supervisor = Supervisor(tmp_path, [postgres.service(), server.service()])
    supervisor.start()
    try:
        with closing(psycopg2.connect(postgres.dsn())) as connection:
            create(connection)
        replica = Replica(postgres.dsn(), server, "settlement")
        replica.make_tables()
        replica.start()
        done = run(postgres.dsn(), WorkloadPlan(orders=300, seed=SEED))
        assert replica.copy() > done.orders
        with psycopg.connect(postgres.dsn()) as source, closing(server.connect("settlement")) as target:
            source.execute("SET TimeZone = 'UTC'")
            for table in TABLES.values():
                columns = ", ".join(f"{column.name}{_cast(column.kind)}" for column in table.columns)
                held = source.execute(f"SELECT {columns} FROM public.{table.name}".encode()).fetchall()
                with target.cursor() as cursor:
                    cursor.execute(f"SELECT {_quoted(table)} FROM `{table.name}`")
                    copied = cursor.fetchall()
                assert sorted(map(_plain, copied)) == sorted(map(_plain, held)), table.name
            assert done.changes > 0
    finally:
        supervisor.stop()


def _cast(kind: str) -> str:
    return "::text" if kind == "json" else ""


def _quoted(table: Table) -> str:
    return ", ".join(f"`{column.name}`" for column in table.columns)


def _plain(row: tuple[Any, ...]) -> list[str]:
    """Values as text: drivers differ in types of flags and times, not in what they say."""
    return [str(_value(value)) for value in row]


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    return int(value) if isinstance(value, bool) else value
