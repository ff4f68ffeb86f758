"""A ClickHouse database as it is after 18 months of a large marketplace: what pages are measured on.

Rows are computed by ClickHouse from their numbers, so that the same `Size` always gives the same books. Order number n has a
case for every `orders_per_case`-th n; sellers, amounts and ages are spread as in life: few sellers have most orders, amounts
are log-normal in whole minor units, old cases are mostly settled. Every table has several versions of some rows, in parts of
very different sizes. The workers' `state` is left empty: no page reads it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client

from benchmarks.board_case_tables import CASE_TABLES
from benchmarks.board_rows import Rows
from benchmarks.board_source_tables import SOURCE_TABLES
from clickhouse.client import connect
from clickhouse.migrate import migrate
from trueup.settings import Settings

TABLES: Final = {**SOURCE_TABLES, **CASE_TABLES}
SPAN_DAYS: Final = 540
RECENT_PARTS: Final = 12
"""Small inserts behind the large ones, as workers write them; merges do not keep up with all of them."""

CHUNK_ROWS: Final = 2_500_000


class Size(NamedTuple):
    """How much there is; `until` is the newest time in it, the same for the same books."""

    cases: int = 1_000_000
    orders: int = 10_000_000
    sellers: int = 20_000
    until: datetime = datetime(2026, 11, 1, tzinfo=UTC)

    @property
    def orders_per_case(self) -> int:
        """Every so manieth order has a case."""
        return max(1, self.orders // self.cases)


class Insert(NamedTuple):
    """One INSERT … SELECT: rows first to last − 1 of a table, `step` of 1 for all of them."""

    table: str
    first: int
    last: int
    step: int
    edition: int
    """0 for the first version of rows that have a second one, 1 for all rows, 2 for the newest versions."""


def fill(client: Client, database: str, size: Size, names: Collection[str] = TABLES.keys()) -> dict[str, int]:
    """Apply the migrations and write all tables, or those with these names; returns rows by table, versions counted.

    The database must hold no business rows yet.
    """
    migrate(client, database)
    for insert in inserts(size, names):
        client.command(statement(TABLES[insert.table], insert, size, database), settings={"max_insert_threads": "2"})
    return {name: client.query(f"SELECT count() FROM {database}.{name}").result_rows[0][0] for name in names}


def inserts(size: Size, names: Collection[str] = TABLES.keys()) -> Iterator[Insert]:
    """What is written, in order: per table a first version of each tenth row, all rows, then small parts of new versions."""
    for name, table in ((name, TABLES[name]) for name in names):
        count = table.how_many(size.cases, size.orders, size.sellers)
        if table.has_versions:
            yield Insert(name, 0, count, 10, edition=0)
        for first in range(0, count, CHUNK_ROWS):
            yield Insert(name, first, min(first + CHUNK_ROWS, count), 1, edition=1)
        if table.has_versions:
            part_rows = max(1, count // 1_000)
            for number in range(RECENT_PARTS):
                first = count - part_rows * (RECENT_PARTS - number)
                yield Insert(name, first, first + part_rows, 1, edition=2)


def statement(table: Rows, insert: Insert, size: Size, database: str) -> str:
    """The INSERT … SELECT in SQL."""
    columns = table.columns
    names = ", ".join(f"`{name}`" for name in columns)
    values = ",\n    ".join(f"{value} AS `{name}`" for name, value in columns.items())
    constants: Mapping[str, object] = {
        "cases": size.cases, "orders": size.orders, "sellers": size.sellers, "orders_per_case": size.orders_per_case,
        "until_us": int(size.until.timestamp()) * 1_000_000, "span_us": SPAN_DAYS * 86_400_000_000,
        "edition": insert.edition,
    }  # fmt: skip
    given = ",\n    ".join(
        [f"{value} AS {name}" for name, value in constants.items()]
        + [f"{value} AS {name}" for name, value in table.shared.items()]
    )
    rows = (insert.last - insert.first + insert.step - 1) // insert.step
    return (
        f"INSERT INTO {database}.{insert.table} ({names})\nWITH\n    number * {insert.step} + {insert.first} AS n,\n    {given}\n"
        f"SELECT\n    {values}\nFROM numbers_mt({rows})"
    )


def main() -> None:
    """Fill the ClickHouse of the settings; prints the rows of each table and the time it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.board_data", description=__doc__)
    parser.add_argument("--cases", type=int, default=Size().cases)
    parser.add_argument("--orders", type=int, default=Size().orders)
    parser.add_argument("--sellers", type=int, default=Size().sellers)
    chosen = parser.parse_args()
    settings = Settings().clickhouse
    began_at = time.monotonic()
    counts = fill(connect(settings), settings.database, Size(chosen.cases, chosen.orders, chosen.sellers))
    for name, count in counts.items():
        print(f"{name}: {count:,}")
    print(f"{time.monotonic() - began_at:.0f} s")


if __name__ == "__main__":
    main()
