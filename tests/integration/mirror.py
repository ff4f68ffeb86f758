"""The rows of a source as the messages about it tell them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trueup.model.change import Change, Truncation
from trueup.model.tables import TABLES

Mirror = dict[str, dict[Any, tuple[Any, ...]]]
"""Table → primary key → row."""


def mirror_of(told: Iterable[Change | Truncation]) -> Mirror:
    """The highest version of each row, if it is not gone by then."""
    newest: dict[tuple[str, Any], Change] = {}
    # A truncation is told in every partition, so that each can be read alone.
    floors: dict[tuple[str, int], int] = {}
    for event in told:
        if isinstance(event, Truncation):
            partition = (event.table.name, event.partition)
            floors[partition] = max(floors.get(partition, 0), event.version)
            continue
        place = (event.table.name, event.primary_key)
        held = newest.get(place)
        if held is None or event.version > held.version:
            newest[place] = event
    rows: Mirror = {name: {} for name in TABLES}
    for (table, primary_key), change in newest.items():
        is_gone = change.version < floors.get((table, change.partition), 0)
        if not change.deleted and not is_gone and change.row is not None:
            rows[table][primary_key] = change.row
    return rows


def in_dollars(tables: Mirror) -> Mirror:
    """The rows whose amounts are in US dollars: the oracles in SQL take amounts to have two digits."""
    return {name: {key: row for key, row in rows.items() if "USD" in row} for name, rows in tables.items()}


def assert_versions_agree(changes: Iterable[Change]) -> None:
    """Whatever is told of one version of a row again says the same."""
    versions: dict[tuple[str, Any, int], Any] = {}
    for change in changes:
        place = (change.table.name, change.primary_key, change.version)
        assert versions.setdefault(place, change.row) == change.row
