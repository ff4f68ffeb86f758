"""Beside the stream, in a thread of its own: notices tables that were altered, and copies those that are asked for.

A table is asked for by a person (`trueup cdc snapshot`), or because it could not be read for a while. Its copy has the
version of ADR 0007, so it needs no order with the stream: whatever was written behind the position that is taken first wins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import psycopg
import structlog

from cdc.delivery import QUEUED_MESSAGES_MAX
from cdc.postgres_snapshot import copy_beside
from cdc.postgres_source import Connection, connect, misfits, prepare
from cdc.postgres_state import StateFollower, following_state, write_copied
from cdc.publishing import Publishing
from cdc.source_tables import SourceTable
from trueup.model.errors import TrueupError

LOOK_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 1.0
ROOM_PAUSE_SECONDS: Final = 0.05
STOP_SECONDS_MAX: Final = 15.0
IN_FLIGHT_MAX: Final = QUEUED_MESSAGES_MAX // 2
"""A copy leaves the rest of the queue to the stream."""

_log = structlog.get_logger()


class TableWatch(threading.Thread):
    """Watches until stopped; begins anew after every error, for what was asked for stays asked for.

    Args:
        publishing: where rows go, and which tables are read.
        bootstrap: address of the broker, for the requests.
        now_us: this side's clock, µs since the epoch.
    """

    def __init__(self, publishing: Publishing, bootstrap: str, now_us: Callable[[], int]) -> None:
        super().__init__(name="table-watch", daemon=True)
        self._publishing = publishing
        self._broker = bootstrap
        self._now_us = now_us
        self._stopping = threading.Event()
        self._told: set[str] = set()
        self._done: set[str] = set()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.join(STOP_SECONDS_MAX)

    def run(self) -> None:
        """Look at the tables, and copy what is asked for."""
        source = self._publishing.source
        while not self._stopping.is_set():
            try:
                with following_state(self._broker, source.name) as follower, connect(source) as connection:
                    follower.read_to_end()
                    self._watch_until_stopped(follower, connection)
            except (psycopg.Error, TrueupError) as error:
                _log.warning("table_watch_interrupted", reason=str(error).strip())
                self._stopping.wait(RETRY_SECONDS)

    def _watch_until_stopped(self, follower: StateFollower, connection: Connection) -> None:
        publishing = self._publishing
        while not self._stopping.is_set():
            asked = follower.wait(LOOK_SECONDS).asked
            unfit = misfits(connection, publishing.tables)
            for label, reason in unfit.items():
                if label not in publishing.counters.stopped:
                    publishing.stop(label, reason)
            for table in publishing.tables:
                request = asked.get(table.label)
                # What is done may not have come back from the topic yet.
                if request and request not in self._done and table.label not in unfit and not self._stopping.is_set():
                    self._copy(connection, table, request)
            self._refuse_unknown(set(asked))

    def _copy(self, connection: Connection, table: SourceTable, request: str) -> None:
        publishing, label = self._publishing, table.label
        # A table that was dropped and made again is in no publication.
        prepare(connection, publishing.source, [table])
        if copy_beside(connection, publishing, [table], self._now_us, self._pause):
            write_copied(publishing.producer, publishing.source.name, label, request)
            self._done.add(request)
            publishing.counters.stopped.pop(label, None)
            _log.info("table_copied_again", table=label)

    def _pause(self) -> bool:
        """Whether to stop; waits while the stream has little room left."""
        producer = self._publishing.producer
        while producer.in_flight > IN_FLIGHT_MAX and not self._stopping.wait(ROOM_PAUSE_SECONDS):
            pass
        return self._stopping.is_set()

    def _refuse_unknown(self, asked: set[str]) -> None:
        known = {table.label for table in self._publishing.tables}
        for label in sorted(asked - known - self._told):
            self._told.add(label)
            _log.warning("copy_of_unknown_table", table=label, known=sorted(known))
