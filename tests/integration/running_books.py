"""A data directory as a running stack leaves it, whose ClickHouse holds made-up books: enough for commands that only read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import orjson
from pydantic import SecretStr

from benchmarks.board_data import Size, fill
from tests.integration.clickhouse_books import Server
from tests.integration.endpoint_process import ANALYST_PASSWORD, PASSWORD
from trueup.embedded.runtime import DataDirLock, RuntimeState, write_runtime
from trueup.settings import Settings
from trueup.stack_files import STACK_FILE, revealed

SIZE = Size(cases=4_000, orders=40_000, sellers=100)


@contextlib.contextmanager
def running_books(data_dir: Path, server: Server) -> Iterator[Settings]:
    """Fills the server and lets the directory look like that of a stack which runs; its settings."""
    base = Settings()
    settings = base.model_copy(
        update={
            "data_dir": data_dir,
            "clickhouse": base.clickhouse.model_copy(
                update={
                    "port": server.port,
                    "password": SecretStr(PASSWORD),
                    "analyst_password": SecretStr(ANALYST_PASSWORD),
                }
            ),
        }
    )
    client = server.client()
    fill(client, settings.clickhouse.database, SIZE)
    client.close()
    lock = DataDirLock(data_dir)
    lock.acquire()
    write_runtime(data_dir, RuntimeState(supervisor_pid=1, started_us=1, services=()))
    (data_dir / STACK_FILE).write_bytes(orjson.dumps(revealed(settings)))
    try:
        yield settings
    finally:
        lock.release()
