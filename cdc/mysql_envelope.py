"""Builds Debezium envelopes (JSON without the embedded schema) from the rows of one MySQL or MariaDB table.

Source: Debezium 3 MySQL and MariaDB connectors, data change events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from cdc.mysql_columns import MysqlColumn
from cdc.mysql_fitting import misfit
from cdc.mysql_values import NULL, Odd, fragment_of
from cdc.position import position_of
from cdc.source_tables import SourceTable
from trueup.model.errors import InvalidRecord

Event = tuple[bytes, bytes]
"""(key, value) of one message."""

Row = Sequence[object]
"""Values in the order of the columns; None is NULL, and Odd stands for what is no value."""


class Identity(NamedTuple):
    """What `source` says of every event: the program's version, `mysql` or `mariadb`, the name of the source."""

    version: str
    connector: str
    name: str


class Place(NamedTuple):
    """Where a change stands: the binlog file, the start of its event, the row within it."""

    file: str
    pos: int
    row: int = 0

    @property
    def version(self) -> int:
        """The position as the number that versions rows. Errors: InvalidRecord out-of-range."""
        return position_of(self._asdict())


class Stamp(NamedTuple):
    """What all rows of one event share: `commit_us` µs since the epoch, `snapshot` is `false`, `true`, `first` or `last`."""

    commit_us: int
    server_id: int
    gtid: str | None
    snapshot: str = "false"


class BinlogEnvelopes:
    """Makes the events of one table.

    Args:
        identity: of the source.
        table: what is read.
        columns: of its rows, in their order.

    Raises:
        InvalidRecord: `missing-column` or `wrong-type` when the table cannot be read as it is.
    """

    def __init__(self, identity: Identity, table: SourceTable, columns: tuple[MysqlColumn, ...]) -> None:
        unfit = misfit(table, columns)
        if unfit is not None:
            raise unfit
        names = [column.name for column in columns]
        self._columns = [(column, fragment_of(column)) for column in columns]
        self._labels = [(b"," if place else b"{") + orjson.dumps(name) + b":" for place, name in enumerate(names)]
        self._keys = [
            (names.index(column), (b"," if place else b"{") + orjson.dumps(column) + b":")
            for place, column in enumerate(table.topic_key)
        ]
        self._moving = sorted({names.index(column) for column in (*table.topic_key, *table.primary_key)})
        self._key_names = f"{table.name}.{', '.join(table.topic_key)}"
        self._source = _source_of(identity, table)

    def insert(self, new: Row, place: Place, stamp: Stamp, now_us: int, op: str = "c") -> list[Event]:
        """The event of a new row (op `c`), or of a copied one (op `r`).

        Args:
            new: the row.
            place: of the change.
            stamp: of its event.
            now_us: when the reader processed it, µs since the epoch.
            op: `c` or `r`.

        Raises:
            InvalidRecord: `missing-key`, `zero-date`, `no-before-image`, `wrong-type`: the row cannot become a message.
        """
        after = self._image(new)
        return [self._event(after, None, after, op, place, stamp, now_us)]

    def update(self, old: Row, new: Row, place: Place, stamp: Stamp, now_us: int) -> list[Event]:
        """The event of a changed row, see insert; two when it moved to another topic key or primary key.

        The row is deleted under its old key at `place`, and created under the new one a byte later, so that versions
        stay in order wherever only the primary key tells rows apart: no other event can begin there.
        """
        before, after = self._image(old), self._image(new)
        if any(before[column] != after[column] for column in self._moving):
            later = place._replace(pos=place.pos + 1)
            return [
                self._event(before, before, None, "d", place, stamp, now_us),
                self._event(after, None, after, "c", later, stamp, now_us),
            ]
        return [self._event(before, before, after, "u", place, stamp, now_us)]

    def delete(self, old: Row, place: Place, stamp: Stamp, now_us: int) -> list[Event]:
        """The event of a deleted row, see insert."""
        before = self._image(old)
        return [self._event(before, before, None, "d", place, stamp, now_us)]

    def _image(self, row: Row) -> list[bytes]:
        image = []
        for (column, fragment), value in zip(self._columns, row, strict=True):
            if value is None:
                image.append(NULL)
            elif isinstance(value, Odd):
                image.append(_odd(column, value))
            else:
                try:
                    image.append(fragment(value))
                except (ValueError, TypeError, AttributeError, OverflowError) as error:
                    what = f"column {column.name} holds {value!r:.40}, which does not fit its type: {error}"
                    raise InvalidRecord("malformed-row", what) from None
        return image

    def _object(self, image: Sequence[bytes] | None) -> bytes:
        if image is None:
            return NULL
        return b"".join([part for pair in zip(self._labels, image, strict=True) for part in pair]) + b"}"

    def _event(
        self,
        keyed: Sequence[bytes],
        before: Sequence[bytes] | None,
        after: Sequence[bytes] | None,
        op: str,
        place: Place,
        stamp: Stamp,
        now_us: int,
    ) -> Event:
        key = b""
        for column, label in self._keys:
            if keyed[column] == NULL:
                raise InvalidRecord("missing-key", f"{self._key_names} is NULL: the row has no partition")
            key += label + keyed[column]
        value = b"".join(
            (
                b'{"before":', self._object(before), b',"after":', self._object(after), self._source,
                _standing(place, stamp),
                b',"transaction":null,"op":"', op.encode(), b'",', _times(now_us), b"}",
            )
        )  # fmt: skip
        return key + b"}", value


def truncation(identity: Identity, table: SourceTable, place: Place, stamp: Stamp, now_us: int) -> bytes:
    """The message that every row of a table with a version below the place's is gone (op `t`). It has no key: it is for all."""
    return b'{"before":null,"after":null%b%b,"transaction":null,"op":"t",%b}' % (
        _source_of(identity, table), _standing(place, stamp), _times(now_us),
    )  # fmt: skip


def _source_of(identity: Identity, table: SourceTable) -> bytes:
    """What `source` says of every event of a table."""
    said = {**identity._asdict(), "db": table.schema, "table": table.name, "sequence": None}
    return b',"source":%b,' % orjson.dumps(said).rstrip(b"}")


def _standing(place: Place, stamp: Stamp) -> bytes:
    """What `source` says of one event, to its end."""
    return b'"snapshot":"%b",%b,"server_id":%d,"gtid":%b,"file":%b,"pos":%d,"row":%d,"thread":null,"query":null}' % (
        stamp.snapshot.encode(), _times(stamp.commit_us), stamp.server_id, orjson.dumps(stamp.gtid),
        orjson.dumps(place.file), place.pos, place.row,
    )  # fmt: skip


def _times(time_us: int) -> bytes:
    return b'"ts_ms":%d,"ts_us":%d,"ts_ns":%d' % (time_us // 1000, time_us, time_us * 1000)


def _odd(column: MysqlColumn, value: Odd) -> bytes:
    """A date that is none is NULL where the column allows it, as Debezium has it; elsewhere Debezium would say 1970."""
    if value is Odd.ABSENT:
        raise InvalidRecord("no-before-image", f"column {column.name} was not sent: set binlog_row_image to FULL")
    if not column.nullable:
        raise InvalidRecord("zero-date", f"column {column.name} holds a date that is none, such as 0000-00-00")
    return NULL
