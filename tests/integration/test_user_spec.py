"""docs/specs.md as a user follows it: from CREATE TABLE to the first discrepancy and its end, beside other specs."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import psycopg2
import pytest
from clickhouse_connect.driver.client import Client

from clickhouse.client import connect
from tests.integration.cdc_stack import read_topics
from trueup.settings import StreamSettings
from trueup.stack import Stack
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.workload import run

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "specs.md"
WAIT_SECONDS = 180.0
ORDERS = 120

THREE_WAY = """
name = "three-way"
version = 1

[[group]]
name = "sale"
key = ["order"]

[[group.leg]]
name = "sold"
table = "orders"
primary_key = "order_id"
match = ["order_id"]
currency = "currency"
status = "status"
columns = { order_id = "id", gross_amount = "money", currency = "currency", status = "text" }

[[group.leg]]
name = "entry"
table = "ledger_entry"
primary_key = ["entity", "entry_no"]
match = ["reference"]
currency = "currency"
columns = { entity = "text", entry_no = "int", reference = "text", amount = "money", currency = "currency" }

[[group.leg]]
name = "line"
table = "public.bank_line"
primary_key = "line_id"
match = ["reference"]
currency = "currency"
columns = { line_id = "id", reference = "text", amount = "money", currency = "currency" }

[[group.rule]]
name = "sold-not-posted"
kind = "sum"
class = "wrong-amount"
when = "count(sold) > 0 and count(entry) > 0"
expected = "sum(sold, sold.gross_amount)"
actual = "sum(entry, entry.amount)"
detail = "posted otherwise than sold"

[[group.rule]]
name = "posted-not-paid"
kind = "sum"
class = "wrong-amount"
when = "count(entry) > 0 and count(line) > 0 and count(sold) > 0"
expected = "sum(entry, entry.amount)"
actual = "sum(line, line.amount)"
detail = "paid otherwise than posted"
"""


class Walk:
    """The section of the page, step by step."""

    def __init__(self) -> None:
        section = PAGE.read_text(encoding="utf-8").split("\n## Your own tables\n")[1].split("\n## ")[0]
        blocks = re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        self.create, self.ask, self.correct = [text for language, text in blocks if language == "sql"]
        self.spec, self.settings = [text for language, text in blocks if language == "toml"]
        (head, *cells) = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
        names = [name.strip() for name in head]
        self.told = [dict(zip(names, (cell.strip(" `") for cell in row), strict=True)) for row in cells]


def execute(stack: Stack, statements: str) -> None:
    with contextlib.closing(psycopg2.connect(stack.postgres.dsn())) as connection:
        with connection.cursor() as cursor:
            cursor.execute(statements)
        connection.commit()


def rows(client: Client, query: str) -> list[dict[str, str]]:
    result = client.query(query)
    return [
        {name: f"{value.normalize():f}" if name in {"expected", "actual"} else str(value)
         for name, value in zip(result.column_names, row, strict=True)}
        for row in result.result_rows
    ]  # fmt: skip


def wait_until(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS:.0f} s: {what}"
        time.sleep(0.2)


def published(stack: Stack, spec: str) -> set[tuple[Any, ...]]:
    """(rule, status, entity) of the messages about a spec on the topic of wrong amounts; a new owner may tell them again."""
    messages = [
        orjson.loads(one.value) for one in read_topics(stack.settings.kafka.bootstrap, ("discrepancy.wrong-amount",))
    ]
    return {(one["rule"], one["status"], one["entity_id"]) for one in messages if one["spec"] == spec}


@pytest.mark.timeout(800)
def test_the_page_leads_to_a_discrepancy_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk()
    monkeypatch.chdir(tmp_path)
    streams = StreamSettings(flush_interval_seconds=0.5)
    before = Stack(tmp_path / "data", partitions=4, streams=streams)
    with before.running():
        execute(before, walk.create)
        run(before.postgres.dsn(), WorkloadPlan(orders=ORDERS, seed=7, traps=False))

    (tmp_path / "ledger.toml").write_text(walk.spec)
    (tmp_path / "three-way.toml").write_text(THREE_WAY)
    (tmp_path / "trueup.toml").write_text(walk.settings.replace('"ledger.toml"', '"ledger.toml", "three-way.toml"'))
    stack = Stack(tmp_path / "data", partitions=4, streams=streams)
    with stack.running():
        client = connect(stack.settings.clickhouse)
        wait_until("the page's discrepancy", lambda: rows(client, walk.ask) == walk.told)
        assert published(stack, "ledger") == {("wrong-receipt", "open", '["DE89-1","R-1002"]')}

        execute(stack, walk.correct)
        resolved = [{**row, "status": "auto-resolved"} for row in walk.told]
        wait_until("it resolves", lambda: rows(client, walk.ask) == resolved)

        ((order, gross),) = client.query(
            "SELECT order_id, gross_amount FROM trueup.v_source_orders WHERE currency = 'USD' ORDER BY order_id LIMIT 1"
        ).result_rows
        execute(
            stack,
            f"INSERT INTO ledger_entry VALUES ('DE01', 9, 'DE89-1', '{order}', {gross}, 'USD', 'draft', now());"
            f"INSERT INTO bank_line VALUES (9, 'DE89-1', '{order}', {gross} - 0.01, 'USD', current_date)",
        )  # fmt: skip
        three = "SELECT rule, status FROM trueup.v_discrepancies WHERE entity_kind LIKE 'three-way.%'"
        wait_until("the third leg", lambda: [row["rule"] for row in rows(client, three)] == ["posted-not-paid"])
        held = "SELECT count() FROM trueup.v_groups WHERE spec = 'three-way' AND has(leg_name, 'sold')"
        assert client.query(held).result_rows == [(ORDERS,)], "a table of the settlement is a leg as well"
        orders = client.query("SELECT count(), countIf(verdict = 'discrepant') FROM trueup.v_orders").result_rows
        assert orders == [(ORDERS, 0)]
        assert client.query("SELECT count() FROM trueup.v_quarantine").result_rows == [(0,)]
        client.close()

    for directory in stack.data_dir.glob("worker-*"):
        shutil.rmtree(directory)
    again = Stack(tmp_path / "data", partitions=4, streams=streams)
    with again.running():
        client = connect(again.settings.clickhouse)
        execute(again, "UPDATE bank_line SET amount = 15.05 WHERE line_id = 2")
        regressed = [{**row, "status": "regressed"} for row in walk.told]
        wait_until("states come back from ClickHouse", lambda: rows(client, walk.ask) == regressed)
        assert client.query(held).result_rows == [(ORDERS,)]
        client.close()
