"""The first copy of tables: made under the snapshot that the slot's creation exported, then marked as complete.

A table that a spec names later is copied alone, beside the slot that is there.
A crash in the middle leaves a slot without a mark; then the slot is dropped and everything is copied again, which is
harmless downstream. A table whose topic has been written before may have lost rows that no event told of, so its copy ends
with a truncate (op `t`) one position below the copied rows: what the copy does not have is gone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import orjson
import structlog
from psycopg import sql

from cdc.envelope import TableShape, processing_stamp, transaction_stamp
from cdc.postgres_source import Connection, columns_of
from cdc.postgres_state import SnapshotMark, write_mark
from cdc.publishing import Publishing, TablePublisher
from cdc.replication import ReplicationConnection
from cdc.source_tables import SourceTable, labels
from trueup.model.errors import InvalidRecord
from trueup.settings import SourceSettings

ROWS_BETWEEN_CHECKS: Final = 1000
TRANSACTION_PAUSE_SECONDS: Final = 0.05

_LOG_POSITION: Final = "SELECT (pg_catalog.pg_current_wal_insert_lsn() - '0/0')::int8"

_log = structlog.get_logger()


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
        # One that cannot be read now is copied once it can be.
        readable = [table for table in publishing.tables if table.label not in publishing.counters.stopped]
        if not _copy(connection, publishing, readable, version, now_us, stopping):
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

    def stopping() -> bool:
        publishing.counters.turn()
        return stop.is_set()

    if missing and not copy_beside(connection, publishing, missing, now_us, stopping):
        return False
    # A table that is read no more is forgotten: should it come back, it must be copied again.
    write_mark(publishing.producer, publishing.source.name, mark._replace(tables=wanted))
    _log.info("snapshot_completed", rows=publishing.counters.snapshot_rows)
    return True


def copy_beside(
    connection: Connection,
    publishing: Publishing,
    tables: Sequence[SourceTable],
    now_us: Callable[[], int],
    stopping: Callable[[], bool],
) -> bool:
    """Copy tables beside the slot that is there. False when asked to stop before.

    They are in the publication already. A change to one of them is either in the copy, or streamed and written behind the
    position that is taken here first: so the copy waits for the transactions that were under way at that moment.

    Args:
        connection: ordinary, in autocommit mode.
        publishing: where rows go.
        tables: to be copied.
        now_us: this side's clock, µs since the epoch.
        stopping: asked again and again; True gives up.
    """
    version = _number(connection, _LOG_POSITION) - 1
    under_way = _number(connection, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8")
    _log.info("snapshot_started", tables=labels(tables))
    while _number(connection, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8") < under_way:
        if stopping():
            return False
        time.sleep(TRANSACTION_PAUSE_SECONDS)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return _copy(connection, publishing, tables, version, now_us, stopping)


def _number(connection: Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


class _Described(NamedTuple):
    """A table as it is now."""

    table: SourceTable
    columns: tuple[str, ...]
    publisher: TablePublisher


class _CopiedRow(NamedTuple):
    publisher: TablePublisher
    values: tuple[bytes | None, ...]


def _copy(
    connection: Connection,
    publishing: Publishing,
    tables: Sequence[SourceTable],
    version: int,
    now_us: Callable[[], int],
    stopping: Callable[[], bool],
) -> bool:
    """Publish every row of the tables; each is held back until it is known whether it is the last one."""
    snapshot_us = _number(connection, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8")
    stamps = {name: transaction_stamp(snapshot_us, None, None, name) for name in ("first", "true", "last")}
    processing = processing_stamp(now_us())
    held: _CopiedRow | None = None
    name = "first"
    described = [_describe(connection, publishing, table) for table in tables]
    replaced = [one.publisher for one in described if publishing.is_written(one.table)]
    for count, row in enumerate(_rows(connection, described)):
        if count % ROWS_BETWEEN_CHECKS == 0:
            if stopping():
                return False
            processing = processing_stamp(now_us())
        if held is not None:
            _publish(held, version, stamps[name], processing)
            name = "true"
        held = row
        row.publisher.count.snapshot_rows += 1
    if held is not None:
        _publish(held, version, stamps["last"], processing)
    if stopping():
        return False
    for publisher in replaced:
        # After the rows, so that whoever applies it takes away no row that is still there.
        publisher.truncate(version - 1, stamps["true"], processing)
    return True


def _describe(connection: Connection, publishing: Publishing, table: SourceTable) -> _Described:
    shape = TableShape(table.schema, table.name, columns_of(connection, table.schema, table.name))
    publisher = publishing.table(shape)
    assert publisher is not None
    return _Described(table, tuple(name for name, _ in shape.columns), publisher)


def _publish(row: _CopiedRow, version: int, stamp: bytes, processing: bytes) -> None:
    try:
        row.publisher.publish(row.publisher.envelopes.insert(row.values, version, stamp, processing, "r"))
    except InvalidRecord as error:
        raw = orjson.dumps([None if value is None else value.decode(errors="replace") for value in row.values])
        row.publisher.quarantine(raw, version, error)


def _rows(connection: Connection, described: Sequence[_Described]) -> Iterator[_CopiedRow]:
    """All rows of the tables. COPY streams them: none but the current one is in memory."""
    for table, columns, publisher in described:
        # The query form reads partitioned tables too.
        statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(*table.place)
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
