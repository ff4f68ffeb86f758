"""One decoded change of one source row, and where it was read."""

from __future__ import annotations

from typing import NamedTuple

from trueup.model.tables import Id, Table

Row = tuple[object, ...]


class Change(NamedTuple):
    """A row version as the source committed it.

    `row` is in column order of `table`: the new row, or for a delete the last known row (None if the source did not
    send it). `version` orders the changes of one row within one `source` (Postgres: event LSN). `moves` are what the
    change did to fields whose history rules judge, taken from the before-image: (field, old, new), amounts in minor
    units. `commit_us` is the source's commit time. `polled` changes were found by comparing: each may stand for several.
    """

    table: Table
    source: str
    key: Id
    primary_key: Id
    version: int
    commit_us: int
    deleted: bool
    row: Row | None
    moves: tuple[tuple[str, object, object], ...]
    partition: int
    offset: int
    polled: bool = False


class Truncation(NamedTuple):
    """All rows of one table of one source with a version below `version` are gone as of that version."""

    table: Table
    source: str
    version: int
    commit_us: int
    partition: int
    offset: int


class Incomplete(NamedTuple):
    """A change whose source left out values that it did not touch: the row has placeholders at `holes`."""

    change: Change
    holes: tuple[int, ...]


Decoded = Change | Truncation | Incomplete | None
"""What one message says; None for one that says nothing of the table's rows (a tombstone)."""
