"""Builds Debezium envelopes (JSON without the embedded schema) from the row versions of one table. Pure.

Source: Debezium 3 PostgreSQL connector, data change events. The bytes are put together from fragments made once per
table, transaction and batch, because this is done for every change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from cdc.dialect import UNAVAILABLE
from cdc.pgoutput import UNCHANGED, Tuple, Unchanged, Value
from cdc.values import Fragment, fragment_of
from trueup.model.errors import InvalidRecord

_NULL: Final = b"null"
_UNAVAILABLE: Final = orjson.dumps(UNAVAILABLE)

Event = tuple[bytes, bytes]
"""(key, value) of one message."""


class SourceIdentity(NamedTuple):
    """What `source` says of every event: the version of this program, the name of the source, its database, its kind."""

    version: str
    name: str
    database: str
    connector: str = "postgresql"


class TableShape(NamedTuple):
    """A table as Postgres describes it now: its columns as (name, OID of the type)."""

    schema: str
    table: str
    columns: tuple[tuple[str, int], ...]


def _times(time_us: int) -> bytes:
    return b'"ts_ms":%d,"ts_us":%d,"ts_ns":%d' % (time_us // 1000, time_us, time_us * 1000)


def transaction_stamp(commit_us: int, xid: int | None, last_commit_lsn: int | None, snapshot: str = "false") -> bytes:
    """The part of `source` that all changes of a transaction share. Times in µs since the epoch.

    Args:
        commit_us: commit time at the source; for snapshot rows the time of the snapshot.
        xid: transaction id, None for snapshot rows.
        last_commit_lsn: where the transaction before this one committed, None if unknown.
        snapshot: `false`, `true`, `first` or `last`.
    """
    last = b"null" if last_commit_lsn is None else b'\\"%d\\"' % last_commit_lsn
    number = _NULL if xid is None else b"%d" % xid
    return b'"snapshot":"%b",%b,"txId":%b,"xmin":null,"sequence":"[%b,\\"' % (
        snapshot.encode(), _times(commit_us), number, last,
    )  # fmt: skip


def processing_stamp(now_us: int) -> bytes:
    """The part of the envelope that says when the reader processed the change, µs since the epoch."""
    return _times(now_us) + b"}"


class TableEnvelopes:
    """Makes the events of one table.

    Args:
        identity: of the source.
        shape: the table's columns in the order of its rows.
        topic_key: columns that key the table's topic.
        primary_key: columns that identify a row.

    Raises:
        InvalidRecord: `missing-column` when the table lacks one of these columns.
    """

    def __init__(
        self, identity: SourceIdentity, shape: TableShape, topic_key: Sequence[str], primary_key: Sequence[str]
    ) -> None:
        names = [name for name, _ in shape.columns]
        for column in (*topic_key, *primary_key):
            if column not in names:
                raise InvalidRecord("missing-column", f"{shape.table} has no column {column}")
        self._keys = [
            (names.index(column), (b"," if place else b"{") + orjson.dumps(column) + b":")
            for place, column in enumerate(topic_key)
        ]
        self._moving_places = sorted({names.index(column) for column in (*topic_key, *primary_key)})
        self._fragments: list[Fragment] = [fragment_of(type_oid) for _, type_oid in shape.columns]
        labels = [orjson.dumps(name).replace(b"%", b"%%") for name in names]
        self._form = b"{" + b",".join(label + b":%b" for label in labels) + b"}"
        self._table = shape.table
        self._topic_key = ", ".join(topic_key)
        self._source = b',"source":{%b,' % orjson.dumps(
            {
                "connector": identity.connector,
                "version": identity.version,
                "name": identity.name,
                "db": identity.database,
                "schema": shape.schema,
                "table": shape.table,
            }
        ).strip(b"{}")

    def insert(self, new: Tuple, lsn: int, transaction: bytes, processing: bytes, op: str = "c") -> list[Event]:
        """The event of a new row (op `c`), or of a row read in a snapshot (op `r`).

        Args:
            new: the row.
            lsn: log position of the change.
            transaction: from transaction_stamp.
            processing: from processing_stamp.
            op: `c` or `r`.

        Raises:
            InvalidRecord: the key is NULL, or a text is no UTF-8.
        """
        after = self._image(new)
        return [self._event(after, _NULL, after, op, lsn, transaction, processing)]

    def update(self, old: Tuple | None, new: Tuple, lsn: int, transaction: bytes, processing: bytes) -> list[Event]:
        """The event of a changed row; two when it moved to another topic key or another primary key.

        As Debezium does, a moved row is deleted under its old key and created under the new one. Both come from one log
        record; the delete is put one byte before it, so that the versions of the row stay in order wherever only the
        primary key tells rows apart (no other record can lie there).

        Args:
            old: the former row, None if the source did not send all of it.
            new: the row.
            lsn: log position of the change.
            transaction: from transaction_stamp.
            processing: from processing_stamp.

        Raises:
            InvalidRecord: the key is NULL, or a text is no UTF-8.
        """
        if old is None:
            after = self._image(new)
            return [self._event(after, _NULL, after, "u", lsn, transaction, processing)]
        before, after = self._images(old, new)
        if any(before[place] != after[place] != _UNAVAILABLE for place in self._moving_places):
            return [
                self._event(before, before, _NULL, "d", lsn - 1, transaction, processing),
                self._event(after, _NULL, after, "c", lsn, transaction, processing),
            ]
        return [self._event(before, before, after, "u", lsn, transaction, processing)]

    def delete(self, old: Tuple, lsn: int, transaction: bytes, processing: bytes) -> list[Event]:
        """The event of a deleted row, see insert."""
        before = self._image(old)
        return [self._event(before, before, _NULL, "d", lsn, transaction, processing)]

    def truncate(self, lsn: int, transaction: bytes, processing: bytes) -> bytes:
        """The message that every row with a version below `lsn` is gone (op `t`). It has no key: it is for all rows."""
        return self._value(_NULL, _NULL, "t", lsn, transaction, processing)

    def _image(self, row: Tuple) -> list[bytes]:
        """The JSON of each value."""
        try:
            if UNCHANGED in row:
                return [self._fragment(place, value) for place, value in enumerate(row)]
            return [
                _NULL if value is None else fragment(value)  # type: ignore[arg-type]  # it is bytes
                for fragment, value in zip(self._fragments, row, strict=True)
            ]
        except ValueError as error:
            raise InvalidRecord("malformed-row", f"a row does not fit its table or its encoding: {error}") from None

    def _images(self, old: Tuple, new: Tuple) -> tuple[list[bytes], list[bytes]]:
        """Both rows; what did not change, most of a row, is converted once."""
        before = self._image(old)
        try:
            after = [
                known if value == was else self._fragment(place, value)
                for place, (known, was, value) in enumerate(zip(before, old, new, strict=True))
            ]
        except ValueError as error:
            raise InvalidRecord("malformed-row", f"a row does not fit its table or its encoding: {error}") from None
        return before, after

    def _fragment(self, place: int, value: Value) -> bytes:
        if value is None:
            return _NULL
        return _UNAVAILABLE if isinstance(value, Unchanged) else self._fragments[place](value)

    def _object(self, image: Sequence[bytes]) -> bytes:
        return self._form % tuple(image)

    def _event(
        self,
        keyed: list[bytes],
        before: list[bytes] | bytes,
        after: list[bytes] | bytes,
        op: str,
        lsn: int,
        transaction: bytes,
        processing: bytes,
    ) -> Event:
        key = b""
        for place, label in self._keys:
            part = keyed[place]
            if part in (_NULL, _UNAVAILABLE):
                raise InvalidRecord("missing-key", f"{self._table}.{self._topic_key} is NULL: the row has no partition")
            key += label + part
        return key + b"}", self._value(before, after, op, lsn, transaction, processing)

    def _value(
        self,
        before: list[bytes] | bytes,
        after: list[bytes] | bytes,
        op: str,
        lsn: int,
        transaction: bytes,
        processing: bytes,
    ) -> bytes:
        position = b"%d" % lsn
        return b"".join(
            (
                b'{"before":',
                before if isinstance(before, bytes) else self._object(before),
                b',"after":',
                after if isinstance(after, bytes) else self._object(after),
                self._source,
                transaction,
                position,
                b'\\"]","lsn":',
                position,
                b'},"transaction":null,"op":"',
                op.encode(),
                b'",',
                processing,
            )
        )
