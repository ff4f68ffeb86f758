"""`trueup sql` and `trueup report` on a real endpoint: what they print and write, and how mistakes are told."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from clickhouse.analyst import AnalystClient
from dashboards.report.build import build_report
from tests.integration.clickhouse_books import running_server
from tests.integration.running_books import SIZE, running_books
from trueup.cli import app
from trueup.model.errors import TrueupError
from trueup.settings import Settings

pytestmark = pytest.mark.integration

RULES = "SELECT rule, currency, count() AS cases, sum(coalesce(delta, 0)) AS delta FROM v_open_discrepancies GROUP BY ALL ORDER BY ALL"
DAY = SIZE.until.date() - timedelta(days=3)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    directory = tmp_path_factory.mktemp("stack")
    with (
        running_server(tmp_path_factory.mktemp("clickhouse") / "data") as server,
        running_books(directory, server) as held,
    ):
        yield held


def sql(settings: Settings, *options: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["sql", "--data-dir", str(settings.data_dir), *options], input=given)


def mistake(settings: Settings, *options: str, given: str | None = None) -> TrueupError:
    error = sql(settings, *options, given=given).exception
    assert isinstance(error, TrueupError), error
    return error


def test_every_format_has_the_same_exact_amounts(settings: Settings, tmp_path: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(sql(settings, RULES, "--format", "csv").stdout)))
    array = orjson.loads(sql(settings, RULES, "--format", "json").stdout)
    each = [orjson.loads(line) for line in sql(settings, RULES, "--format", "jsonl").stdout.splitlines()]
    path = tmp_path / "rules.parquet"
    assert sql(settings, RULES, "--format", "parquet", "--output", str(path)).exit_code == 0
    parquet = pq.read_table(path).to_pylist()
    assert len(lines) > 3
    amounts = [Decimal(row["delta"]) for row in lines]
    assert array == each
    assert [type(row["delta"]) for row in array] == [str] * len(lines)
    assert [Decimal(row["delta"]) for row in array] == amounts
    assert [row["delta"] for row in parquet] == amounts
    assert [path.name for path in tmp_path.iterdir()] == ["rules.parquet"]


def test_a_table_counts_what_it_does_not_show(settings: Settings) -> None:
    shown = sql(settings, "SELECT order_id FROM v_orders ORDER BY order_id", "--rows", "3").stdout.splitlines()
    assert len(shown) == 5
    assert shown[-1].startswith(f"{SIZE.orders:,} rows, {SIZE.orders - 3:,} of them not shown")


def test_a_query_comes_from_a_file_or_a_pipe_with_bound_values(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "one.sql"
    path.write_text("SELECT {text:String} AS said, {day:Date} AS day;\n")
    values = ("--param", "text='; DROP TABLE kept --", "--param", "day=2026-11-20", "--format", "jsonl")
    expected = {"said": "'; DROP TABLE kept --", "day": "2026-11-20"}
    assert orjson.loads(sql(settings, "--file", str(path), *values).stdout) == expected
    assert orjson.loads(sql(settings, *values, given=path.read_text()).stdout) == expected


@pytest.mark.parametrize(
    ("query", "what", "remedy"),
    [
        ("SELEC 1", "Syntax error", "check the text"),
        ("SELECT no_such FROM v_cases", "no_such", "--describe"),
        ("SELECT 1 FROM v_nothing", "v_nothing", "--list"),
        ("SELECT * FROM case_wide", "Not enough privileges. To execute", "an analyst reads the views"),
        ("DROP TABLE v_cases", "may only read", "an analyst reads the views"),
        ("SELECT {id:String}", "is not set (code 456)", "--param"),
        ("SELECT number FROM numbers(2000000)", "code 396", "LIMIT"),
        ("SELECT sleepEachRow(0.1) FROM numbers(30) SETTINGS max_threads = 9", "code 164", "leave the setting out"),
        ("SELECT 1; SELECT 2", "Multi-statements", "one statement"),
    ],
)
def test_a_mistake_is_told_in_a_line_with_its_remedy(settings: Settings, query: str, what: str, remedy: str) -> None:
    error = mistake(settings, query)
    assert what in error.what
    assert remedy in error.remedy
    assert "\n" not in error.what
    assert "127.0.0.1" in error.where or error.where == "the query"
    assert mistake(settings, query, "--format", "csv").remedy == error.remedy


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("SELECT 1", "--param", "x"), "is no parameter"),
        (("SELECT 1", "--file", "x.sql"), "a query and a file"),
        (("--file", "/nowhere/x.sql"), "cannot be read"),
        (("--describe", "v_nothing"), "no view"),
        (("SELECT 1", "--format", "csv", "--output", "/nowhere/x.csv"), "cannot be written"),
        ((" ; ",), "empty"),
    ],
)
def test_wrong_options_are_told(settings: Settings, options: tuple[str, ...], what: str) -> None:
    assert what in mistake(settings, *options).what


def test_views_are_listed_and_described_without_a_stack(tmp_path: Path) -> None:
    listed = CliRunner().invoke(app, ["sql", "--list", "--data-dir", str(tmp_path)])
    assert "v_period_status" in listed.stdout
    described = CliRunner().invoke(app, ["sql", "--describe", "v_cases", "--data-dir", str(tmp_path)])
    assert "standing" in described.stdout


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_report_is_written_as_html_and_pdf(settings: Settings, tmp_path: Path, language: str) -> None:
    arguments = ["report", "--date", DAY.isoformat(), "--zone", "Asia/Shanghai", "--language", language, "--pdf"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "new"), "--data-dir", str(settings.data_dir)])
    assert done.exit_code == 0, done.exception
    html, pdf = (Path(line) for line in done.stdout.splitlines())
    assert html.read_text(encoding="utf-8").count("<table>") > 8
    assert pdf.read_bytes().startswith(b"%PDF-")


def test_every_query_of_the_report_can_be_run_as_it_is_shown(settings: Settings) -> None:
    with AnalystClient(settings.clickhouse) as client:
        made = build_report(client, DAY, "Europe/Berlin", "en")
        rows = {section.plan.key: len(section.rows) for section in made.sections}
        again = {section.plan.key: client.query(section.query.shown(), {}, 1).row_count for section in made.sections}
    assert again == rows
    assert rows["risk"] > 0


def test_the_day_after_begins_with_what_the_day_left_open(settings: Settings) -> None:
    with AnalystClient(settings.clickhouse) as client:
        today, next_day = (
            {section.plan.key: section.rows for section in build_report(client, day, "UTC", "en").sections}
            for day in (DAY, DAY + timedelta(days=1))
        )
    left = {row["currency"]: (row["cases"], row["at_risk"]) for row in today["risk"] if row["cases"]}
    found = {row["currency"]: (row["cases_before"], row["at_risk_before"]) for row in next_day["risk"]}
    assert {currency: pair for currency, pair in found.items() if pair[0]} == left
    by_rule = {currency: sum(row["cases"] for row in today["open"] if row["currency"] == currency) for currency in left}
    by_age = {
        currency: sum(row["cases"] for row in today["ageing"] if row["currency"] == currency) for currency in left
    }
    assert by_rule == by_age == {currency: cases for currency, (cases, _) in left.items()}
