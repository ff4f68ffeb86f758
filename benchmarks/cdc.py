"""(f) Row changes per second out of PostgreSQL's log into Kafka: our reader, and Debezium in Kafka Connect in the same run.

Both have a slot on one database. The log is written while neither reads, then each reads all of it alone. The clock runs
from the first change in Kafka to the last, so neither the start of a JVM nor that of a connector counts.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import psycopg2
from pydantic import SecretStr

from cdc.connect_rest import ConnectRest
from cdc.connector_config import connector_config
from cdc.delivery import EndOffsets
from cdc.postgres_state import read_postgres_state
from cdc.source_tables import settlement_tables
from cdc.topics import ensure_topics, source_topics, topic_plan
from trueup.embedded.connect.worker import Connect
from trueup.embedded.kafka.broker import Kafka
from trueup.embedded.ports import LOOPBACK, free_port
from trueup.embedded.postgres import DATABASE, ROLE, Postgres
from trueup.embedded.readiness import http_answers
from trueup.embedded.supervisor import Supervisor
from trueup.settings import ConnectSettings, KafkaSettings, ReaderKind, Settings, SourceSettings
from trueup.stack_files import environment
from trueup.upstream import schema

PARTITIONS: Final = 4
ROWS_PER_TRANSACTION: Final = 1_000
TIMEOUT_SECONDS: Final = 600.0
POLL_SECONDS: Final = 0.05
LOGIN: Final = "source-login"

_INSERT: Final = (
    "INSERT INTO orders SELECT number, mod(number, 1000), 'USD', 10.55, 1, 0.5, '{\"rate\": 0.05}', 'created', NULL, now()"
    " FROM generate_series(%s::bigint, %s::bigint) AS number"
)
_UPDATE: Final = "UPDATE orders SET status = 'paid', gross_amount = gross_amount + 1, updated_at = now() WHERE order_id BETWEEN %s AND %s"


def run(directory: Path, changes: int) -> dict[str, Any]:
    """Measure both on so many row changes, half of them inserts, half updates."""
    data_dir = directory / "cdc"
    data_dir.mkdir()
    postgres = Postgres(data_dir, free_port())
    kafka = Kafka(data_dir, free_port(), free_port())
    connect = Connect(data_dir, free_port(), kafka.bootstrap)
    supervisor = Supervisor(data_dir, [postgres.service(), kafka.service(), connect.service()])
    supervisor.start()
    try:
        with closing(psycopg2.connect(postgres.dsn())) as connection:
            schema.create(connection)
        connect.keep_secret(LOGIN, postgres.password())
        ours = _settings(postgres, kafka, connect, "ours", "replication")
        theirs = _settings(postgres, kafka, connect, "theirs", "debezium")
        for settings in (ours, theirs):
            ensure_topics(kafka.bootstrap, topic_plan([settings.source.name], "public", PARTITIONS))
        # Each makes its slot and a copy of nothing; ours makes the publication that both read.
        with _reader(ours):
            # It is ready while it copies; stopped before the end, it would copy what is written below.
            _wait(lambda: read_postgres_state(kafka.bootstrap, "ours").mark is not None)
        ConnectRest(connect.url).register("theirs", connector_config(theirs, settlement_tables("public")))
        with _reader(theirs):
            pass
        address = f"{connect.url}/connectors/theirs"
        httpx.put(f"{address}/pause", timeout=TIMEOUT_SECONDS).raise_for_status()
        _wait(lambda: httpx.get(f"{address}/status").json()["tasks"][0]["state"] == "PAUSED")
        _write(postgres.dsn(), changes)
        figures = {}
        with _reader(ours, wait=False):
            figures["cdc_rows_per_s"] = _rate(ours, changes)
        httpx.put(f"{address}/resume", timeout=TIMEOUT_SECONDS).raise_for_status()
        figures["debezium_rows_per_s"] = _rate(theirs, changes)
    finally:
        supervisor.stop()
    return {**figures, "cdc_changes": changes}


def _settings(postgres: Postgres, kafka: Kafka, connect: Connect, name: str, reader: ReaderKind) -> Settings:
    return Settings(
        source=SourceSettings(
            name=name,
            slot=name,
            host=LOOPBACK,
            port=postgres.port,
            user=ROLE,
            database=DATABASE,
            password=SecretStr(postgres.password()),
            reader=reader,
        ),
        kafka=KafkaSettings(bootstrap=kafka.bootstrap, partitions=PARTITIONS),
        connect=ConnectSettings(url=connect.url, password=connect.secret_reference(LOGIN)),
    )


@contextlib.contextmanager
def _reader(settings: Settings, *, wait: bool = True) -> Iterator[None]:
    """The reader's process, ready if waited for."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "trueup.reader", "--metrics-port", str(port)],
        env={**os.environ, **environment(settings)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if wait:
            _wait(http_answers(f"http://{LOOPBACK}:{port}/readyz"))
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT_SECONDS)


def _write(dsn: str, changes: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in (_INSERT, _UPDATE):
            for first in range(1, changes // 2 + 1, ROWS_PER_TRANSACTION):
                connection.execute(statement, (first, min(first + ROWS_PER_TRANSACTION - 1, changes // 2)))


def _rate(settings: Settings, changes: int) -> int:
    """Changes per second, from the first that is seen in the topics to the last."""
    ends = EndOffsets(settings.kafka.bootstrap, source_topics(settings.source.name, "public"))
    seen: list[tuple[float, int]] = []

    def told() -> bool:
        count = sum(sum(each) for each in ends.now().values())
        if count:
            seen.append((time.monotonic(), count))
        return count >= changes

    _wait(told)
    (began_at, before), (ended_at, after) = seen[0], seen[-1]
    return round((after - before) / max(ended_at - began_at, POLL_SECONDS))


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the benchmark's services did not get there in time")
        time.sleep(POLL_SECONDS)
