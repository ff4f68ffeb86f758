"""The first cases of a list without merging all of the table: versions first, then which of them are the newest.

FINAL merges the whole of `case_wide` by its key before it filters, which takes most of the time of a page. The versions of
the rows, superseded ones among them, are sorted much faster; of those that come first, the newest version of each case
stands in its place, and what is superseded drops out. The rows are those that a query of `v_cases` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from clickhouse.case_views import SHOWN_EXPRESSIONS
from clickhouse.query import Query, Record

Rows = Callable[[Query], list[Record]]

SUPERSEDED_SHARE: Final = 4
"""A fourth more versions are read than rows are wanted; where more are superseded, the next ones are read too."""

VERSIONS_MAX: Final = 500
"""Ids of one look-up: parameters travel in the address."""

_COLUMNS: Final = ", ".join(f"`{name}`" for name in SHOWN_EXPRESSIONS)


class Order(NamedTuple):
    """How a list is sorted: an expression over columns of `v_cases` with its type, and the directions of it and of the id."""

    value: str
    kind: str
    direction: str
    id_direction: str


class Place(NamedTuple):
    """Where in a list a row stands: the text of its value, and its id."""

    value: str
    discrepancy_id: str


def beyond(order: Order, place: Place) -> tuple[str, dict[str, Any]]:
    """The condition for what comes behind a place, and what it binds."""
    value, id_value = ("<" if way == "DESC" else ">" for way in (order.direction, order.id_direction))
    bound = f"{{last_value:{order.kind}}}"
    return (
        f"({order.value} {value} {bound} OR ({order.value} = {bound} AND discrepancy_id {id_value} {{last_id:String}}))",
        {"last_value": place.value, "last_id": place.discrepancy_id},
    )


def first_cases(
    rows: Rows, database: str, conditions: Sequence[str], bound: Mapping[str, Any], order: Order, rows_max: int,
    place: Place | None = None,
) -> list[Record]:  # fmt: skip
    """The columns of `v_cases` and `sort_value`, of the first `rows_max` cases behind `place`.

    Args:
        rows: runs a query.
        database: that holds the table.
        conditions: over columns of `v_cases`, and `occurrence_period`.
        bound: what they bind.
        order: of the list.
        rows_max: how many cases are wanted.
        place: behind which they come; None for the first ones.
    """
    found: dict[str, Record] = {}
    while True:
        most = min(VERSIONS_MAX, rows_max + rows_max // SUPERSEDED_SHARE)
        versions = rows(_versions(database, conditions, bound, order, most, place))
        newest = {row["discrepancy_id"]: row for row in rows(_newest(database, versions))} if versions else {}
        for version in versions:
            row = newest[version["discrepancy_id"]]
            if row["version"] == version["version"]:
                found.setdefault(version["discrepancy_id"], row | {"sort_value": version["sort_value"]})
        if len(versions) < most or len(found) >= rows_max:
            shown = list(found.values())[:rows_max]
            for row in shown:
                del row["version"]
            return shown
        place = Place(str(versions[-1]["sort_value"]), versions[-1]["discrepancy_id"])


def _versions(
    database: str, conditions: Sequence[str], bound: Mapping[str, Any], order: Order, most: int, place: Place | None
) -> Query:
    """partition, discrepancy_id, version, sort_value: versions in the order of the list, the newest of a case first."""
    parts = [*conditions, "standing != 'unknown'"]
    values = dict(bound)
    if place is not None:
        condition, more = beyond(order, place)
        parts.append(condition)
        values |= more
    return Query(
        f"SELECT partition, discrepancy_id, version, {order.value} AS sort_value "
        f"FROM (SELECT partition, version, occurrence_period, {_select()} FROM {database}.case_wide) "
        f"WHERE {' AND '.join(parts)} "
        f"ORDER BY {order.value} {order.direction}, discrepancy_id {order.id_direction}, version DESC LIMIT {{rows:UInt32}}",
        {**values, "rows": most},
    )


def _newest(database: str, versions: Sequence[Record]) -> Query:
    """The newest version of each of these cases: what `v_cases` shows of it, and its version."""
    return Query(
        f"SELECT {_COLUMNS}, version FROM (SELECT version, {_select()} FROM {database}.case_wide "
        "WHERE partition IN {partitions:Array(UInt16)} AND discrepancy_id IN {ids:Array(String)}) "
        "ORDER BY discrepancy_id, version DESC LIMIT 1 BY discrepancy_id",
        {
            "partitions": sorted({row["partition"] for row in versions}),
            "ids": sorted({row["discrepancy_id"] for row in versions}),
        },
    )


def _select() -> str:
    return ", ".join(f"{expression} AS `{name}`" for name, expression in SHOWN_EXPRESSIONS.items())
