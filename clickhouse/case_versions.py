"""The first cases of a list without merging all of the table: versions first, then which of them are the newest.

FINAL merges the whole of `case_wide` by its key before it filters, which takes most of the time of a page. The versions of
the rows, superseded ones among them, are kept sorted as well (`case_lists`); of those that come first, the newest version of
each case stands in its place, and what is superseded drops out. Only what is shown is read whole. The rows are those that a
query of `v_cases` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from clickhouse.case_views import IS_AWAKE, SHOWN_EXPRESSIONS
from clickhouse.query import Query, Record

Rows = Callable[[Query], list[Record]]

VERSIONS_SPARE: Final = 25
"""Two versions and so many more are read for the rows that are wanted: what was raised last has changed since, most of it.
Where more are superseded, the next ones are read too.
"""

VERSIONS_MAX: Final = 500
"""Ids of one look-up: parameters travel in the address."""

WHOLE_MAX: Final = 250
"""Cases that are read whole at a time: their versions travel beside their ids."""

STANDING_IN: Final = (
    f"if({IS_AWAKE}, standing_awake IN {{standings:Array(String)}}, standing IN {{standings:Array(String)}})"
)
"""The condition of the list for standings, on a row of `case_wide`."""

IN_ORDER: Final = "max_block_size = 2048, read_in_order_use_buffering = 0"
"""A sorted copy is read block by block until there are rows enough; of blocks as large as usual one would be all of it."""

LOOKED_UP: Final = "optimize_use_projections = 0"
"""Few rows that an index of the table finds: a copy in the order of the list would be read to its end."""

_OF_IDS: Final = "partition IN {partitions:Array(UInt16)} AND discrepancy_id IN {ids:Array(String)}"


class Order(NamedTuple):
    """How a list is sorted: an expression over columns of `v_cases` with its type, and the directions of it and of the id.

    `settings` are those of the query that finds the first rows: `IN_ORDER` or `LOOKED_UP`.
    """

    value: str
    kind: str
    direction: str
    id_direction: str
    settings: str = IN_ORDER


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
    place: Place | None = None, columns: Sequence[str] = tuple(SHOWN_EXPRESSIONS),
) -> list[Record]:  # fmt: skip
    """These columns of `v_cases` and `sort_value`, of the first `rows_max` cases behind `place`.

    Args:
        rows: runs a query.
        database: that holds the table.
        conditions: over columns of `case_wide`, with `STANDING_IN` for standings.
        bound: what they bind.
        order: of the list.
        rows_max: how many cases are wanted.
        place: behind which they come; None for the first ones.
        columns: that are wanted, `discrepancy_id` among them; each costs a read for every case.
    """
    while True:
        wanted = _first_versions(rows, database, conditions, bound, order, rows_max, place)
        whole: dict[tuple[str, int], Record] = {}
        for at in range(0, len(wanted), WHOLE_MAX):
            whole |= _whole(rows, database, wanted[at : at + WHOLE_MAX], columns)
        # Where a newer version came meanwhile, a merge may have taken the one away that was found.
        if whole.keys() >= {(row["discrepancy_id"], row["version"]) for row in wanted}:
            return [whole[row["discrepancy_id"], row["version"]] | {"sort_value": row["sort_value"]} for row in wanted]


def _first_versions(
    rows: Rows, database: str, conditions: Sequence[str], bound: Mapping[str, Any], order: Order, rows_max: int,
    place: Place | None,
) -> list[Record]:  # fmt: skip
    """What `_versions` gives, of the newest version of each case."""
    found: dict[str, Record] = {}
    while True:
        most = min(VERSIONS_MAX, 2 * rows_max + VERSIONS_SPARE)
        versions = rows(_versions(database, conditions, bound, order, most, place))
        newest = {row["discrepancy_id"]: row["newest"] for row in rows(_newest(database, versions))} if versions else {}
        for version in versions:
            if newest[version["discrepancy_id"]] == version["version"]:
                found.setdefault(version["discrepancy_id"], version)
        if len(versions) < most or len(found) >= rows_max:
            return list(found.values())[:rows_max]
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
        f"SELECT partition, discrepancy_id, version, {order.value} AS sort_value FROM {database}.case_wide "
        f"WHERE {' AND '.join(parts)} "
        f"ORDER BY {order.value} {order.direction}, discrepancy_id {order.id_direction}, version DESC LIMIT {{rows:UInt32}} "
        f"SETTINGS {order.settings}",
        {**values, "rows": most},
    )


def _newest(database: str, versions: Sequence[Record]) -> Query:
    """discrepancy_id, newest: the newest version of each of these cases."""
    return Query(
        f"SELECT discrepancy_id, max(version) AS newest FROM {database}.case_wide WHERE {_OF_IDS} GROUP BY discrepancy_id",
        _ids(versions),
    )


def _whole(
    rows: Rows, database: str, versions: Sequence[Record], columns: Sequence[str]
) -> dict[tuple[str, int], Record]:
    """Case and version → what `v_cases` shows of it; of these cases also other ones with the number of one of these versions."""
    names = ", ".join(f"`{name}`" for name in columns)
    shown = ", ".join(f"{SHOWN_EXPRESSIONS[name]} AS `{name}`" for name in columns)
    query = Query(
        f"SELECT {names}, version FROM (SELECT version, {shown} FROM {database}.case_wide "
        f"WHERE {_OF_IDS} AND version IN {{versions:Array(UInt64)}})",
        {**_ids(versions), "versions": sorted({row["version"] for row in versions})},
    )
    return {(row["discrepancy_id"], row.pop("version")): row for row in rows(query)}


def _ids(versions: Sequence[Record]) -> dict[str, Any]:
    return {
        "partitions": sorted({row["partition"] for row in versions}),
        "ids": sorted({row["discrepancy_id"] for row in versions}),
    }
