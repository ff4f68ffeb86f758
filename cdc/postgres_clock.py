"""The clock of a PostgreSQL server, and where its log is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from cdc.heartbeat import Probe
from cdc.postgres_source import Connection, connect
from cdc.probe_clock import ProbeClock
from trueup.settings import SourceSettings

# The columns are evaluated in this order: first the clock, then the position.
_PROBE: Final = (
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8,"
    " (pg_catalog.pg_current_wal_insert_lsn() - '0/0')::int8, (pg_catalog.pg_current_wal_flush_lsn() - '0/0')::int8"
)
# Log of an open transaction may lie written but not flushed for long when nobody commits. Only what is flushed is
# decoded, so the stream would not reach the probe. This record, which no stream carries, makes the server flush it.
NUDGE: Final = "SELECT pg_catalog.pg_logical_emit_message(false, 'trueup', '')"


class ServerClock(ProbeClock):
    """Probes whose positions are those at which the log is about to be continued.

    Args:
        source: the server.
        interval_seconds: between two probes.
    """

    def __init__(self, source: SourceSettings, interval_seconds: float) -> None:
        super().__init__(interval_seconds, (psycopg.Error,))
        self._source = source

    @contextmanager
    def connected(self) -> Iterator[Callable[[], Probe]]:
        """See ProbeClock."""
        with connect(self._source) as connection:
            yield _Prober(connection).probe


class _Prober:
    """Takes probes over one connection, and has the log flushed when it rests written but unflushed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._earlier = 0

    def probe(self) -> Probe:
        row = self._connection.execute(_PROBE).fetchone()
        assert row is not None
        time_us, written, flushed = row
        assert isinstance(time_us, int)
        assert isinstance(written, int)
        assert isinstance(flushed, int)
        if flushed < written == self._earlier:
            self._connection.execute(NUDGE)
        self._earlier = written
        return Probe(time_us, written)
