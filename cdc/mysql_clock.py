"""The clock of a MySQL or MariaDB server, and where its binlog ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final

import pymysql
from pymysql.connections import Connection

from cdc.heartbeat import Probe
from cdc.mysql_source import connect, master_status, query
from cdc.probe_clock import ProbeClock
from trueup.settings import SourceSettings

_CLOCK: Final = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS UNSIGNED) AS now_us"


class MysqlClock(ProbeClock):
    """Probes whose positions are versions of rows.

    A transaction that is written to the binlog behind a probe's position was committed after the probe's time, for the
    clock is asked first.

    Args:
        source: the server.
        interval_seconds: between two probes.
    """

    def __init__(self, source: SourceSettings, interval_seconds: float) -> None:
        super().__init__(interval_seconds, (pymysql.MySQLError, OSError))
        self._source = source

    @contextmanager
    def connected(self) -> Iterator[Callable[[], Probe]]:
        """See ProbeClock."""
        with closing(connect(self._source)) as connection:
            yield lambda: _probe(connection)


def _probe(connection: Connection) -> Probe:
    now_us = int(query(connection, _CLOCK)[0]["now_us"])
    return Probe(now_us, master_status(connection).version)
