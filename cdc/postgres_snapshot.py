"""The first copy of tables: made under the snapshot that the slot's creation exported, then marked as complete.

A table that a spec names later is copied alone, beside the slot that is there.
The mark lies in the topic `trueup.cdc-state`, beside the copied rows: if the broker's data are replaced, the mark is
gone with them and the next start copies again. A crash in the middle leaves a slot without a mark; then the slot is
dropped and everything is copied again, which is harmless downstream. Rows that were deleted at the source while there
was no slot leave no event.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import orjson
import structlog
from psycopg import sql

from cdc.delivery import DeliveryProducer
from cdc.envelope import TableShape, processing_stamp, transaction_stamp
from cdc.postgres_source import Connection, columns_of
from cdc.publishing import Publishing, TablePublisher
from cdc.reader_state import read_state, write_state
from cdc.replication import ReplicationConnection
from cdc.source_tables import SourceTable, labels
from trueup.model.errors import InvalidRecord
from trueup.settings import SourceSettings

ROWS_BETWEEN_CHECKS: Final = 1000
TRANSACTION_PAUSE_SECONDS: Final = 0.05

_LOG_POSITION: Final = "SELECT (pg_catalog.pg_current_wal_insert_lsn() - '0/0')::int8"

_log = structlog.get_logger()


class SnapshotMark(NamedTuple):
    """A complete snapshot: of which server and slot, the position from which the slot streams on, and the labels of the
    tables that were copied and have been streamed since.
    """

    system_id: str
    slot: str
    consistent_lsn: int
    tables: tuple[str, ...]


def read_mark(bootstrap: str, source_name: str) -> SnapshotMark | None:
    """The newest mark of the source; None when no snapshot was completed.

    Raises:
        UnavailableError: the broker does not answer.
    """
    value = read_state(bootstrap, source_name)
    if value is None:
        return None
    system_id, slot, consistent_lsn, tables = orjson.loads(value)
    return SnapshotMark(system_id, slot, consistent_lsn, tuple(tables))


def write_mark(producer: DeliveryProducer, source_name: str, mark: SnapshotMark) -> None:
    """Make the mark durable, after everything that was sent before. Errors: UnavailableError."""
    write_state(producer, source_name, orjson.dumps(list(mark)))


def take_snapshot(
    connection: Connection,
    replication: ReplicationConnection,
    publishing: Publishing,
    now_us: Callable[[], int],
    stop: threading.Event,
) -> bool:
    """Make the slot, copy all tables, mark the snapshot as complete. False when asked to stop before.

    The version of the copied rows is the position just before the slot is made, minus 1, and not the slot's consistent
    point: a transaction that is open while the slot is made can write a change below that point and commit above it.
    Such a change is not in the snapshot; it is streamed later under its own position, and must win over the copied row.

    Args:
        connection: ordinary, in autocommit mode.
        replication: makes the slot; must stay idle until the snapshot is taken.
        publishing: where rows go.
        now_us: this side's clock, µs since the epoch.
        stop: gives up.
    """
    source = publishing.source
    version = _number(connection, _LOG_POSITION) - 1
    _log.info("snapshot_started", slot=source.slot)

    def stopping() -> bool:
        publishing.counters.turn()
        return stop.is_set()

    slot = replication.create_slot(source.slot, stopping)
    if slot is None:
        return False
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(slot.snapshot)))
        if not _copy(connection, publishing, publishing.tables, version, now_us, stop):
            return False
    mark = SnapshotMark(replication.system_id(), source.slot, slot.consistent_lsn, labels(publishing.tables))
    write_mark(publishing.producer, source.name, mark)
    _log.info("snapshot_completed", rows=publishing.counters.snapshot_rows)
    return True


def copy_missing(
    connection: Connection,
    mark: SnapshotMark,
    publishing: Publishing,
    now_us: Callable[[], int],
    stop: threading.Event,
) -> bool:
    """Copy the tables that the mark lacks, then mark what is read now. False when asked to stop before.

    They are in the publication already. A change to one of them is either in the copy, or streamed and written behind the
    position that is taken here first: so the copy waits for the transactions that were under way at that moment.

    Args:
        connection: ordinary, in autocommit mode.
        mark: of the slot that streaming goes on from.
        publishing: where rows go.
        now_us: this side's clock, µs since the epoch.
        stop: gives up.
    """
    wanted = labels(publishing.tables)
    missing = [table for table in publishing.tables if table.label not in mark.tables]
    if wanted == mark.tables:
        return True
    if missing:
        version = _number(connection, _LOG_POSITION) - 1
        under_way = _number(connection, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8")
        _log.info("snapshot_started", tables=labels(missing))
        while _number(connection, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8") < under_way:
            publishing.counters.turn()
            if stop.wait(TRANSACTION_PAUSE_SECONDS):
                return False
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            if not _copy(connection, publishing, missing, version, now_us, stop):
                return False
    # A table that is read no more is forgotten: should it come back, it must be copied again.
    write_mark(publishing.producer, publishing.source.name, mark._replace(tables=wanted))
    _log.info("snapshot_completed", rows=publishing.counters.snapshot_rows)
    return True


def _number(connection: Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


class _CopiedRow(NamedTuple):
    publisher: TablePublisher
    values: tuple[bytes | None, ...]


def _copy(
    connection: Connection,
    publishing: Publishing,
    tables: Sequence[SourceTable],
    version: int,
    now_us: Callable[[], int],
    stop: threading.Event,
) -> bool:
    """Publish every row of the tables; each is held back until it is known whether it is the last one."""
    snapshot_us = _number(connection, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8")
    stamps = {name: transaction_stamp(snapshot_us, None, None, name) for name in ("first", "true", "last")}
    processing = processing_stamp(now_us())
    held: _CopiedRow | None = None
    name = "first"
    for count, row in enumerate(_rows(connection, publishing, tables)):
        if count % ROWS_BETWEEN_CHECKS == 0:
            publishing.counters.turn()
            if stop.is_set():
                return False
            processing = processing_stamp(now_us())
        if held is not None:
            _publish(held, version, stamps[name], processing)
            name = "true"
        held = row
        row.publisher.count.snapshot_rows += 1
    if held is not None:
        _publish(held, version, stamps["last"], processing)
    return not stop.is_set()


def _publish(row: _CopiedRow, version: int, stamp: bytes, processing: bytes) -> None:
    try:
        row.publisher.publish(row.publisher.envelopes.insert(row.values, version, stamp, processing, "r"))
    except InvalidRecord as error:
        raw = orjson.dumps([None if value is None else value.decode(errors="replace") for value in row.values])
        row.publisher.quarantine(raw, version, error)


def _rows(connection: Connection, publishing: Publishing, tables: Sequence[SourceTable]) -> Iterator[_CopiedRow]:
    """All rows of the tables. COPY streams them: none but the current one is in memory."""
    for table in tables:
        shape = TableShape(table.schema, table.name, columns_of(connection, table.schema, table.name))
        publisher = publishing.table(shape)
        assert publisher is not None
        # The query form reads partitioned tables too.
        statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(
            sql.SQL(", ").join(sql.Identifier(name) for name, _ in shape.columns), sql.Identifier(*table.place)
        )
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in copy.rows():
                yield _CopiedRow(publisher, tuple(None if value is None else value.encode() for value in row))
        _log.info("table_copied", table=table.label)


def still_valid(mark: SnapshotMark | None, source: SourceSettings, system_id: str, confirmed_lsn: int) -> bool:
    """Whether the mark is of this slot of this server."""
    return (
        mark is not None
        and (mark.system_id, mark.slot) == (system_id, source.slot)
        and mark.consistent_lsn <= confirmed_lsn
    )
