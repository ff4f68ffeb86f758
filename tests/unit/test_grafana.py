"""The files for Grafana and Prometheus: deterministic, whole, without passwords, and every link leads somewhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from cdc.counters import ReaderCounters
from cdc.metrics import ReaderMetrics
from clickhouse.views import VIEWS
from dashboards.grafana.files import boards, grafana_files, write_grafana
from dashboards.grafana.panels import CLICKHOUSE_UID, COLUMNS, PROMETHEUS_UID
from dashboards.grafana.provisioning import PASSWORD_VARIABLE, Places
from dashboards.web.metrics import DashboardMetrics
from streams.metrics import WorkerFigures, WorkerMetrics
from tests.grafana_documents import OURS, objects_in
from tests.grafana_macros import Range, expanded
from trueup.cli import app
from trueup.model.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
PLACES = Places("127.0.0.1", 8123, "trueup", "http://127.0.0.1:9090", "/srv/dashboards")
DAY = Range(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC), timedelta(minutes=5))
SUFFIX = re.compile(r"_(?:bucket|sum|count)$")
FUNCTIONS = {
    "absent",
    "count",
    "deriv",
    "histogram_quantile",
    "increase",
    "max",
    "min",
    "rate",
    "sum",
    "time",
    "vector",
}
WORDS = {"and", "or", "by", "le"}


def documents() -> dict[str, Any]:
    return {path: orjson.loads(content) for path, content in grafana_files(PLACES, Decimal("5.5")).items()}


def expressions() -> list[str]:
    """Every PromQL expression of dashboards, Grafana's alarms and Prometheus' rules."""
    return [found["expr"] for held in documents().values() for found in objects_in(held) if "expr" in found]


def statements() -> list[str]:
    """Every SQL query, the choices at the head of a dashboard included."""
    found = [each for held in documents().values() for each in objects_in(held)]
    return [each["rawSql"] for each in found if "rawSql" in each] + [
        each["query"] for each in found if each.get("type") == "query"
    ]


def test_the_same_places_give_the_same_bytes() -> None:
    assert grafana_files(PLACES, Decimal(1)) == grafana_files(PLACES, Decimal(1))


def test_all_files_are_written_over_older_ones(tmp_path: Path) -> None:
    (tmp_path / "prometheus-rules.yaml").write_text("old")
    written = write_grafana(tmp_path, PLACES, Decimal(1))
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in written}
    assert files == grafana_files(PLACES, Decimal(1))


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_grafana(tmp_path / "file", PLACES, Decimal(1))


def test_the_password_is_a_variable_and_no_other_dollar_stands_in_provisioning() -> None:
    for path, content in grafana_files(PLACES, Decimal(1)).items():
        if path.startswith("provisioning/"):
            expected = 1 if "datasources" in path else 0
            assert content.count(b"$") == content.count(f"${PASSWORD_VARIABLE}".encode()) == expected, path


@pytest.mark.parametrize("board", boards("trueup"), ids=lambda board: board["uid"])
def test_panels_fit_the_page_and_do_not_overlap(board: dict[str, Any]) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & covered, panel["title"]
        cells |= covered
        assert panel["title"]
        assert panel["description"]
    numbers = [panel["id"] for panel in board["panels"]]
    assert numbers == list(range(1, len(numbers) + 1))


def test_what_must_be_unique_is() -> None:
    held = documents()
    uids = [each["uid"] for path, each in held.items() if path.startswith("dashboards/")]
    rules = [rule for group in held["provisioning/alerting/trueup.yaml"]["groups"] for rule in group["rules"]]
    assert len(set(uids)) == len(uids) == 4
    assert len({rule["uid"] for rule in rules}) == len({rule["title"] for rule in rules}) == len(rules)
    assert all(len(rule["uid"]) <= 40 for rule in rules)


def test_every_query_names_a_data_source_that_is_provisioned() -> None:
    sources = {source["uid"] for source in documents()["provisioning/datasources/trueup.yaml"]["datasources"]}
    assert sources == {CLICKHOUSE_UID, PROMETHEUS_UID}
    for held in documents().values():
        for each in objects_in(held):
            if "rawSql" in each:
                assert each["datasource"]["uid"] == CLICKHOUSE_UID
                assert each["format"] == {"timeseries": 0, "table": 1}[each["queryType"]]
            if "legendFormat" in each:
                assert each["datasource"]["uid"] == PROMETHEUS_UID


def test_metrics_that_are_asked_for_are_told() -> None:
    registries = (
        WorkerMetrics(lambda: WorkerFigures(ready=True, heartbeat_us=0, stages=[])).registry,
        ReaderMetrics(ReaderCounters()).registry,
        DashboardMetrics(lambda: 0).registry,
    )
    endings = {"counter": "_total", "info": "_info"}
    told = {family.name + endings.get(family.type, "") for registry in registries for family in registry.collect()} | {
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    }
    asked = {SUFFIX.sub("", name) for expression in expressions() for name in OURS.findall(expression)}
    assert asked - told == set()
    assert len(asked) > 15


def test_expressions_are_well_formed() -> None:
    for expression in expressions():
        bare = re.sub(r'"[^"]*"', "", re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", expression))
        assert bare.count("(") == bare.count(")"), expression
        calls = set(re.findall(r"\b([a-z_]+)\s*\(", bare)) - WORDS
        assert calls <= FUNCTIONS, expression


def test_queries_read_views_and_nothing_below_them() -> None:
    views = {view.name for view in VIEWS}
    for sql in statements():
        read = set(re.findall(r"\b(?:FROM|JOIN) ([\w.]+)", sql))
        assert read, sql
        assert {name.removeprefix("trueup.") for name in read} <= views, sql
        assert all(name.startswith("trueup.") for name in read), sql


def test_queries_have_a_bound() -> None:
    for sql in statements():
        is_single = sql.startswith(("SELECT count", "SELECT uniqExact", "SELECT now()"))
        assert is_single or " LIMIT " in sql or "$__timeFilter" in sql or "$__dateFilter" in sql, sql


def test_runbooks_lead_to_sections_of_the_operations_page() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    linked = [
        each["runbook_url"].partition("#")
        for held in documents().values()
        for each in objects_in(held)
        if "runbook_url" in each
    ]
    assert len(linked) > 20
    assert {page for page, _, _ in linked} == {"docs/operations.md"}
    assert {anchor for _, _, anchor in linked} <= anchors


def test_prometheus_rules_have_the_form_that_it_takes() -> None:
    (group,) = documents()["prometheus-rules.yaml"]["groups"]
    assert set(group) == {"name", "interval", "rules"}
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"])
        assert re.fullmatch(r"\d+m", rule["for"])
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"].endswith(".")


def test_every_grafana_rule_reduces_a_query_and_compares_it() -> None:
    for group in documents()["provisioning/alerting/trueup.yaml"]["groups"]:
        for rule in group["rules"]:
            assert [step["refId"] for step in rule["data"]] == ["A", "B", "C"]
            assert rule["condition"] == "C"
            query, reduce, compare = (step["model"] for step in rule["data"])
            assert (reduce["type"], reduce["expression"]) == ("reduce", "A")
            assert (compare["type"], compare["expression"]) == ("threshold", "B")
            if "rawSql" in query:
                assert query["rawSql"].startswith("SELECT now() AS time, ")
                assert " AS value " in query["rawSql"]


def test_every_alarm_is_on_the_page_of_monitoring() -> None:
    text = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
    groups = documents()["provisioning/alerting/trueup.yaml"]["groups"]
    severities = {rule["title"]: rule["labels"]["severity"] for group in groups for rule in group["rules"]}
    assert dict(re.findall(r"^\| `(Trueup\w+)` \| .+ \| (\w+) \|$", text, re.MULTILINE)) == severities


def test_the_limit_of_money_at_risk_reaches_its_rule() -> None:
    groups = documents()["provisioning/alerting/trueup.yaml"]["groups"]
    (rule,) = [rule for group in groups for rule in group["rules"] if rule["title"] == "TrueupMoneyAtRisk"]
    assert rule["data"][2]["model"]["conditions"] == [{"evaluator": {"type": "gt", "params": [5.5]}}]


@pytest.mark.parametrize("chosen", [[], ["EUR"], ["EUR", "O'D"]])
def test_every_macro_is_one_of_the_plugin(chosen: list[str]) -> None:
    texts = [expanded(sql, DAY, {"currency": chosen}) for sql in statements()]
    assert all(text.count("(") == text.count(")") for text in texts)


def test_macros_become_what_the_plugin_says() -> None:
    sql = "SELECT $__timeInterval(at) AS time WHERE $__timeFilter(at) AND $__conditionalAll(c IN (${c:sqlstring}), $c)"
    filtered = "at >= toDateTime(1795132800) AND at <= toDateTime(1795219200)"
    interval = "toStartOfInterval(toDateTime(at), INTERVAL 300 second)"
    assert expanded(sql, DAY, {"c": ["a", "b"]}) == f"SELECT {interval} AS time WHERE {filtered} AND c IN ('a','b')"
    assert expanded(sql, DAY, {"c": []}).endswith(" AND 1=1")
    assert expanded("$__dateFilter(d)", DAY, {}) == "d >= toDate('2026-11-20') AND d <= toDate('2026-11-21')"


def test_the_command_writes_for_the_settings_where_no_stack_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUEUP_CLICKHOUSE__HOST", "books.internal")
    result = CliRunner().invoke(app, ["grafana", "write", "out", "--risk-limit", "2500"], catch_exceptions=False)
    assert result.exit_code == 0
    sources = orjson.loads((tmp_path / "out/provisioning/datasources/trueup.yaml").read_bytes())
    assert sources["datasources"][0]["jsonData"]["host"] == "books.internal"
    providers = orjson.loads((tmp_path / "out/provisioning/dashboards/trueup.yaml").read_bytes())["providers"]
    assert providers[0]["options"]["path"] == str(tmp_path / "out/dashboards")
    assert PASSWORD_VARIABLE in result.stdout


@pytest.mark.parametrize("limit", ["much", "-1", "NaN", "Infinity"])
def test_the_command_refuses_what_is_no_amount(tmp_path: Path, limit: str) -> None:
    result = CliRunner().invoke(app, ["grafana", "write", str(tmp_path), f"--risk-limit={limit}"])
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.where == "--risk-limit"
    assert list(tmp_path.iterdir()) == []
