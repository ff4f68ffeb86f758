"""What was loaded from files: which files, and their rows, so that a corrected file replaces exactly its former version.

One SQLite database per data directory. A load is noted with all of its rows before the first one is sent, so that after a crash
it can be finished from here, with the same versions, without the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cdc.files.declared import FILES_SCHEMA
from trueup.model.errors import UnavailableError

STORE_FILE: Final = "files.sqlite"
LINE_BITS: Final = 30
"""A row's version is the number of its load and its line; the number is at least the seconds since the epoch, so that versions
grow even if this store is lost."""

_BUSY_SECONDS: Final = 30
_CACHE_KIB: Final = 65_536
_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS load (
    number INTEGER PRIMARY KEY, channel TEXT NOT NULL, name TEXT NOT NULL, file_id TEXT NOT NULL, file_name TEXT NOT NULL,
    md5 TEXT NOT NULL, rows INTEGER NOT NULL, totals TEXT NOT NULL, former INTEGER, loaded_at_us INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sending', 'loaded', 'replaced')));
CREATE TABLE IF NOT EXISTS row (
    version INTEGER PRIMARY KEY, feed TEXT NOT NULL, key BLOB NOT NULL, image BLOB NOT NULL,
    number INTEGER NOT NULL GENERATED ALWAYS AS (version >> {LINE_BITS}) VIRTUAL);
CREATE UNIQUE INDEX IF NOT EXISTS row_key ON row (feed, key, number);
"""


class Load(NamedTuple):
    """One version of one file. `totals` is JSON text: currency → total in major units; times are µs since the epoch."""

    number: int
    channel: str
    name: str
    file_id: str
    file_name: str
    md5: str
    rows: int
    totals: str
    former: int | None
    loaded_at_us: int
    state: str

    @property
    def feed(self) -> str:
        """The topic of its rows."""
        return f"{self.channel}.{FILES_SCHEMA}.{self.name}"


class StoredRow(NamedTuple):
    """A row: its version, the key of its message and the JSON of its columns."""

    version: int
    key: bytes
    image: bytes


class Difference(NamedTuple):
    """What a load changes: `before` is None for a new row, `after` for one that is gone."""

    version: int
    key: bytes
    before: bytes | None
    after: bytes | None


class FileStore:
    """The store at a path; "" keeps it in a temporary file that is gone at the end."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._db = sqlite3.connect(str(path) if path else "", timeout=_BUSY_SECONDS, isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if path is not None:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Load one file at a time. Errors: UnavailableError while another process does."""
        if self._path is None:
            yield
            return
        with self._path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UnavailableError(
                    "another file is being loaded", where=str(self._path), remedy="wait until it is done"
                ) from None
            yield

    @contextlib.contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """What is written inside stays, or none of it where an error comes out."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def next_number(self) -> int:
        """The number of a new load: above all others."""
        ((newest,),) = self._db.execute("SELECT coalesce(max(number), 0) FROM load")
        return max(int(newest) + 1, int(time.time()))

    def loads(self, feed: str | None = None) -> list[Load]:
        """Every load, oldest first, of one table or of all."""
        names = ", ".join(Load._fields)
        found = [Load(*row) for row in self._db.execute(f"SELECT {names} FROM load ORDER BY number")]
        return [load for load in found if feed is None or load.feed == feed]

    def add_rows(self, feed: str, rows: Sequence[StoredRow]) -> list[int]:
        """Keep rows of the load that is being checked; the versions of those whose key it has already, which are not kept."""
        before = self._db.total_changes
        self._db.executemany(
            "INSERT OR IGNORE INTO row (version, feed, key, image) VALUES (?, ?, ?, ?)",
            [(row.version, feed, row.key, row.image) for row in rows],
        )
        if self._db.total_changes - before == len(rows):
            return []
        kept = {
            version
            for (version,) in self._db.execute(
                "SELECT version FROM row WHERE version BETWEEN ? AND ?", (rows[0].version, rows[-1].version)
            )
        }
        return [row.version for row in rows if row.version not in kept]

    def keys_of_others(self, load: Load, limit: int) -> list[tuple[int, int]]:
        """(version, number of the other load) of rows whose key another file holds, other than the one that is replaced."""
        others = [other for other in self.loads(load.feed) if other.number not in {load.number, load.former}]
        if not any(other.state != "replaced" for other in others):
            return []
        found = self._db.execute(
            "SELECT new.version, old.number FROM row new JOIN row old ON old.feed = new.feed AND old.key = new.key"
            " WHERE new.version BETWEEN ? AND ? AND old.number NOT IN (?, ?) ORDER BY new.version LIMIT ?",
            (*versions_of(load.number), load.number, load.former or 0, limit),
        )
        return [(version, number) for version, number in found]

    def note(self, load: Load) -> None:
        """Keep a load, or its new state."""
        marks = ", ".join("?" * len(Load._fields))
        self._db.execute(f"INSERT OR REPLACE INTO load ({', '.join(Load._fields)}) VALUES ({marks})", load)

    def differences(self, load: Load) -> Iterator[Difference]:
        """What a load changes, in the order of its lines, rows that are gone last; nothing for rows that stay as they are."""
        former = load.former or 0
        cursor = self._db.execute(
            "SELECT new.version, new.key, old.image, new.image FROM row new LEFT JOIN row old"
            " ON old.feed = new.feed AND old.key = new.key AND old.number = ?"
            " WHERE new.version BETWEEN ? AND ? ORDER BY new.version",
            (former, *versions_of(load.number)),
        )
        for version, key, before, after in cursor:
            if before != after:
                yield Difference(version, key, before, after)
        if load.former is None:
            return
        gone = self._db.execute(
            "SELECT old.key, old.image FROM row old LEFT JOIN row new"
            " ON new.feed = old.feed AND new.key = old.key AND new.number = ?"
            " WHERE old.version BETWEEN ? AND ? AND new.version IS NULL ORDER BY old.version",
            (load.number, *versions_of(former)),
        )
        for key, before in gone:
            yield Difference(load.number << LINE_BITS, key, before, None)

    def finish(self, load: Load) -> None:
        """All of the load is delivered: note it, and forget the rows that it replaced."""
        with self.all_or_nothing():
            self.note(load._replace(state="loaded"))
            if load.former is not None:
                self._db.execute("UPDATE load SET state = 'replaced' WHERE number = ?", (load.former,))
                self._db.execute("DELETE FROM row WHERE version BETWEEN ? AND ?", versions_of(load.former))


def versions_of(number: int) -> tuple[int, int]:
    """The lowest and the highest version of a load's rows."""
    return number << LINE_BITS, ((number + 1) << LINE_BITS) - 1
