"""The first copy of the tables of a MySQL or MariaDB source, consistent with one position of the binlog.

MariaDB tells the position that belongs to a consistent snapshot. MySQL does not: there the server is held still by a read
lock for as long as it takes to open the snapshot and ask for the position. A row that was copied has the position of the
snapshot as its version: whatever is streamed from there on begins behind it, and whatever was streamed before lies below it.
A copy that is made again ends with a truncation (op `t`) one byte before: what was told once and is not in the copy is gone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final, NamedTuple

import orjson
import structlog
from pymysql.connections import Connection
from pymysql.cursors import SSCursor

from cdc.mysql_columns import MysqlColumn
from cdc.mysql_envelope import Place, Stamp
from cdc.mysql_publishing import BinlogPublishing, BinlogTable
from cdc.mysql_source import Server, columns_of, connect, master_status, query
from cdc.mysql_values import from_text
from cdc.source_tables import SourceTable
from trueup.model.errors import InvalidRecord
from trueup.settings import SourceSettings

ROWS_BETWEEN_CHECKS: Final = 1000

_BEGIN: Final = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
_CLOCK: Final = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS UNSIGNED) AS now_us"

_log = structlog.get_logger()


class _CopiedRow(NamedTuple):
    publisher: BinlogTable
    values: tuple[bytes | None, ...]


def copy_tables(
    source: SourceSettings,
    server: Server,
    publishing: BinlogPublishing,
    tables: Sequence[SourceTable],
    stop: threading.Event,
) -> Place | None:
    """Publish every row of the tables; the position that they were copied at, None when asked to stop before.

    Raises:
        UnavailableError: the broker does not go on.
        pymysql.MySQLError: the source does not, or a table was altered meanwhile.
    """
    with closing(connect(source)) as asking, closing(connect(source, raw=True)) as reading:
        with reading.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        place = _open_snapshot(reading, asking, server)
        commit_us = int(query(asking, _CLOCK)[0]["now_us"])
        _log.info("snapshot_started", tables=[table.label for table in tables], file=place.file, pos=place.pos)
        stamps = {name: Stamp(commit_us, server.server_id, None, name) for name in ("first", "true", "last")}
        held: _CopiedRow | None = None
        name = "first"
        for number, row in enumerate(_rows(reading, asking, publishing, tables)):
            if number % ROWS_BETWEEN_CHECKS == 0:
                publishing.counters.turn()
                if stop.is_set():
                    return None
            if held is not None:
                _publish(held, place, stamps[name])
                name = "true"
            held = row
            row.publisher.count.snapshot_rows += 1
        if held is not None:
            _publish(held, place, stamps["last"])
    if stop.is_set():
        return None
    for table in tables:
        if publishing.was_written(table):
            # After the rows, so that whoever applies it takes away no row that is still there.
            publishing.truncate(table, place._replace(pos=place.pos - 1), stamps["true"])
    _log.info("snapshot_completed", rows=publishing.counters.snapshot_rows)
    return place


def _open_snapshot(reading: Connection, asking: Connection, server: Server) -> Place:
    if server.connector == "mariadb":
        with reading.cursor() as cursor:
            cursor.execute(_BEGIN)
            cursor.execute("SHOW STATUS LIKE 'binlog_snapshot_%'")
            status = {bytes(name).decode().lower(): bytes(value).decode() for name, value in cursor.fetchall()}
        return Place(status["binlog_snapshot_file"], int(status["binlog_snapshot_position"]))
    with asking.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        try:
            with reading.cursor() as opening:
                opening.execute(_BEGIN)
            return master_status(asking)
        finally:
            cursor.execute("UNLOCK TABLES")


def _rows(
    reading: Connection, asking: Connection, publishing: BinlogPublishing, tables: Sequence[SourceTable]
) -> Iterator[_CopiedRow]:
    """All rows of the tables; none but the current one is in memory."""
    for table in tables:
        columns = columns_of(asking, table)
        publisher = publishing.table(table.place, columns)
        assert publisher is not None
        wanted = ", ".join(_asked(column) for column in columns)
        with reading.cursor(SSCursor) as cursor:
            cursor.execute(f"SELECT {wanted} FROM `{table.schema}`.`{table.name}`")
            for row in cursor:
                yield _CopiedRow(publisher, tuple(row))
        _log.info("table_copied", table=table.label)


def _asked(column: MysqlColumn) -> str:
    name = f"`{column.name.replace('`', '``')}`"
    # The text of a FLOAT has six digits, that of a DOUBLE all.
    return f"{name} + 0e0" if column.type == "float" else name


def _publish(row: _CopiedRow, place: Place, stamp: Stamp) -> None:
    publisher = row.publisher

    def values() -> list[object]:
        return [_read(column, raw) for column, raw in zip(publisher.columns, row.values, strict=True)]

    def as_text() -> bytes:
        shown = [None if value is None else value.decode(errors="replace") for value in row.values]
        return orjson.dumps(dict(zip(publisher.names, shown, strict=True)))

    now_us = time.time_ns() // 1000
    publisher.publish(lambda made: made.insert(values(), place, stamp, now_us, "r"), as_text, place.version)


def _read(column: MysqlColumn, raw: bytes | None) -> object:
    try:
        return from_text(column, raw)
    except (ValueError, ArithmeticError) as error:
        raise InvalidRecord("malformed-row", f"column {column.name} holds {raw!r:.40}: {error}") from None
