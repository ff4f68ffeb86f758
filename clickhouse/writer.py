"""Columnar inserts over HTTP, off the caller's event loop, retried while ClickHouse is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import pyarrow as pa
import structlog
from clickhouse_connect.driver.client import Client
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from clickhouse.client import translated_errors
from clickhouse.truncation_table import Erasure, erasure_query
from trueup.model.errors import UnavailableError

RETRY_SECONDS_MAX: Final = 5.0
"""Longest pause between two attempts."""

THREADS_MAX: Final = 2
"""Inserts of one writer that run at the same time."""

_SETTINGS: Final = {
    "async_insert": 0,
    # A backfill touches many months at once; the default of 100 would refuse it.
    "max_partitions_per_insert_block": 0,
}
_log = structlog.get_logger()


class Writer:
    """Inserts Arrow tables as they come from `clickhouse.columns.to_arrow`.

    An insert may be repeated: every table is a ReplacingMergeTree, so a row that arrives twice counts once.

    Args:
        client: from `clickhouse.client.connect`.
        database: name of the database.
        give_up_seconds: how long one call of `insert` tries while ClickHouse is not available.
    """

    def __init__(self, client: Client, database: str, *, give_up_seconds: float) -> None:
        self._client = client
        self._database = database
        self._give_up_seconds = give_up_seconds
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="clickhouse-insert")

    async def insert(self, tables: Mapping[str, pa.Table]) -> None:
        """Inserts the tables one after the other in the given order; returns when all of them are acknowledged.

        Errors: UnavailableError after `give_up_seconds`; RefusedError or ConfigurationError at once. Tables before the
        failing one are written then, and the caller repeats the whole call.
        """
        await asyncio.get_running_loop().run_in_executor(self._threads, self._insert_all, tables)

    async def erase(self, erasures: Sequence[Erasure]) -> None:
        """Writes what truncations took from mirrors as deleted, of rows that are in ClickHouse by then.

        Errors: as of `insert`; the caller repeats the whole call.
        """
        await asyncio.get_running_loop().run_in_executor(self._threads, self._erase_all, erasures)

    def close(self) -> None:
        """Waits for the inserts under way."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _insert_all(self, tables: Mapping[str, pa.Table]) -> None:
        for name, table in tables.items():
            if table.num_rows:
                self._repeated(partial(self._insert_one, name, table))

    def _erase_all(self, erasures: Sequence[Erasure]) -> None:
        for erasure in erasures:
            self._repeated(partial(self._erase_one, erasure))

    def _repeated(self, attempt: Callable[[], None]) -> None:
        Retrying(
            retry=retry_if_exception_type(UnavailableError),
            stop=stop_after_delay(self._give_up_seconds),
            wait=wait_random_exponential(multiplier=0.1, max=RETRY_SECONDS_MAX),
            before_sleep=_log_retry,
            reraise=True,
        )(attempt)

    def _erase_one(self, erasure: Erasure) -> None:
        query, parameters = erasure_query(erasure, self._database)
        with translated_errors(f"truncation of {self._database}.{erasure.truncation.table.name}"):
            self._client.command(query, parameters)

    def _insert_one(self, name: str, table: pa.Table) -> None:
        with translated_errors(f"insert into {self._database}.{name}"):
            self._client.insert_arrow(name, table, database=self._database, settings=_SETTINGS)


def _log_retry(state: RetryCallState) -> None:
    _log.warning(
        "clickhouse_insert_retried",
        attempt=state.attempt_number,
        error=str(state.outcome and state.outcome.exception()),
    )
