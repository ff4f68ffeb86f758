"""A PostgreSQL database that is polled. A standby will do: nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg import sql

from cdc.envelope import TableShape
from cdc.poll_memory import Values
from cdc.polled_database import Since
from cdc.postgres_source import Connection, columns_of
from cdc.source_tables import SourceTable
from trueup.model.errors import InvalidRecord

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOW: Final = b"SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8"


class PolledPostgres:
    """See PolledDatabase. Values come as the text that the server's output functions write, as they do in replication.

    Args:
        connection: ordinary, in autocommit mode.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def now_us(self) -> int:
        """The server's clock."""
        return _number(self._connection.execute(_NOW).fetchone()) or 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One transaction with one snapshot, which the first query in it takes."""
        with self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield

    def shape(self, table: SourceTable) -> TableShape:
        """The columns from the catalogue."""
        return TableShape(table.schema, table.name, columns_of(self._connection, table.schema, table.name))

    def newest_us(self, table: SourceTable, column: str) -> int | None:
        """The maximum of the column."""
        query = sql.SQL("SELECT (extract(epoch FROM max({})) * 1000000)::int8 FROM {}").format(
            sql.Identifier(column), sql.Identifier(*table.place)
        )
        return _number(self._connection.execute(query).fetchone())

    def pages(
        self, table: SourceTable, shape: TableShape, since: Since | None, rows_max: int
    ) -> Iterator[list[Values]]:
        """Pages by keyset: each begins behind the last row of the one before, in the order of (time,) primary key."""
        names = [name for name, _ in shape.columns]
        ordered = (*([since.column] if since else ()), *table.primary_key)
        places = [names.index(column) for column in ordered]
        last: Values | None = None
        while True:
            conditions = []
            if since is not None:
                bound = _EPOCH + timedelta(microseconds=since.time_us)
                conditions.append(
                    sql.SQL("{} >= {}").format(sql.Identifier(since.column), sql.Literal(bound.isoformat()))
                )
            if last is not None:
                conditions.append(
                    sql.SQL("({}) > ({})").format(_identifiers(ordered), _literals([last[place] for place in places]))
                )
            rows = self._rows(table, names, conditions, ordered, rows_max)
            if rows:
                yield rows
                last = rows[-1]
            if len(rows) < rows_max:
                return

    def _rows(
        self,
        table: SourceTable,
        names: Sequence[str],
        conditions: Sequence[sql.Composed],
        ordered: Sequence[str],
        rows_max: int,
    ) -> list[Values]:
        # The query form of COPY gives text from the output functions, and reads partitioned tables too.
        statement = sql.SQL("COPY (SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT {}) TO STDOUT").format(
            _identifiers(names),
            sql.Identifier(*table.place),
            sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true"),
            _identifiers(ordered),
            sql.Literal(rows_max),
        )
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            return [tuple(None if value is None else value.encode() for value in row) for row in copy.rows()]


def _identifiers(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)


def _literals(values: Sequence[bytes | None]) -> sql.Composed:
    """Untyped, so that the server reads them as values of the columns that they are compared with."""
    if None in values:
        raise InvalidRecord("missing-key", "a primary key is NULL")
    return sql.SQL(", ").join(sql.Literal(value.decode()) for value in values if value is not None)


def _number(row: Sequence[object] | None) -> int | None:
    assert row is not None
    assert row[0] is None or isinstance(row[0], int)
    return row[0]
