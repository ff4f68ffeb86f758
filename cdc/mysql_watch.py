"""Beside the stream of a binlog, in a thread of its own: notices tables that were altered, and copies those that must be.

A table is copied because a person asks (`trueup cdc snapshot`), or because it could not be read for a while. A copy has the position of its own snapshot as its version, so it needs no order with the stream: whatever was committed
behind that position is streamed behind it, and wins.
"""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Final

import pymysql
import structlog
from pymysql.connections import Connection

from cdc.delivery import QUEUED_MESSAGES_MAX
from cdc.mysql_publishing import BinlogPublishing
from cdc.mysql_snapshot import copy_tables
from cdc.mysql_source import Server, connect, unfit_tables
from cdc.postgres_state import StateFollower, following_state, write_copied
from cdc.reader_state import DELIVERY_SECONDS_MAX
from cdc.source_tables import SourceTable
from trueup.model.errors import TrueupError
from trueup.settings import Settings

LOOK_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 1.0
ROOM_PAUSE_SECONDS: Final = 0.05
STOP_SECONDS_MAX: Final = 15.0
IN_FLIGHT_MAX: Final = QUEUED_MESSAGES_MAX // 2
"""A copy leaves the rest of the queue to the stream."""

_log = structlog.get_logger()


class BinlogWatch(threading.Thread):
    """Watches until stopped; begins anew after every error, for what was asked for stays asked for.

    Args:
        settings: source, and the broker for the requests.
        server: that is read.
        publishing: where rows go, and which tables are read.
    """

    def __init__(self, settings: Settings, server: Server, publishing: BinlogPublishing) -> None:
        super().__init__(name="table-watch", daemon=True)
        self._settings = settings
        self._server = server
        self._publishing = publishing
        self._stopping = threading.Event()
        self._done: set[str] = set()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.join(STOP_SECONDS_MAX)

    def run(self) -> None:
        """Look at the tables, and copy what must be copied."""
        name = self._settings.source.name
        while not self._stopping.is_set():
            try:
                with (
                    following_state(self._settings.kafka.bootstrap, name) as follower,
                    closing(connect(self._settings.source)) as connection,
                ):
                    follower.read_to_end()
                    self._watch_until_stopped(follower, connection)
            except (pymysql.MySQLError, OSError, TrueupError) as error:
                _log.warning("table_watch_interrupted", reason=str(error).strip())
                self._stopping.wait(RETRY_SECONDS)

    def _watch_until_stopped(self, follower: StateFollower, connection: Connection) -> None:
        publishing, stopped = self._publishing, self._publishing.counters.stopped
        while not self._stopping.is_set():
            asked = follower.wait(LOOK_SECONDS).asked
            unfit = unfit_tables(connection, publishing.tables)
            for table in publishing.tables:
                label, request = table.label, asked.get(table.label)
                if label in unfit:
                    if label not in stopped:
                        _log.error("table_stopped", table=label, reason=unfit[label])
                    stopped[label] = unfit[label]
                # What is done may not have come back from the topic yet.
                elif label in stopped or (request and request not in self._done):
                    self._copy(table, request)

    def _copy(self, table: SourceTable, request: str | None) -> None:
        source, publishing, label = self._settings.source, self._publishing, table.label
        if copy_tables(source, self._server, publishing, [table], self._pause) is None:
            return
        publishing.producer.drain(DELIVERY_SECONDS_MAX)
        publishing.counters.stopped.pop(label, None)
        publishing.copied.append(label)
        if request:
            write_copied(publishing.producer, source.name, label, request)
            self._done.add(request)
        _log.info("table_copied_again", table=label)

    def _pause(self) -> bool:
        """Whether to stop; waits while the stream has little room left."""
        producer = self._publishing.producer
        while producer.in_flight > IN_FLIGHT_MAX and not self._stopping.wait(ROOM_PAUSE_SECONDS):
            pass
        return self._stopping.is_set()
