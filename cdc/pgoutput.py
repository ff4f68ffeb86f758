"""Messages of Postgres' logical decoding plugin `pgoutput`, protocol version 1: bytes → typed values. Pure.

Source: PostgreSQL documentation, "Logical Replication Message Formats". Values stay the text that Postgres sent.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from trueup.model.errors import TrueupError

POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01, from which Postgres counts, in microseconds since 1970-01-01."""


class ProtocolError(TrueupError):
    """The bytes are no message of this protocol; reading on would lose changes."""


class Unchanged:
    """A value too large for its row (TOAST) that the update left as it was: Postgres does not send it again."""

    __slots__ = ()


UNCHANGED: Final = Unchanged()
Value = bytes | None | Unchanged
Tuple = tuple[Value, ...]
"""The values of a row in the order of its relation's columns; None is NULL."""


class Begin(NamedTuple):
    """A transaction starts; transactions come whole, in commit order. `commit_lsn` is where its commit record lies."""

    commit_lsn: int
    commit_us: int
    xid: int


class Commit(NamedTuple):
    """A transaction ends. The log up to `end_lsn` holds it."""

    commit_lsn: int
    end_lsn: int
    commit_us: int


class RelationColumn(NamedTuple):
    """One column: its name, the OID of its type, and whether it is part of the replica identity."""

    name: str
    type_oid: int
    in_identity: bool


class Relation(NamedTuple):
    """What the following messages mean by `relation_id`. `identity` is pg_class.relreplident: `f` is FULL."""

    relation_id: int
    schema: str
    table: str
    identity: str
    columns: tuple[RelationColumn, ...]


class Insert(NamedTuple):
    """A new row."""

    relation_id: int
    new: Tuple


class Update(NamedTuple):
    """A changed row. `old` is None when it was not sent; `key_only`: all of it but the identity's columns is NULL."""

    relation_id: int
    old: Tuple | None
    key_only: bool
    new: Tuple


class Delete(NamedTuple):
    """A deleted row, see Update."""

    relation_id: int
    old: Tuple
    key_only: bool


class Truncate(NamedTuple):
    """Tables that were emptied."""

    relation_ids: tuple[int, ...]


class Other(NamedTuple):
    """A message that changes no row: Type, Origin, Message."""

    kind: str


Message = Begin | Commit | Relation | Insert | Update | Delete | Truncate | Other

_BEGIN: Final = struct.Struct("!QqI")
_COMMIT: Final = struct.Struct("!BQQq")
_INT32: Final = struct.Struct("!I")
_INT16: Final = struct.Struct("!H")
_COLUMN_END: Final = struct.Struct("!Ii")

_TEXT: Final = ord("t")
_NULL: Final = ord("n")
_TOAST: Final = ord("u")
_NEW: Final = ord("N")
_OLD: Final = ord("O")
_KEY: Final = ord("K")


def parse(data: bytes, at: int = 0) -> Message:
    """The message that starts at `at` and fills the rest of `data`.

    Raises:
        ProtocolError: the bytes are cut off, longer than the message, or of an unknown kind.
    """
    try:
        read = _PARSERS[data[at]]
        message, end = read(data, at + 1)
    except (IndexError, struct.error, UnicodeDecodeError, ValueError) as error:
        raise ProtocolError(f"a message of pgoutput is cut off or malformed: {error}") from None
    except KeyError:
        raise ProtocolError(f"pgoutput sent a message of the unknown kind {chr(data[at])!r}") from None
    if end != len(data):
        raise ProtocolError(f"a message of pgoutput ends at byte {end - at}, its frame at byte {len(data) - at}")
    return message


def _tuple(data: bytes, at: int) -> tuple[Tuple, int]:
    """The row at `at`, and where it ends."""
    values: list[Value] = []
    append = values.append
    length_at = _INT32.unpack_from
    count = _INT16.unpack_from(data, at)[0]
    at += 2
    for _ in range(count):
        kind = data[at]
        if kind == _TEXT:
            start = at + 5
            at = start + length_at(data, at + 1)[0]
            append(data[start:at])
        elif kind == _NULL:
            append(None)
            at += 1
        elif kind == _TOAST:
            append(UNCHANGED)
            at += 1
        else:
            raise ValueError(f"a column value of the unknown kind {chr(kind)!r}")
    return tuple(values), at


def _begin(data: bytes, at: int) -> tuple[Begin, int]:
    commit_lsn, since_2000_us, xid = _BEGIN.unpack_from(data, at)
    return Begin(commit_lsn, since_2000_us + POSTGRES_EPOCH_US, xid), at + _BEGIN.size


def _commit(data: bytes, at: int) -> tuple[Commit, int]:
    _, commit_lsn, end_lsn, since_2000_us = _COMMIT.unpack_from(data, at)
    return Commit(commit_lsn, end_lsn, since_2000_us + POSTGRES_EPOCH_US), at + _COMMIT.size


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode(), end + 1


def _relation(data: bytes, at: int) -> tuple[Relation, int]:
    relation_id = _INT32.unpack_from(data, at)[0]
    schema, at = _text(data, at + 4)
    table, at = _text(data, at)
    identity = chr(data[at])
    count = _INT16.unpack_from(data, at + 1)[0]
    at += 3
    columns = []
    for _ in range(count):
        flags = data[at]
        name, at = _text(data, at + 1)
        columns.append(RelationColumn(name, _COLUMN_END.unpack_from(data, at)[0], bool(flags & 1)))
        at += _COLUMN_END.size
    # pg_catalog travels as an empty name.
    return Relation(relation_id, schema or "pg_catalog", table, identity, tuple(columns)), at


def _insert(data: bytes, at: int) -> tuple[Insert, int]:
    if data[at + 4] != _NEW:
        raise ValueError("an insert without a new row")
    new, end = _tuple(data, at + 5)
    return Insert(_INT32.unpack_from(data, at)[0], new), end


def _update(data: bytes, at: int) -> tuple[Update, int]:
    relation_id = _INT32.unpack_from(data, at)[0]
    at += 4
    old: Tuple | None = None
    kind = data[at]
    if kind in (_OLD, _KEY):
        old, at = _tuple(data, at + 1)
    if data[at] != _NEW:
        raise ValueError("an update without a new row")
    new, at = _tuple(data, at + 1)
    return Update(relation_id, old, kind == _KEY, new), at


def _delete(data: bytes, at: int) -> tuple[Delete, int]:
    kind = data[at + 4]
    if kind not in (_OLD, _KEY):
        raise ValueError("a delete without the old row")
    old, end = _tuple(data, at + 5)
    return Delete(_INT32.unpack_from(data, at)[0], old, kind == _KEY), end


def _truncate(data: bytes, at: int) -> tuple[Truncate, int]:
    count = _INT32.unpack_from(data, at)[0]
    start = at + 5
    end = start + 4 * count
    return Truncate(struct.unpack_from(f"!{count}I", data, start)), end


def _type(data: bytes, at: int) -> tuple[Other, int]:
    _, at = _text(data, at + 4)
    _, at = _text(data, at)
    return Other("Type"), at


def _origin(data: bytes, at: int) -> tuple[Other, int]:
    _, at = _text(data, at + 8)
    return Other("Origin"), at


def _logical_message(data: bytes, at: int) -> tuple[Other, int]:
    _, at = _text(data, at + 9)
    return Other("Message"), at + 4 + int(_INT32.unpack_from(data, at)[0])


_PARSERS: Final[dict[int, Callable[[bytes, int], tuple[Message, int]]]] = {
    ord("B"): _begin,
    ord("C"): _commit,
    ord("R"): _relation,
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("T"): _truncate,
    ord("Y"): _type,
    ord("O"): _origin,
    ord("M"): _logical_message,
}
