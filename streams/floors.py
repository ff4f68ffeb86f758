"""The newest truncation of each table and source, and what lies below it. Pure.

A truncation is a floor: a register below it is deleted at the floor's version. The newest floor of a (source, table) wins,
and a change that arrives below it is followed by its own deletion, so changes and truncations may come in any order and any
number of times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from trueup.model.change import Change, Truncation
from trueup.model.registers import Register, RegisterKey
from trueup.model.tables import Id, Table

FloorKey = tuple[str, str]
"""(source, table)."""


class Floor(NamedTuple):
    """Where a table was truncated last: the version, its commit time in µs, and where it was read."""

    version: int
    commit_us: int
    partition: int
    offset: int


class Floors:
    """The newest truncation of each source and table."""

    def __init__(self, held: Mapping[FloorKey, Floor] | None = None) -> None:
        self._held = dict(held or {})
        self.is_any = bool(self._held)
        """Whether there is any: nearly always there is none, and then nothing has to be looked up."""

    def raise_to(self, key: FloorKey, floor: Floor) -> bool:
        """Take a truncation; whether it is newer than the one that is held."""
        held = self._held.get(key)
        if held is not None and floor.version <= held.version:
            return False
        self._held[key] = floor
        self.is_any = True
        return True

    def get(self, source: str, table: str) -> Floor | None:
        """Where the table was truncated last, None if never."""
        return self._held.get((source, table))

    def below(self, source: str, table: str, version: int) -> Floor | None:
        """The floor that a version of a row lies below, if there is one."""
        floor = self._held.get((source, table))
        return None if floor is None or version >= floor.version else floor

    def deletion_after(self, change: Change) -> Change | None:
        """The deletion that follows a change below its table's floor; None for any other change."""
        floor = self.below(change.source, change.table.name, change.version)
        return None if floor is None else deletion(change.table, change.source, change.key, change.primary_key, floor)

    def deletions(
        self, key: Id, registers: Iterable[tuple[Table, Mapping[RegisterKey, Register[Any]]]]
    ) -> list[Change]:
        """The deletions of all registers of an entity that lie below the floor of their table; `key` is its topic key."""
        gone = []
        for table, held in registers:
            for (source, primary_key), register in held.items():
                floor = self.below(source, table.name, register.version)
                if floor is not None:
                    gone.append(deletion(table, source, key, primary_key, floor))
        return gone


def floor_of(truncation: Truncation) -> Floor:
    """What is kept of a truncation."""
    return Floor(truncation.version, truncation.commit_us, truncation.partition, truncation.offset)


def deletion(table: Table, source: str, key: Id, primary_key: Id, floor: Floor) -> Change:
    """A row's deletion by a truncation. It has no row: which one was the last may not be known yet."""
    return Change(
        table, source, key, primary_key, floor.version, floor.commit_us, True, None, (), floor.partition, floor.offset
    )
