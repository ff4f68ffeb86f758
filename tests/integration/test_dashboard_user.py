"""The dashboard's ClickHouse user reads everything that pages show, and can change nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from clickhouse.id_search import Match, find_ids
from clickhouse.migrate import migrate
from clickhouse.read_only import require_read_only
from tests.integration.endpoint_process import DASHBOARD_PASSWORD, ClickHouseServer
from trueup.model.errors import ConfigurationError

pytestmark = pytest.mark.integration

DISCREPANCY = "abcd" + "0" * 28
NUMBERED = "1234567" + "f" * 25
QUOTED = "it's \\ {id:String}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    running = ClickHouseServer(tmp_path_factory.mktemp("dashboard") / "data")
    running.start()
    with running.client() as client:
        migrate(client, "trueup")
        for table, column, value in (
            ("order_wide", "order_id", "42"),
            ("statement_wide", "statement_id", "42"),
            ("payout", "payout_id", "7"),
            ("account", "shop_id", QUOTED),
            ("discrepancy", "discrepancy_id", DISCREPANCY),
            ("discrepancy", "discrepancy_id", NUMBERED),
            ("order_wide", "order_id", NUMBERED[:6]),
        ):
            client.command(f"INSERT INTO trueup.{table} ({column}) VALUES ({{value:String}})", {"value": value})
    yield running
    running.stop()


@pytest.fixture
def dashboard(server: ClickHouseServer) -> Iterator[Client]:
    with server.client("dashboard", DASHBOARD_PASSWORD) as client:
        yield client


def test_it_reads_tables_and_views(dashboard: Client) -> None:
    assert dashboard.query("SELECT max(order_id) FROM trueup.order_wide").result_rows == [("42",)]
    assert dashboard.query("SELECT count() FROM trueup.v_cases").result_rows == [(0,)]


def test_a_query_may_say_how_it_is_run(dashboard: Client) -> None:
    query = "SELECT max(order_id) FROM trueup.order_wide FINAL SETTINGS do_not_merge_across_partitions_select_final = 1"
    assert dashboard.query(query).result_rows == [("42",)]
    assert dashboard.query("SELECT 1", settings={"max_threads": 1}).result_rows == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO trueup.order_wide (order_id) VALUES ('1')",
        "INSERT INTO trueup.order_wide SELECT * FROM trueup.order_wide",
        "INSERT INTO FUNCTION file('out.csv', 'CSV', 'a Int8') SELECT 1",
        "CREATE TABLE trueup.mine (a Int8) ENGINE = Memory",
        "DROP TABLE trueup.order_wide",
        "TRUNCATE TABLE trueup.order_wide",
        "ALTER TABLE trueup.order_wide DELETE WHERE 1",
        "DELETE FROM trueup.order_wide WHERE 1",
        "OPTIMIZE TABLE trueup.order_wide",
        "RENAME TABLE trueup.order_wide TO trueup.gone",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SYSTEM STOP MERGES",
        "CREATE USER me",
    ],
)
@pytest.mark.parametrize("session", [{}, {"session_id": "one"}], ids=["alone", "in a session"])
def test_it_changes_nothing(server: ClickHouseServer, statement: str, session: dict[str, str]) -> None:
    asked = server.client("dashboard", DASHBOARD_PASSWORD, autogenerate_session_id=False)
    with asked as client, pytest.raises(DatabaseError):
        client.command(statement, settings=session)
    with server.client() as client:
        assert client.query("SELECT count() FROM trueup.order_wide").result_rows == [(2,)]


def test_the_dashboard_starts_only_as_a_user_that_cannot_write(server: ClickHouseServer, dashboard: Client) -> None:
    require_read_only(dashboard, "trueup")
    with server.client() as writer, pytest.raises(ConfigurationError) as refused:
        require_read_only(writer, "trueup")
    assert "grants/dashboard.sql" in refused.value.remedy


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("42", [Match("order", "42"), Match("statement", "42")]),
        ("7", [Match("payout", "7")]),
        (QUOTED, [Match("seller", QUOTED)]),
        (DISCREPANCY, [Match("discrepancy", DISCREPANCY)]),
        (NUMBERED[:6], [Match("order", NUMBERED[:6])]),
        (NUMBERED[:7], [Match("discrepancy", NUMBERED)]),
        ("ABCD", [Match("discrepancy", DISCREPANCY)]),
        ("abc", []),
        ("abce", []),
        ("nothing", []),
        ("' OR 1 = 1 --", []),
    ],
)
def test_an_id_is_found(dashboard: Client, text: str, found: list[Match]) -> None:
    assert sorted(find_ids(dashboard, "trueup", text)) == found
