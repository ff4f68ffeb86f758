"""Tables, views and migrations on a real engine: exact round trips, the newest version wins, analysts see live rows."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from clickhouse.columns import mirror_row, to_arrow
from clickhouse.definition import Definition
from clickhouse.migrate import migrate, migrations
from clickhouse.schema import DEFINITIONS, DISCREPANCY, MIRRORS, ORDER_WIDE
from clickhouse.views import VIEWS
from tests.integration.clickhouse_books import Server, running_server
from tests.integration.clickhouse_rows import edge_rows, order_row
from trueup.model import tables
from trueup.model.change import Change
from trueup.model.errors import ConfigurationError

pytestmark = pytest.mark.integration
DATABASE = "books"
GRANTS = Path(__file__).parents[2] / "clickhouse" / "grants" / "analyst.sql"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("clickhouse"), DATABASE) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = server.client()
    client.command(f"DROP DATABASE IF EXISTS {DATABASE}")
    migrate(client, DATABASE)
    yield client
    client.close()


def insert(client: Client, definition: Definition, rows: list[tuple[Any, ...]]) -> None:
    client.insert_arrow(definition.name, to_arrow(definition, rows), database=DATABASE)


def test_migrations_apply_once_and_a_dry_run_writes_nothing(server: Server) -> None:
    client = server.client()
    client.command("DROP DATABASE IF EXISTS twice")
    assert migrate(client, "twice", dry_run=True) == migrations()
    assert client.query("SELECT count() FROM system.databases WHERE name = 'twice'").result_rows == [(0,)]
    assert migrate(client, "twice") == migrations()
    assert migrate(client, "twice") == ()
    assert client.query("SELECT number FROM twice.schema_migration FINAL ORDER BY number").result_rows == [
        (migration.number,) for migration in migrations()
    ]


def test_workers_that_start_at_once_may_all_migrate(server: Server) -> None:
    client = server.client()
    client.command("DROP DATABASE IF EXISTS crowded")
    with ThreadPoolExecutor(3) as workers:
        applied = list(workers.map(lambda _: migrate(server.client(), "crowded"), range(3)))
    assert migrations() in applied
    assert migrate(client, "crowded") == ()


def test_a_file_that_changed_after_it_was_applied_is_told(client: Client) -> None:
    client.command(
        f"INSERT INTO {DATABASE}.schema_migration (number, name, checksum) VALUES (1, '0001_mirrors.sql', 'other')"
    )
    with pytest.raises(ConfigurationError, match="another content"):
        migrate(client, DATABASE)


def test_the_engine_has_the_columns_that_are_defined(client: Client) -> None:
    found = client.query(
        "SELECT table, name, type, comment FROM system.columns WHERE database = {d:String} ORDER BY table, position",
        parameters={"d": DATABASE},
    ).result_rows
    for definition in DEFINITIONS.values():
        assert [row[1:] for row in found if row[0] == definition.name] == [
            tuple(column) for column in definition.columns
        ]
    assert [row[:2] for row in found if not row[3]] == []
    uncommented = "SELECT name FROM system.tables WHERE database = {d:String} AND comment = ''"
    assert client.query(uncommented, parameters={"d": DATABASE}).result_rows == []


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=lambda definition: definition.name)
def test_every_value_comes_back_exactly(client: Client, definition: Definition) -> None:
    sent = to_arrow(definition, edge_rows(definition))
    client.insert_arrow(definition.name, sent, database=DATABASE)
    columns = ", ".join(f"`{column.name}`" for column in definition.columns)
    came = client.query_arrow(
        f"SELECT {columns} FROM {DATABASE}.{definition.name} FINAL", settings={"output_format_arrow_date_as_uint16": 0}
    )
    assert by_text(came.cast(sent.schema)) == by_text(sent)


def by_text(table: pa.Table) -> list[str]:
    return sorted(repr(row) for row in table.to_pylist())


def test_amounts_print_to_the_last_digit(client: Client) -> None:
    insert(client, ORDER_WIDE, [order_row(1, billed_amount=-(10**38 - 1)), order_row(2, net_amount=1)])
    rows = client.query(
        f"SELECT toString(billed_amount), net_amount FROM {DATABASE}.order_wide ORDER BY order_id"
    ).result_rows
    assert rows == [("-9999999999999999999999999999999999.9999", None), ("0", Decimal("0.0001"))]


@pytest.mark.parametrize("versions", [(1, 2), (2, 1), (1, 2, 2, 1)])
def test_the_highest_version_wins_in_any_order(client: Client, versions: tuple[int, ...]) -> None:
    for version in versions:
        insert(client, ORDER_WIDE, [order_row(7, version=version, state=f"v{version}", billed_amount=version * 10_000)])
    rows = client.query(f"SELECT billed_amount FROM {DATABASE}.v_orders WHERE order_id = '7'").result_rows
    assert rows == [(Decimal(2),)]


@pytest.mark.parametrize("named", ["", "order_id = '7' AND "])
def test_a_condition_meets_the_newest_version_alone(client: Client, named: str) -> None:
    for version, verdict in ((1, "pending"), (2, "matched")):
        insert(client, ORDER_WIDE, [order_row(7, version=version, verdict=verdict, shop_id=f"s{version}")])
    for condition, count in (("verdict = 'pending'", 0), ("shop_id = 's1'", 0), ("verdict = 'matched'", 1)):
        query = f"SELECT order_id FROM {DATABASE}.v_orders WHERE {named}{condition}"
        assert client.query(query).result_rows == [("7",)] * count, condition


def test_one_insert_may_touch_more_than_a_hundred_months(client: Client) -> None:
    rows = [order_row(number, month=19_662 + 31 * number) for number in range(150)]
    client.insert_arrow(
        "order_wide", to_arrow(ORDER_WIDE, rows), database=DATABASE, settings={"max_partitions_per_insert_block": 0}
    )
    assert client.query(f"SELECT count() FROM {DATABASE}.v_orders").result_rows == [(150,)]


def billing_change(version: int, *, deleted: bool = False, row: bool = True, source: str = "shard-1") -> Change:
    values = (5, "A-7", 7, 9, "sale", "no", -123, "USD", "paid", 4, 5)
    return Change(tables.BILLING_ITEM, source, "A-7", 5, version, 6, deleted, values if row else None, (), 3, 12)


def test_mirror_views_hide_deleted_rows_and_keep_sources_apart(client: Client) -> None:
    mirror = MIRRORS["billing_item"]
    insert(client, mirror, [mirror_row(billing_change(1)), mirror_row(billing_change(1, source="shard-2"))])
    view = f"SELECT source, order_id, amount FROM {DATABASE}.v_billing_items ORDER BY source"
    amount = Decimal("-1.23")
    assert client.query(view).result_rows == [("shard-1", "A-7", amount), ("shard-2", "A-7", amount)]
    insert(client, mirror, [mirror_row(billing_change(2, deleted=True, row=False))])
    assert client.query(view).result_rows == [("shard-2", "A-7", amount)]


def test_every_view_answers_an_analyst_who_cannot_write(server: Server, client: Client) -> None:
    for definition in DEFINITIONS.values():
        insert(client, definition, edge_rows(definition)[:1])
    analyst = server.analyst()
    shown = {view.name: analyst.query(f"SELECT * FROM {DATABASE}.{view.name}").row_count for view in VIEWS}
    # One row for each month from the first occurrence on.
    assert shown.pop("v_period_status") > 1
    assert set(shown.values()) == {1}
    with pytest.raises(DatabaseError):
        analyst.command(f"INSERT INTO {DATABASE}.schema_migration (number) VALUES (9)")
    with pytest.raises(DatabaseError):
        analyst.command(f"DROP VIEW {DATABASE}.v_orders")


def test_resolved_discrepancies_are_not_among_the_open_ones(client: Client) -> None:
    large, zero, odd = edge_rows(DISCREPANCY)
    place = [column.name for column in DISCREPANCY.columns].index("status")
    rows = [
        (*row[:place], status, *row[place + 1 :])
        for row, status in ((large, "open"), (zero, "regressed"), (odd, "auto-resolved"))
    ]
    insert(client, DISCREPANCY, rows)
    counts = [
        client.query(f"SELECT count() FROM {DATABASE}.{view}").result_rows[0][0]
        for view in ("v_discrepancies", "v_open_discrepancies")
    ]
    assert counts == [3, 2]


def test_the_grants_for_a_server_are_sql_that_the_engine_parses(client: Client) -> None:
    text = GRANTS.read_text(encoding="utf-8").replace("{database}", DATABASE)
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    statements = [statement for statement in code.split(";\n") if statement.strip()]
    assert len(statements) == 3
    for statement in statements:
        assert client.query(f"EXPLAIN AST {statement}").row_count > 0
