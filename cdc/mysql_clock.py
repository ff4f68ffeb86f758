"""Asks a MySQL or MariaDB server for its clock and where its binlog ends, again and again, in a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import closing
from typing import Final

import pymysql
import structlog
from pymysql.connections import Connection

from cdc.heartbeat import PROBES_KEPT_MAX, Probe
from cdc.mysql_source import connect, master_status, query
from trueup.model.errors import TrueupError
from trueup.settings import SourceSettings

RETRY_SECONDS: Final = 1.0
INTERVAL_SECONDS_MIN: Final = 0.01
STOP_SECONDS_MAX: Final = 40.0

_CLOCK: Final = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS UNSIGNED) AS now_us"

_log = structlog.get_logger()


class MysqlClock(threading.Thread):
    """Takes probes until stopped. Without an answer from the server there are none, and source time stands still.

    A transaction that is written to the binlog behind a probe's position was committed after the probe's time, for the
    clock is asked first.

    Args:
        source: the server.
        interval_seconds: between two probes.
    """

    def __init__(self, source: SourceSettings, interval_seconds: float) -> None:
        super().__init__(name="server-clock", daemon=True)
        self._source = source
        self._interval_seconds = max(INTERVAL_SECONDS_MIN, interval_seconds)
        self._stopping = threading.Event()
        self._probes: deque[Probe] = deque(maxlen=PROBES_KEPT_MAX)

    def take(self) -> list[Probe]:
        """The probes since the last call, oldest first; their positions are versions of rows."""
        taken = []
        while self._probes:
            taken.append(self._probes.popleft())
        return taken

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.join(STOP_SECONDS_MAX)

    def run(self) -> None:
        """Probe, and connect again when the connection breaks."""
        while not self._stopping.is_set():
            try:
                with closing(connect(self._source)) as connection:
                    self._probe_until_stopped(connection)
            except (pymysql.MySQLError, TrueupError, OSError) as error:
                _log.warning("source_clock_unavailable", reason=str(error).strip())
                self._stopping.wait(RETRY_SECONDS)

    def _probe_until_stopped(self, connection: Connection) -> None:
        while not self._stopping.is_set():
            now_us = int(query(connection, _CLOCK)[0]["now_us"])
            self._probes.append(Probe(now_us, master_status(connection).version))
            self._stopping.wait(self._interval_seconds)
