"""A MySQL or MariaDB database that is polled. A replica will do: nothing is written, and no binlog is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from pymysql.connections import Connection

from cdc.envelope import TableShape
from cdc.mysql_columns import MysqlColumn
from cdc.mysql_source import columns_of, query
from cdc.mysql_values import from_text
from cdc.poll_memory import Values
from cdc.polled_database import Since
from cdc.source_tables import SourceTable

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NOW: Final = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS UNSIGNED) AS now_us"
_TEXT_OID: Final = 25
_OIDS: Final = {
    "int": 20,
    "year": 23,
    "float": 701,
    "double": 701,
    "decimal": 1700,
    "date": 1082,
    "time": 1083,
    "datetime": 1114,
    "timestamp": 1184,
    "bit": 17,
    "binary": 17,
    "geometry": 17,
}
"""Type of a column → the type of PostgreSQL whose values travel alike; every other one is text."""


class PolledMysql:
    """See PolledDatabase. Values are brought to the text that PostgreSQL would write, so that they become the same JSON.

    Args:
        asking: an ordinary connection.
        reading: one that brings values as the bytes of their text.
    """

    def __init__(self, asking: Connection, reading: Connection) -> None:
        self._asking = asking
        self._reading = reading

    def now_us(self) -> int:
        """The server's clock."""
        return int(query(self._asking, _NOW)[0]["now_us"])

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One transaction with a consistent snapshot."""
        self._execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        try:
            yield
        finally:
            self._reading.rollback()

    def shape(self, table: SourceTable) -> TableShape:
        """The columns from the catalogue."""
        columns = columns_of(self._asking, table)
        return TableShape(table.schema, table.name, tuple((column.name, _oid(column)) for column in columns))

    def newest_us(self, table: SourceTable, column: str) -> int | None:
        """The maximum of the column; times without a zone are counted as UTC."""
        ((raw,),) = self._execute(f"SELECT MAX({_quoted(column)}) FROM {_place(table)}")
        if raw is None:
            return None
        return (datetime.fromisoformat(raw.decode()).replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND

    def pages(
        self, table: SourceTable, shape: TableShape, since: Since | None, rows_max: int
    ) -> Iterator[list[Values]]:
        """Pages by keyset, as from PostgreSQL."""
        columns = {column.name: column for column in columns_of(self._asking, table)}
        names = [name for name, _ in shape.columns]
        ordered = (*([since.column] if since else ()), *table.primary_key)
        last: Sequence[bytes | None] | None = None
        while True:
            conditions, arguments = [], list[object]()
            if since is not None:
                conditions.append(f"{_quoted(since.column)} >= %s")
                arguments.append((_EPOCH + timedelta(microseconds=since.time_us)).replace(tzinfo=None))
            if last is not None:
                conditions.append(f"({_names(ordered)}) > ({', '.join(['%s'] * len(ordered))})")
                arguments += [from_text(columns[name], last[names.index(name)]) for name in ordered]
            rows = self._execute(
                f"SELECT {', '.join(_asked(columns[name]) for name in names)} FROM {_place(table)}"
                f" WHERE {' AND '.join(conditions) or 'TRUE'} ORDER BY {_names(ordered)} LIMIT {rows_max:d}",
                arguments,
            )
            if rows:
                yield [_as_text([columns[name] for name in names], row) for row in rows]
                last = rows[-1]
            if len(rows) < rows_max:
                return

    def _execute(self, statement: str, arguments: Sequence[object] = ()) -> Sequence[Sequence[bytes | None]]:
        with self._reading.cursor() as cursor:
            cursor.execute(statement, arguments)
            rows: Sequence[Sequence[bytes | None]] = cursor.fetchall()
        return rows


def _oid(column: MysqlColumn) -> int:
    if column.type == "bit" and column.size == 1:
        return 16
    return _OIDS.get(column.type, _TEXT_OID)


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(_quoted, names))


def _place(table: SourceTable) -> str:
    return f"{_quoted(table.schema)}.{_quoted(table.name)}"


def _asked(column: MysqlColumn) -> str:
    # The text of a FLOAT has six digits, that of a DOUBLE all.
    return f"{_quoted(column.name)} + 0e0" if column.type == "float" else _quoted(column.name)


def _as_text(columns: Sequence[MysqlColumn], row: Sequence[bytes | None]) -> Values:
    return tuple(
        None if raw is None else _REWRITES[column.type](column, raw) if column.type in _REWRITES else bytes(raw)
        for column, raw in zip(columns, row, strict=True)
    )


def _bits(column: MysqlColumn, raw: bytes) -> bytes:
    if column.size == 1:
        return b"t" if raw[-1] else b"f"
    return _hex(column, raw[::-1])


def _hex(_column: MysqlColumn, raw: bytes) -> bytes:
    return b"\\x" + bytes(raw).hex().encode()


def _zoned(_column: MysqlColumn, raw: bytes) -> bytes:
    return bytes(raw) + b"+00"


_REWRITES: Final[Mapping[str, Callable[[MysqlColumn, bytes], bytes]]] = {
    "timestamp": _zoned,
    "bit": _bits,
    "binary": _hex,
    "geometry": _hex,
}
