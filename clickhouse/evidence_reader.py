"""The rows that a discrepancy rests on, as the mirrors have them now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from clickhouse.query import Query
from clickhouse.schema import MIRRORS
from trueup.model.tables import TABLES

LEGS_MAX: Final = 100
"""Legs of one discrepancy that are read; a drift of a statement may rest on many items."""


class Leg(NamedTuple):
    """One leg: where it was read at the verdict (`place`, as the evidence has it), and its row now, None when it is not mirrored."""

    place: Mapping[str, Any]
    row: Mapping[str, Any] | None


def leg_queries(database: str, legs: Iterable[Mapping[str, Any]]) -> dict[str, Query]:
    """Source table → the query of its rows among the legs; tables of users' own specs have no mirror and are left out."""
    wanted: dict[str, list[str]] = {}
    for leg in list(legs)[:LEGS_MAX]:
        if leg["table"] in MIRRORS:
            wanted.setdefault(leg["table"], []).append(leg["primary_key"])
    queries = {}
    for table, keys in wanted.items():
        columns = ", ".join(f"`{column.name}`" for column in MIRRORS[table].columns)
        queries[table] = Query(
            f"SELECT {columns} FROM {database}.{table} FINAL WHERE {TABLES[table].primary_key} IN {{keys:Array(String)}} "
            f"ORDER BY source, {TABLES[table].primary_key}",
            {"keys": sorted(set(keys))},
        )
    return queries


def matched_legs(legs: Iterable[Mapping[str, Any]], rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Leg]:
    """The legs in the order of the evidence, each with its row out of what `leg_queries` read."""
    held = {
        (table, row["source"], str(row[TABLES[table].primary_key])): row
        for table, found in rows.items()
        for row in found
    }
    return [Leg(leg, held.get((leg["table"], leg["source"], leg["primary_key"]))) for leg in list(legs)[:LEGS_MAX]]
