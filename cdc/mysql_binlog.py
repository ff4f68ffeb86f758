"""The binlog as a stream of events: `pymysqlreplication`, but for the places where it would pass over changes silently."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.event import (
    GtidEvent,
    HeartbeatLogEvent,
    MariadbBinLogCheckPointEvent,
    MariadbGtidEvent,
    MariadbGtidListEvent,
    NotImplementedEvent,
    QueryEvent,
    RotateEvent,
    StopEvent,
    XAPrepareEvent,
    XidEvent,
)
from pymysqlreplication.exceptions import MalformedBinLogEvent
from pymysqlreplication.row_event import (
    DeleteRowsEvent,
    PartialUpdateRowsEvent,
    TableMapEvent,
    UpdateRowsEvent,
    WriteRowsEvent,
)

from cdc.mysql_envelope import Place
from cdc.mysql_source import connection_settings, refusal
from cdc.pgoutput import ProtocolError
from cdc.replica_id import replica_id
from cdc.source_tables import SourceTable
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.settings import SourceSettings

HEARTBEAT_SECONDS: Final = 0.05
"""How often the server says something while nothing changes; the loop turns as often."""

_CONNECTIONS: Final = 2
_PURGED: Final = 1236
_UNREADABLE: Final = frozenset({40, 165, 166, 167, 168, 169, 170, 171})
"""Types of events that hold changes in a form that is not read: transactions and rows that are compressed."""

_EVENTS: Final = (
    GtidEvent, HeartbeatLogEvent, MariadbBinLogCheckPointEvent, MariadbGtidEvent, MariadbGtidListEvent, NotImplementedEvent,
    QueryEvent, RotateEvent, StopEvent, XAPrepareEvent, XidEvent, DeleteRowsEvent, PartialUpdateRowsEvent, TableMapEvent,
    UpdateRowsEvent, WriteRowsEvent,
)  # fmt: skip


class Binlog:
    """Reads events from a place on.

    Args:
        source: the server.
        place: the end of a transaction.
        tables: whose changes are wanted.
    """

    def __init__(self, source: SourceSettings, place: Place, tables: Iterable[SourceTable]) -> None:
        self._source = source
        wanted = tuple(tables)
        self._stream = BinLogStreamReader(
            connection_settings=connection_settings(source),
            server_id=replica_id(source),
            log_file=place.file,
            log_pos=place.pos,
            resume_stream=True,
            blocking=True,
            only_events=_EVENTS,
            only_tables=sorted({table.name for table in wanted}),
            only_schemas=sorted({table.schema for table in wanted}),
            filter_non_implemented_events=False,
            slave_heartbeat=HEARTBEAT_SECONDS,
            enable_logging=False,
            pymysql_wrapper=_limited(_CONNECTIONS, source),
        )

    @property
    def place(self) -> Place:
        """Where the next event begins."""
        return Place(str(self._stream.log_file), int(self._stream.log_pos))

    def next(self) -> Any:
        """The next event; the server sends one at least every HEARTBEAT_SECONDS.

        Raises:
            UnavailableError: the connection is lost, or the server has thrown away what comes next.
            ConfigurationError: the server refuses to serve this reader.
            ProtocolError: the event cannot be read; going on would lose changes.
        """
        try:
            event = self._stream.fetchone()
        except (pymysql.MySQLError, OSError) as error:
            if error.args and error.args[0] == _PURGED:
                raise UnavailableError(f"the binlog cannot be read on: {error.args[1]}") from error
            raise refusal(error, self._source) from error
        except (MalformedBinLogEvent, struct.error, ValueError, IndexError, AssertionError) as error:
            raise ProtocolError(f"an event of the binlog after {self.place} cannot be read: {error}") from error
        if event is None:
            raise UnavailableError("the source ended the binlog stream")
        if isinstance(event, NotImplementedEvent) and event.event_type in _UNREADABLE:
            raise ConfigurationError(
                f"the binlog at {self.place} holds compressed events, which are not read",
                remedy="SET GLOBAL log_bin_compress = OFF (MySQL: binlog_transaction_compression), in all sessions",
            )
        return event

    def close(self) -> None:
        """Free the connections."""
        # One that broke is closed already.
        with contextlib.suppress(pymysql.MySQLError, OSError):
            self._stream.close()


def _limited(connections: int, source: SourceSettings) -> Callable[..., Any]:
    """Opens so many connections and no more: a stream that is opened again amid a transaction would lose its tables."""
    left = [connections]

    def connect(**settings: Any) -> Any:
        if not left[0]:
            raise UnavailableError("the connection to the source is lost", where=f"{source.host}:{source.port}")
        left[0] -= 1
        return pymysql.connect(**settings)

    return connect
