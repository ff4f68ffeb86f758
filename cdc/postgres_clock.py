"""Asks the server for its clock and its log position, again and again, in a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

import psycopg
import structlog

from cdc.heartbeat import PROBES_KEPT_MAX, Probe
from cdc.postgres_source import Connection, connect
from trueup.model.errors import TrueupError
from trueup.settings import SourceSettings

RETRY_SECONDS: Final = 1.0
INTERVAL_SECONDS_MIN: Final = 0.01
STOP_SECONDS_MAX: Final = 15.0

# The columns are evaluated in this order: first the clock, then the position.
_PROBE: Final = (
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8,"
    " (pg_catalog.pg_current_wal_insert_lsn() - '0/0')::int8, (pg_catalog.pg_current_wal_flush_lsn() - '0/0')::int8"
)
# Log of an open transaction may lie written but not flushed for long when nobody commits. Only what is flushed is
# decoded, so the stream would not reach the probe. This record, which no stream carries, makes the server flush it.
NUDGE: Final = "SELECT pg_catalog.pg_logical_emit_message(false, 'trueup', '')"

_log = structlog.get_logger()


class ServerClock(threading.Thread):
    """Takes probes until stopped. Without an answer from the server there are none, and source time stands still.

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
        """The probes since the last call, oldest first."""
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
                with connect(self._source) as connection:
                    self._probe_until_stopped(connection)
            except (psycopg.Error, TrueupError) as error:
                _log.warning("source_clock_unavailable", reason=str(error).strip())
                self._stopping.wait(RETRY_SECONDS)

    def _probe_until_stopped(self, connection: Connection) -> None:
        earlier = 0
        while not self._stopping.is_set():
            row = connection.execute(_PROBE).fetchone()
            assert row is not None
            time_us, written, flushed = row
            assert isinstance(time_us, int)
            assert isinstance(written, int)
            assert isinstance(flushed, int)
            self._probes.append(Probe(time_us, written))
            if flushed < written == earlier:
                connection.execute(NUDGE)
            earlier = written
            self._stopping.wait(self._interval_seconds)
