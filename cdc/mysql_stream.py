"""Streams the changes of a binlog to Kafka, transaction by transaction, and stops tables that cannot be read any more."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

import orjson
import structlog
from pymysqlreplication.constants import NONE_SOURCE
from pymysqlreplication.event import GtidEvent, MariadbGtidEvent, QueryEvent, RotateEvent, XAPrepareEvent, XidEvent
from pymysqlreplication.row_event import DeleteRowsEvent, RowsEvent, TableMapEvent, UpdateRowsEvent

from cdc.mysql_binlog import Binlog
from cdc.mysql_clock import MysqlClock
from cdc.mysql_envelope import BinlogEnvelopes, Event, Place, Stamp
from cdc.mysql_progress import MARK_SECONDS, Progress
from cdc.mysql_publishing import BinlogPublishing, BinlogTable
from cdc.mysql_table_map import binlog_columns
from cdc.mysql_values import Odd
from cdc.source_tables import SourceTable
from trueup.model.errors import InvalidRecord

_STANDALONE: Final = 1
_ENDS: Final = frozenset({"COMMIT", "ROLLBACK"})
_CHANGING: Final = re.compile(
    r"\s*(?:/\*.*?\*/\s*)*(truncate|drop\s+table|rename\s+table|alter\s+table.*\brename\s+(?:to|as)|insert|update|delete"
    r"|replace|load)\b(.*)",
    re.IGNORECASE | re.DOTALL,
)
"""Statements that change rows or take tables away, though the binlog holds no rows of it."""

_ODDITIES: Final = {
    NONE_SOURCE.OUT_OF_DATE_RANGE: Odd.ZERO_DATE,
    NONE_SOURCE.OUT_OF_DATETIME_RANGE: Odd.ZERO_DATE,
    NONE_SOURCE.OUT_OF_DATETIME2_RANGE: Odd.ZERO_DATE,
    NONE_SOURCE.COLS_BITMAP: Odd.ABSENT,
    NONE_SOURCE.JSON_PARTIAL_UPDATE: Odd.ABSENT,
}

_TIMESTAMP_ZERO: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - the binlog's 0, which no moment has: they begin a second later

_log = structlog.get_logger()


class BinlogStream:
    """One run over a binlog.

    Args:
        binlog: where events come from.
        publishing: where changes go.
        clock: probes the server.
        progress: watches what is delivered; begins where the binlog does.
    """

    def __init__(self, binlog: Binlog, publishing: BinlogPublishing, clock: MysqlClock, progress: Progress) -> None:
        self._binlog = binlog
        self._publishing = publishing
        self._counters = publishing.counters
        self._clock = clock
        self._progress = progress
        self._tables: dict[int, BinlogTable | None] = {}
        self._in_transaction = False
        self._committed_after_us = 0
        self._gtid: str | None = None
        self._gtids = dict(progress.boundary.gtids)
        self._advanced_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Stream until asked to stop; then deliver what was read and keep the place.

        Raises:
            UnavailableError: the source or the broker does not go on. Nothing is lost: the place of what was delivered is kept.
            ConfigurationError: the source cannot be read as it is set up.
            ProtocolError: the source sends what this reader does not understand.
        """
        self._publishing.producer.while_waiting = self._counters.turn
        while not stop.is_set():
            self._handle(self._binlog.next())
            if time.monotonic() - self._advanced_at >= MARK_SECONDS:
                self._note_copies()
                self._progress.probed(self._clock.take())
                if not self._in_transaction:
                    # Within one, source time stands still: it never passes a part of a transaction.
                    self._progress.received(self._binlog.place.version)
                self._progress.advance()
                self._advanced_at = time.monotonic()
        self._progress.finish()

    def _note_copies(self) -> None:
        copied = self._publishing.copied
        while copied:
            label, boundary = copied.popleft(), self._progress.boundary
            # One that was stopped anew meanwhile is copied once more.
            if label not in self._counters.stopped:
                self._progress.boundary = boundary._replace(tables=tuple(sorted({*boundary.tables, label})))

    def _handle(self, event: Any) -> None:
        if isinstance(event, RowsEvent):
            self._rows(event)
        elif isinstance(event, TableMapEvent):
            self._learn(event)
        elif isinstance(event, XidEvent | XAPrepareEvent):
            self._committed(event)
        elif isinstance(event, MariadbGtidEvent):
            self._gtid = event.gtid
            self._gtids[str(event.domain_id)] = event.gtid
            self._begin(in_transaction=not event.flags & _STANDALONE)
        elif isinstance(event, GtidEvent):
            self._gtid = event.gtid
        elif isinstance(event, QueryEvent):
            self._statement(event)
        elif isinstance(event, RotateEvent) and not self._in_transaction:
            # The file before may be purged now: it holds nothing that is still needed.
            self._move_boundary()

    def _statement(self, event: QueryEvent) -> None:
        text = _text(event.query)
        if text == "BEGIN":
            self._begin(in_transaction=True)
        elif text in _ENDS:
            self._committed(event)
        else:
            if not self._in_transaction:
                self._begin(in_transaction=False)
            found = _CHANGING.match(text)
            if found is not None:
                self._changed_without_rows(found[1].lower().split()[0], found[2], event)
            if not self._in_transaction:
                self._committed(event)

    def _begin(self, *, in_transaction: bool) -> None:
        """What follows was committed after the time of every probe whose position has been received by now."""
        if not self._in_transaction:
            self._progress.probed(self._clock.take())
            self._progress.received(self._binlog.place.version)
            self._committed_after_us = self._progress.reached_us
        self._in_transaction = in_transaction

    def _committed(self, event: Any) -> None:
        self._in_transaction = False
        self._counters.transactions += 1
        self._counters.last_commit_us = event.timestamp * 1_000_000
        self._move_boundary()

    def _move_boundary(self) -> None:
        here = self._binlog.place
        boundary = self._progress.boundary
        self._progress.boundary = boundary._replace(file=here.file, pos=here.pos, gtids=dict(self._gtids))

    def _changed_without_rows(self, verb: str, objects: str, event: QueryEvent) -> None:
        schema = _text(event.schema)
        start = self._start_of(event)
        for table in self._publishing.tables:
            named = re.search(rf"(?<![\w$]){re.escape(table.name)}(?![\w$])", objects)
            if not named or (schema != table.schema and table.schema not in objects):
                continue
            if verb == "truncate":
                self._publishing.truncate(table, start, self._stamp(event))
            elif verb in {"drop", "rename", "alter"}:
                self._stop(table, f"table {table.label} was dropped or renamed")
            else:
                what = f"{verb.upper()} of table {table.label} was logged as a statement: its rows are not known"
                _log.error("rows_not_told", table=table.label, reason=what)
                publisher = BinlogTable(table, (), self._publishing)
                publisher.quarantine(objects.encode(), start.version, InvalidRecord("statement-format", what))

    def _start_of(self, event: Any) -> Place:
        return Place(self._binlog.place.file, event.packet.log_pos - event.packet.event_size)

    def _stamp(self, event: Any) -> Stamp:
        # The binlog knows when the statement began, in whole seconds; the clock may know that the commit was later.
        commit_us = max(event.timestamp * 1_000_000, self._committed_after_us + 1)
        return Stamp(commit_us, event.packet.server_id, self._gtid)

    def _stop(self, table: SourceTable, reason: str) -> None:
        """It is copied again as soon as it can be read; whoever starts anew learns that from the place that is kept."""
        if table.label not in self._counters.stopped:
            _log.error("table_stopped", table=table.label, reason=reason)
        self._counters.stopped[table.label] = reason
        boundary = self._progress.boundary
        tables = tuple(held for held in boundary.tables if held != table.label)
        self._progress.boundary = boundary._replace(tables=tables)

    def _learn(self, event: TableMapEvent) -> None:
        columns = binlog_columns(event.columns, bytes(event.null_bitmask))
        publisher = self._tables[event.table_id] = self._publishing.table((event.schema, event.table), columns)
        if publisher is not None and publisher.stopped:
            self._stop(publisher.table, publisher.stopped)

    def _rows(self, event: RowsEvent) -> None:
        publisher = self._tables.get(event.table_id)
        if publisher is None:
            return
        start, stamp = self._start_of(event), self._stamp(event)
        now_us = time.time_ns() // 1000
        try:
            rows = event.rows
        except Exception as error:  # noqa: BLE001 - whatever the library cannot read is one event that is kept
            publisher.quarantine(bytes(event.packet.packet._data), start.version, _unread(error))
            return
        moved = 0
        for number, row in enumerate(rows):
            publisher.count.changes += 1
            # A move takes two places; none of another event lies so near.
            place = start._replace(pos=start.pos + moved, row=number)
            make = self._make(event, publisher, row, place, stamp, now_us)
            sent = publisher.publish(make, partial(_shown, row), place.version)
            moved += max(0, sent - 1)

    def _make(
        self, event: RowsEvent, publisher: BinlogTable, row: dict[str, Any], place: Place, stamp: Stamp, now_us: int
    ) -> Callable[[BinlogEnvelopes], list[Event]]:
        if isinstance(event, UpdateRowsEvent):
            before, after = _values(publisher, row, "before_"), _values(publisher, row, "after_")
            return lambda made: made.update(before, after, place, stamp, now_us)
        values = _values(publisher, row, "")
        if isinstance(event, DeleteRowsEvent):
            return lambda made: made.delete(values, place, stamp, now_us)
        return lambda made: made.insert(values, place, stamp, now_us)


def _values(publisher: BinlogTable, row: dict[str, Any], image: str) -> list[object]:
    held, nothing = row[f"{image}values"], row[f"{image}none_sources"]
    values: list[object] = []
    for column in publisher.columns:
        value = held.get(column.name)
        if value is None and column.name in nothing:
            reason = nothing[column.name]
            value = set() if reason == NONE_SOURCE.EMPTY_SET else _ODDITIES.get(reason)
        elif column.type == "timestamp" and value == _TIMESTAMP_ZERO:
            value = Odd.ZERO_DATE
        values.append(value)
    return values


def _unread(error: Exception) -> InvalidRecord:
    return InvalidRecord("malformed-row", f"rows of the binlog cannot be read: {type(error).__name__}: {error}")


def _shown(row: dict[str, Any]) -> bytes:
    return orjson.dumps({name: held for name, held in row.items() if name.endswith("values")}, default=str)


def _text(raw: Any) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
