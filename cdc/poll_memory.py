"""What polling remembers: every row as it was last told, and the changes that are being told.

One SQLite database per source in the data directory, about as large as the tables themselves. Changes are noted before they are
sent: after a crash they are sent again as they were, with the same versions, and only then is the source asked anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from cdc.envelope import TableShape
from cdc.source_tables import SourceTable
from trueup.model.errors import UnavailableError

_BUSY_SECONDS: Final = 30
_CACHE_KIB: Final = 32_768
_IDENTITY_BYTES: Final = 16
_VERSIONS_BETWEEN: Final = 2
"""A row that moves to another key takes two versions, one below that of its poll."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS memory (identity TEXT NOT NULL, newest_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS shape (shape INTEGER PRIMARY KEY, described TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS polled (
    label TEXT PRIMARY KEY, high_us INTEGER, compared_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS row (
    label TEXT NOT NULL, key TEXT NOT NULL, shape INTEGER NOT NULL, image BLOB NOT NULL,
    PRIMARY KEY (label, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change (
    number INTEGER PRIMARY KEY, label TEXT NOT NULL, key TEXT NOT NULL, shape INTEGER NOT NULL, at_us INTEGER NOT NULL,
    op TEXT NOT NULL, before BLOB, after BLOB);
CREATE TEMP TABLE seen (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""

Values = tuple[bytes | None, ...]
"""The values of a row as the database writes them as text."""


class Polled(NamedTuple):
    """How far a table is: the newest time in it, None where it has none, and when it was last compared whole."""

    high_us: int | None
    compared_us: int


class RowChange(NamedTuple):
    """A change that was found by the poll that began at `at_us`, which is its version too. `op` is c, u, d or r."""

    label: str
    shape: TableShape
    at_us: int
    op: str
    before: Values | None
    after: Values | None


class PollMemory:
    """The memory at a path, for one process, and one thread of it at a time. Errors: UnavailableError while another one has it open."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = path.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise UnavailableError(
                "another reader polls this source", where=str(path), remedy="let one reader poll it"
            ) from None
        self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_TABLES)
        self._shapes: dict[int, TableShape] = {}
        with self._together():
            if self._db.execute("SELECT 1 FROM memory").fetchone() is None:
                self._db.execute("INSERT INTO memory VALUES (?, 0)", (secrets.token_hex(_IDENTITY_BYTES),))

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        self._lock.close()

    @property
    def identity(self) -> str:
        """Names this memory: it is of no use beside topics that were written from another one."""
        ((identity,),) = self._db.execute("SELECT identity FROM memory")
        return str(identity)

    def forget(self) -> None:
        """Forget all rows; versions go on growing."""
        with self._together():
            for table in ("polled", "row", "change"):
                self._db.execute(f"DELETE FROM {table}")

    def keep_only(self, tables: Sequence[SourceTable]) -> None:
        """Forget other tables: should one be read again, it must be told as a whole."""
        labels = orjson.dumps([table.label for table in tables]).decode()
        with self._together():
            for name in ("polled", "row", "change"):
                self._db.execute(
                    f"DELETE FROM {name} WHERE label NOT IN (SELECT value FROM json_each(?))",
                    (labels,),
                )

    def begin(self, source_us: int) -> int:
        """Begin a poll at this time of the source's clock; its version, above all former ones whatever the clock does."""
        self._db.execute("UPDATE memory SET newest_us = max(?, newest_us + ?)", (source_us, _VERSIONS_BETWEEN))
        ((newest_us,),) = self._db.execute("SELECT newest_us FROM memory")
        return int(newest_us)

    def polled(self, table: SourceTable) -> Polled | None:
        """How far a table is; None before it was read whole once."""
        found = self._db.execute("SELECT high_us, compared_us FROM polled WHERE label = ?", (table.label,)).fetchone()
        return None if found is None else Polled(*found)

    def knows(self, table: SourceTable) -> bool:
        """Whether anything is remembered of a table."""
        found = self._db.execute("SELECT 1 FROM row WHERE label = ? LIMIT 1", (table.label,)).fetchone()
        return found is not None or self.polled(table) is not None

    def note_polled(self, reached: Mapping[SourceTable, Polled]) -> None:
        """Everything of the tables up to there is noted."""
        with self._together():
            self._db.executemany(
                "INSERT OR REPLACE INTO polled VALUES (?, ?, ?)",
                [(table.label, *polled) for table, polled in reached.items()],
            )

    def start_seeing(self) -> None:
        """From here on, remember the keys that are compared."""
        self._db.execute("DELETE FROM seen")

    def note_rows(
        self, table: SourceTable, shape: TableShape, rows: Sequence[Values], at_us: int, *, is_first: bool
    ) -> list[RowChange]:
        """Compare rows with what is remembered; note and tell those that differ.

        Args:
            table: that they are of.
            shape: its columns now.
            rows: as they are now, each key once per poll.
            at_us: when the poll began.
            is_first: the table was never read whole; new rows are told as copied.
        """
        keys = _keys(table, shape, rows)
        listed = orjson.dumps(keys).decode()
        number = self._number_of(shape)
        held = {
            key: _as_shaped(orjson.loads(image), self._shape(former), shape)
            for key, former, image in self._db.execute(
                "SELECT key, shape, image FROM row WHERE label = ? AND key IN (SELECT value FROM json_each(?))",
                (table.label, listed),
            )
        }
        found: list[tuple[str, RowChange]] = []
        for key, row in zip(keys, rows, strict=True):
            before = held.get(key)
            if before != row:
                op = "u" if before is not None else "r" if is_first else "c"
                found.append((key, RowChange(table.label, shape, at_us, op, before, row)))
        self._db.execute("INSERT OR IGNORE INTO seen SELECT value FROM json_each(?)", (listed,))
        self._note(number, found)
        return [change for _, change in found]

    def note_gone(self, table: SourceTable, shape: TableShape, at_us: int, rows_max: int) -> Iterator[list[RowChange]]:
        """Note and tell, in portions, the remembered rows whose key was not seen."""
        number, last = self._number_of(shape), ""
        while True:
            gone = self._db.execute(
                "SELECT key, shape, image FROM row WHERE label = ? AND key > ?"
                " AND key NOT IN (SELECT key FROM seen) ORDER BY key LIMIT ?",
                (table.label, last, rows_max),
            ).fetchall()
            if not gone:
                return
            last = gone[-1][0]
            found = [
                (key, RowChange(table.label, shape, at_us, "d", _as_shaped(orjson.loads(image), self._shape(of), shape), None))
                for key, of, image in gone
            ]  # fmt: skip
            self._note(number, found)
            yield [change for _, change in found]

    def noted(self) -> Iterator[RowChange]:
        """The changes that are not known to be delivered, in their order."""
        for label, shape, at_us, op, before, after in self._db.execute(
            "SELECT label, shape, at_us, op, before, after FROM change ORDER BY number"
        ):
            yield RowChange(label, self._shape(shape), at_us, op, _values(before), _values(after))

    def delivered(self) -> None:
        """All that is noted is delivered: it becomes what is remembered."""
        with self._together():
            self._db.execute(
                "INSERT OR REPLACE INTO row SELECT label, key, shape, after FROM change"
                " WHERE after IS NOT NULL ORDER BY number"
            )
            self._db.execute(
                "DELETE FROM row WHERE (label, key) IN (SELECT label, key FROM change WHERE after IS NULL)"
            )
            self._db.execute("DELETE FROM change")

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _note(self, number: int, found: Sequence[tuple[str, RowChange]]) -> None:
        if not found:
            return
        with self._together():
            self._db.executemany(
                "INSERT INTO change (label, key, shape, at_us, op, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (change.label, key, number, change.at_us, change.op, _image(change.before), _image(change.after))
                    for key, change in found
                ],
            )

    def _number_of(self, shape: TableShape) -> int:
        described = orjson.dumps([*shape]).decode()
        query = "SELECT shape FROM shape WHERE described = ?"
        if self._db.execute(query, (described,)).fetchone() is None:
            self._db.execute("INSERT INTO shape (described) VALUES (?)", (described,))
        ((number,),) = self._db.execute(query, (described,))
        return int(number)

    def _shape(self, number: int) -> TableShape:
        if number not in self._shapes:
            ((described,),) = self._db.execute("SELECT described FROM shape WHERE shape = ?", (number,))
            schema, table, columns = orjson.loads(described)
            self._shapes[number] = TableShape(schema, table, tuple((name, type_oid) for name, type_oid in columns))
        return self._shapes[number]


def _keys(table: SourceTable, shape: TableShape, rows: Sequence[Values]) -> list[str]:
    names = [name for name, _ in shape.columns]
    places = [names.index(column) for column in table.primary_key]
    return [orjson.dumps([_text(row[place]) for place in places]).decode() for row in rows]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _image(row: Values | None) -> bytes | None:
    return None if row is None else orjson.dumps([_text(value) for value in row])


def _values(image: bytes | None) -> Values | None:
    return None if image is None else tuple(None if text is None else text.encode() for text in orjson.loads(image))


def _as_shaped(image: Sequence[str | None], former: TableShape, shape: TableShape) -> Values:
    """A remembered row with the columns that the table has now; NULL in those that it had not."""
    if former == shape:
        return tuple(None if text is None else text.encode() for text in image)
    by_name = dict(zip((name for name, _ in former.columns), image, strict=True))
    texts = (by_name.get(name) for name, _ in shape.columns)
    return tuple(None if text is None else text.encode() for text in texts)
