"""A query written out gives the same rows as the one with bound values, whatever people typed into it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clickhouse.query import Query, literal
from tests.integration.clickhouse_books import running_server

pytestmark = pytest.mark.integration
HOSTILE = "' OR 1=1; -- {x:String} \\' \\\\ \t\n\r\0 %s %(y)s ` \" /* 订单"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running_server(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server.client()


def rows(client: Client, query: Query) -> list[Any]:
    return list(client.query(query.text, parameters=dict(query.parameters)).result_rows)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example(text=HOSTILE, texts=[HOSTILE, ""], number=-1, amount=Decimal("-0.0001"), day=date(1970, 1, 1))
@given(
    text=TEXTS,
    texts=st.lists(TEXTS, max_size=4),
    number=st.integers(-(2**63), 2**63 - 1),
    amount=st.decimals(-(10**30), 10**30, places=4),
    day=st.dates(date(1925, 1, 1), date(2283, 11, 11)),
)
def test_shown_gives_the_same_rows(
    client: Client, text: str, texts: list[str], number: int, amount: Decimal, day: date
) -> None:
    query = Query(
        "SELECT {text:String}, {texts:Array(String)}, toInt64({number:Int64}), {amount:Decimal(76, 4)}, {day:Date32}, "
        "length({text:String}), has({texts:Array(String)}, {text:String})",
        {"text": text, "texts": texts, "number": number, "amount": amount, "day": day},
    )
    found = rows(client, query)
    assert found == [(text, texts, number, amount, day, len(text.encode()), text in texts)]
    assert list(client.query(query.shown()).result_rows) == found


def test_a_time_and_limits(client: Client) -> None:
    at = datetime(2025, 3, 4, 5, 6, 7, 89, UTC)
    query = Query(
        "SELECT {at:DateTime64(6, 'UTC')} FROM numbers({from:UInt64}, 10) LIMIT {rows:UInt32}",
        {"at": at, "from": 2**64 - 11, "rows": 2},
    )
    assert list(client.query(query.shown()).result_rows) == [(at,), (at,)]


@pytest.mark.parametrize("value", [1.5, datetime(2025, 1, 1), ["a"]])  # noqa: DTZ001 - the fault itself
def test_no_literal_for_what_is_not_exact(value: object) -> None:
    with pytest.raises(TypeError):
        literal(value, "String")
