"""What docs/analysts.md says is true: its queries run as the analyst, and give the columns that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from clickhouse_connect.driver.client import Client

from clickhouse.analyst import AnalystClient
from clickhouse.columns import mirror_row, to_arrow
from clickhouse.schema import MIRRORS
from tests.integration.clickhouse_books import Server, running_server
from tests.integration.running_books import SIZE, running_books
from trueup.model import tables
from trueup.model.change import Change
from trueup.settings import Settings

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "analysts.md"
QUESTION = re.compile(r"^### (\d+)\. (.+?)\n+```sql\n(.*?)^```\n+Gives (.*?):", re.MULTILINE | re.DOTALL)


class Question(NamedTuple):
    """One of the worked queries, with the columns that it is said to give."""

    title: str
    query: str
    columns: list[str]


QUESTIONS = {
    int(number): Question(title, query, re.findall(r"`(\w+)`", gives))
    for number, title, query, gives in QUESTION.findall(PAGE.read_text(encoding="utf-8"))
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("clickhouse") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def settings(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_books(tmp_path_factory.mktemp("stack"), server) as held:
        yield held


@pytest.fixture(scope="module")
def analyst(settings: Settings) -> Iterator[AnalystClient]:
    with AnalystClient(settings.clickhouse) as client:
        yield client


@pytest.fixture(scope="module")
def given(server: Server, settings: Settings) -> dict[str, str]:
    """Values for the parameters of the page, chosen so that there is something to find."""
    del settings
    client = server.client()
    statement = client.query(
        "SELECT statement_id FROM trueup.v_billing_items GROUP BY statement_id ORDER BY count() DESC, statement_id LIMIT 1"
    ).result_rows[0][0]
    client.close()
    month = datetime(SIZE.until.year, SIZE.until.month - 1, 1)  # noqa: DTZ001 - only its text is used
    return {"id": statement, "month": month.strftime("%Y-%m-%d"), "since": month.strftime("%Y-%m-%d %H:%M:%S")}


def test_ten_questions_are_answered() -> None:
    assert sorted(QUESTIONS) == list(range(1, 11))


@pytest.mark.parametrize("number", QUESTIONS)
def test_a_question_of_the_page_is_answered(number: int, analyst: AnalystClient, given: dict[str, str]) -> None:
    asked = QUESTIONS[number]
    parameters = {name: given[name] for name in set(re.findall(r"\{(\w+):", asked.query))}
    answer = analyst.query(asked.query, parameters, 1_000)
    assert list(answer.names) == asked.columns
    assert answer.row_count > 0, asked.title


def item(number: int, version: int, amount_minor: int, *, deleted: bool = False) -> Change:
    values = (number, "A-1", 7, 9, "sale", "no", amount_minor, "USD", "paid", 4, 5)
    row = None if deleted else values
    return Change(tables.BILLING_ITEM, "example", "A-1", number, version, 6, deleted, row, (), 3, version)


def sum_of(client: Client, source: str) -> Decimal:
    rows = client.query(f"SELECT sum(amount) FROM {source} WHERE source = 'example'").result_rows
    return Decimal(rows[0][0])


def test_the_example_of_final_is_true(server: Server, settings: Settings) -> None:
    del settings
    client = server.client()
    client.command("SYSTEM STOP MERGES trueup.billing_item")
    mirror = MIRRORS["billing_item"]
    for change in (item(1, 1, 800), item(2, 1, 500), item(1, 2, 900), item(2, 2, 0, deleted=True)):
        client.insert_arrow(mirror.name, to_arrow(mirror, [mirror_row(change)]), database="trueup")
    text = PAGE.read_text(encoding="utf-8")
    for source in ("billing_item", "billing_item FINAL", "v_billing_items"):
        assert f"| `SELECT count(), sum(amount) FROM {source}` |" in text
    count = client.query("SELECT count() FROM trueup.billing_item FINAL WHERE source = 'example'").result_rows[0][0]
    found = (sum_of(client, "trueup.billing_item"), sum_of(client, "trueup.billing_item FINAL"), count)
    assert found == (Decimal(22), Decimal(9), 2)
    assert sum_of(client, "trueup.v_billing_items") == 9
    assert sum_of(client, "trueup.v_billing_items FINAL") == 9
    client.close()
