"""Lists come from sorted copies of the table: the same rows as from the view, before and after ClickHouse merges its parts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from clickhouse_connect.driver.client import Client

from benchmarks.board_data import Size, fill
from clickhouse.case_reader import UNSETTLED, CaseFilter, CaseReader, Sort
from clickhouse.query import Query, Record
from tests.integration.clickhouse_books import running_server

pytestmark = pytest.mark.integration
DATABASE = "books"
ROWS = 120


class Telling(CaseReader):
    """A reader that keeps what it asked."""

    def __init__(self, client: Client, database: str) -> None:
        super().__init__(client, database)
        self.asked: list[Query] = []

    def rows(self, query: Query) -> list[Record]:
        self.asked.append(query)
        return super().rows(query)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Telling]:
    with running_server(tmp_path_factory.mktemp("clickhouse")) as server:
        client = server.client()
        fill(client, DATABASE, Size(cases=4_000, orders=16_000, sellers=20), ["case_wide"])
        yield Telling(client, DATABASE)
        client.close()


LISTS: list[tuple[CaseFilter, Sort, str]] = [
    (CaseFilter(), "opened", "by_raised_at"),
    (CaseFilter(standings=UNSETTLED), "opened", "by_raised_at"),
    (CaseFilter(standings=UNSETTLED), "age", "by_raised_at"),
    (CaseFilter(standings=UNSETTLED), "amount", "by_stake"),
    (CaseFilter(rules=("stuck",), severities=("high",), classes=("mismatch",)), "opened", "by_raised_at"),
    (CaseFilter(currencies=("USD",), amount_from=Decimal(5)), "opened", "by_raised_at"),
    (CaseFilter(assignee="ann", raised_until_us=1_790_000_000_000_000), "age", "by_raised_at"),
    (CaseFilter(sellers=("1",), standings=UNSETTLED), "opened", "by_seller"),
    (CaseFilter(sellers=("1", "20")), "amount", "by_seller"),
    (CaseFilter(order_id="1000044"), "opened", "books.case_wide"),
    (CaseFilter(statement_id="2000001"), "amount", "books.case_wide"),
    (CaseFilter(entity_kind="order", entity_id="1000044"), "opened", "books.case_wide"),
]


def ways(reader: Telling, chosen: CaseFilter, sort: Sort) -> tuple[list[Record], list[Record]]:
    """The rows of a list by our way, and by the query of the view."""
    quick = reader.page_rows(chosen, ROWS, sort=sort)
    return quick, reader.rows(reader.page_query(chosen, ROWS, sort=sort))


@pytest.mark.parametrize(("chosen", "sort", "copy"), LISTS)
def test_a_list_is_read_where_it_costs_least(reader: Telling, chosen: CaseFilter, sort: Sort, copy: str) -> None:
    reader.asked.clear()
    reader.page_rows(chosen, ROWS, sort=sort)
    first = reader.asked[0]
    plan = reader.rows(Query(f"EXPLAIN {first.text}", first.parameters))
    assert f"ReadFromMergeTree ({copy})" in "".join(line["explain"] for line in plan)


def test_lists_are_those_of_the_view_also_when_parts_are_merged(reader: Telling) -> None:
    before = []
    for chosen, sort, _ in LISTS:
        quick, plain = ways(reader, chosen, sort)
        assert quick == plain
        before.append(quick)
    assert sum(map(len, before)) > ROWS * len(LISTS) // 2
    (parts,) = reader.rows(
        Query(f"SELECT count() AS n FROM system.parts WHERE database = '{DATABASE}' AND table = 'case_wide' AND active")
    )
    assert parts["n"] > 1
    reader.rows(Query(f"OPTIMIZE TABLE {DATABASE}.case_wide FINAL"))
    (count,) = reader.rows(Query(f"SELECT count() AS n, uniqExact(discrepancy_id) AS cases FROM {DATABASE}.case_wide"))
    assert count["n"] == count["cases"], "what was superseded is gone"
    for (chosen, sort, copy), rows in zip(LISTS, before, strict=True):
        test_a_list_is_read_where_it_costs_least(reader, chosen, sort, copy)
        quick, plain = ways(reader, chosen, sort)
        assert quick == plain == rows
