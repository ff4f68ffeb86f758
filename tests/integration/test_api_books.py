"""The JSON API against a real ClickHouse with made-up books: every list to its end, every entity, and whatever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.testclient import TestClient

from benchmarks.board_data import Size, fill
from clickhouse.case_reader import CaseReader
from clickhouse.client import connect
from dashboards.access.account import Role
from tests.access_stand import Stand
from tests.integration.clickhouse_books import running_server
from tests.integration.endpoint_process import DASHBOARD_PASSWORD
from trueup.settings import ClickHouseSettings

pytestmark = pytest.mark.integration

SIZE = Size(cases=1_500, orders=6_000, sellers=40)


class Api:
    """A program with a viewer's token."""

    def __init__(self, stand: Stand) -> None:
        stand.add("vera", Role.VIEWER)
        vera = stand.access.accounts.find("vera")
        assert vera is not None
        token = stand.access.tokens.make(vera, "test", Role.VIEWER, 1)
        self.client = TestClient(
            stand.app,
            "http://127.0.0.1:8080",
            raise_server_exceptions=True,
            headers={"Authorization": f"Bearer {token}"},
        )

    def get(self, path: str, **parameters: Any) -> Any:
        return self.client.get(f"/api/v1{path}", params=parameters)

    def rows(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        """All rows of a list, page by page."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = self.get(path, **parameters, after=after).json()
            found += page["rows"]
            after = page["next"]
            if after is None:
                return found


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder: Path = tmp_path_factory.mktemp("api")
    with running_server(folder / "clickhouse") as server:
        writer = server.client()
        fill(writer, "trueup", SIZE)
        writer.close()
        client = connect(ClickHouseSettings(port=server.port, user="dashboard", password=SecretStr(DASHBOARD_PASSWORD)))
        stand = Stand(folder, parts={"client": client, "cases": CaseReader(client, "trueup")})
        with pytest.MonkeyPatch.context() as patch:
            # Asked more often than a program may.
            patch.setattr(stand.access.throttle, "call_waits", lambda _token_id: 0)
            yield Api(stand)
        stand.close()
        client.close()


@pytest.mark.parametrize("sort", ["amount", "age", "opened"])
def test_pages_of_discrepancies_hold_each_once(api: Api, sort: str) -> None:
    whole = api.rows("/discrepancies", standing="all", sort=sort, limit=1_000)
    paged = api.rows("/discrepancies", standing="all", sort=sort, limit=250)
    assert len({row["discrepancy_id"] for row in whole}) == len(whole) > 1_000
    assert [row["discrepancy_id"] for row in paged] == [row["discrepancy_id"] for row in whole]


def test_amounts_are_exact_texts_and_times_are_utc(api: Api) -> None:
    rows = [row for row in api.rows("/discrepancies", standing="all", limit=1_000) if row["delta"] is not None]
    assert rows
    for row in rows[:200]:
        assert Decimal(row["delta"]) == Decimal(row["actual"] or 0) - Decimal(row["expected"] or 0)
        assert row["raised_at"].endswith("Z")
        assert "." not in row["delta"] if row["currency"] == "JPY" else True


def test_filters_are_those_of_the_command_line(api: Api) -> None:
    everything = api.rows("/discrepancies", standing="all", limit=1_000)
    rule = everything[0]["rule"]
    chosen = api.rows("/discrepancies", standing="all", rule=rule, limit=1_000)
    assert {row["discrepancy_id"] for row in chosen} == {
        row["discrepancy_id"] for row in everything if row["rule"] == rule
    }


def test_one_discrepancy_has_its_story(api: Api) -> None:
    row = api.get("/discrepancies", standing="all", limit=1).json()["rows"][0]
    story = api.get(f"/discrepancies/{row['discrepancy_id']}").json()
    assert story["seen"] == row["seen"]
    assert {"why", "evidence", "timeline", "raises"} <= story.keys()
    assert api.get(f"/discrepancies/{'0' * 32}").status_code == 404
    assert api.get("/discrepancies/xyz").status_code == 400


def test_orders_and_statements_and_their_items(api: Api) -> None:
    statements = api.rows("/statements", limit=100)
    assert len({row["statement_id"] for row in statements}) == len(statements) > 10
    one = statements[0]
    assert api.get(f"/statements/{one['statement_id']}").json()["statement"]["running_amount"] == one["running_amount"]
    held = next(row for row in statements if row["running_count"])
    items = api.rows(f"/statements/{held['statement_id']}/items", limit=7)
    assert len({item["billing_item_id"] for item in items}) == len(items)
    if items:
        order = api.get(f"/orders/{items[0]['order_id']}").json()
        assert order["order"]["order_id"] == items[0]["order_id"]
        assert {"orders", "billing_item", "payout_item"} == order["legs"].keys()
    for path in ("/orders/none", "/statements/none", "/quarantine/none/0/0"):
        assert api.get(path).status_code == 404


def test_quarantine_periods_and_status(api: Api) -> None:
    refused = api.rows("/quarantine", limit=50)
    for row in refused[:1]:
        place = f"/quarantine/{row['topic']}/{row['kafka_partition']}/{row['kafka_offset']}"
        assert api.get(place).json()["message"]["code"] == row["code"]
    periods = api.get("/periods", first="2020-01").json()["rows"]
    assert periods
    assert api.get("/periods", first="2026-02", last="2026-01").status_code == 400
    status = api.get("/status").json()
    assert {name: figure["error"] for name, figure in status.items()} == dict.fromkeys(status)
    assert status["discrepancies_by_rule"]["rows"]


NAMES = st.sampled_from(
    [
        "rule", "class", "standing", "seller", "currency", "severity", "assignee", "order", "statement", "min_amount",
        "older_than", "period", "sort", "limit", "after", "status", "verdict", "only_different", "topic", "code", "first",
        "last", "only_waiting", "events_", "",
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "opened~-1~" + "0" * 32, f"opened~{2**70}~" + "f" * 32, f"amount~{10**39}~" + "0" * 32, "age~1~x", "2262-01-01",
            "9999-12-31~1", "0001-01-01~1", "1970-01-01~' OR 1=1", "9" * 18 + "~99999~1~t", "1~1~" + "9" * 18 + "~t", "1e5",
            "9" * 34, "9999-12", "0001-01", "1000-01", "999999w", "\x00", "%", "'", "\\", "all", "EUR", "JPY", "true", "0", "-1",
            "1000", "1001", "~", "~~~", "{rows:UInt32}", "2026-11", "amount",
        ]
    ),
)  # fmt: skip
PATHS = st.sampled_from(["/discrepancies", "/statements", "/statements/1/items", "/quarantine", "/periods"])


@given(path=PATHS, pairs=st.lists(st.tuples(NAMES, TEXTS), max_size=3))
@settings(max_examples=200)
def test_whatever_is_asked_is_answered_or_refused_in_words(api: Api, path: str, pairs: list[tuple[str, str]]) -> None:
    answer = api.client.get(f"/api/v1{path}", params=pairs)
    assert answer.status_code in {200, 400}, answer.text
    if answer.status_code == 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["what"]


@given(
    path=st.sampled_from(["/orders/", "/statements/", "/discrepancies/", "/quarantine/t/"]), name=st.text(max_size=60)
)
@settings(max_examples=60)
def test_whatever_is_named_is_found_or_not(api: Api, path: str, name: str) -> None:
    answer = api.client.get(f"/api/v1{path}{quote(name, safe='')}")
    assert answer.status_code in {200, 307, 400, 404, 405}, answer.text
