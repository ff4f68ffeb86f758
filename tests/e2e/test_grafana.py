"""Grafana's files on a running stack: every query runs as the analyst, every metric that is asked for is told."""

from __future__ import annotations

import base64
import http.client
import time
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dashboards.grafana.files import grafana_files
from dashboards.grafana.provisioning import ANALYST, QUERY_TIMEOUT_SECONDS, Places
from tests.e2e.rig import Rig, new_seed
from tests.grafana_documents import OURS, objects_in
from tests.grafana_macros import Range, expanded
from trueup.embedded.ports import LOOPBACK
from trueup.embedded.scrape_targets import TARGETS_FILE
from trueup.embedded.supervisor import Supervisor

pytestmark = pytest.mark.integration

QUERY_SECONDS_MAX = 20.0
# What the plugin's driver adds: the row limit of Grafana, and 5 s more than the timeout that it was told.
SENT_WITH = {"default_format": "Native", "limit": "1000000", "max_execution_time": str(QUERY_TIMEOUT_SECONDS + 5)}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    rig = Rig(tmp_path_factory.mktemp("grafana"), workers=2, dashboard=True)
    try:
        rig.open()
        with rig.load(new_seed()):
            time.sleep(1)
        rig.settle()
        yield rig
    finally:
        rig.close()


@pytest.fixture(scope="module")
def files(rig: Rig) -> list[dict[str, Any]]:
    server = rig.settings.clickhouse
    places = Places(server.host, server.port, server.database, "http://127.0.0.1:9090", "/srv/dashboards")
    return [orjson.loads(content) for content in grafana_files(places, Decimal(100_000)).values()]


def get(port: int, path: str) -> tuple[int, bytes]:
    client = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def asked_as_grafana(rig: Rig, sql: str, **more: str) -> bytes:
    """The answer to a query as the plugin sends it over HTTP: Basic authentication, settings as parameters."""
    server = rig.settings.clickhouse
    password = server.analyst_password.get_secret_value()
    token = base64.b64encode(f"{ANALYST}:{password}".encode()).decode()
    parameters = urllib.parse.urlencode({"database": server.database, **SENT_WITH, **more})
    client = http.client.HTTPConnection(server.host, server.port, timeout=60)
    try:
        client.request("POST", f"/?{parameters}", sql, {"Authorization": f"Basic {token}"})
        answer = client.getresponse()
        body = answer.read()
        assert answer.status == 200, f"{body[:500].decode(errors='replace')}\n{sql}"
        return body
    finally:
        client.close()


def scraped(supervisor: Supervisor, directory: Path) -> set[str]:
    """The names of all samples that Prometheus would read from the processes in the targets file."""
    targets = orjson.loads((directory / TARGETS_FILE).read_bytes())
    assert {target["labels"]["service"] for target in targets} >= {"cdc", "worker-1", "worker-2", "dashboard"}
    names = set()
    for target in targets:
        (address,) = target["targets"]
        status, body = get(int(address.rpartition(":")[2]), "/metrics")
        assert status == 200
        names |= {sample.name for family in text_string_to_metric_families(body.decode()) for sample in family.samples}
    return names


@pytest.mark.slow
def test_every_query_answers_as_the_analyst_in_time(rig: Rig, files: list[dict[str, Any]]) -> None:
    now = datetime.now(UTC)
    within = Range(now - timedelta(days=1), now, timedelta(minutes=1))
    each = [held for document in files for held in objects_in(document)]
    queries = [held["rawSql"] for held in each if "rawSql" in held]
    queries += [held["query"] for held in each if held.get("type") == "query"]
    filled = 0
    for sql in queries:
        for chosen in ([], ["EUR", "USD"]):
            text = expanded(sql, within, {"currency": chosen})
            began = time.monotonic()
            asked_as_grafana(rig, text)
            assert time.monotonic() - began < QUERY_SECONDS_MAX, text
            rows = orjson.loads(asked_as_grafana(rig, text, default_format="JSONCompact"))["rows"]
            assert rows >= 0
            filled += rows > 0
    assert filled > len(queries), "most queries find something in these books"


@pytest.mark.slow
def test_the_alarm_on_the_audit_log_is_silent_on_a_whole_one(rig: Rig, files: list[dict[str, Any]]) -> None:
    (sql,) = {
        held["rawSql"] for document in files for held in objects_in(document) if "lagInFrame" in held.get("rawSql", "")
    }
    answer = orjson.loads(asked_as_grafana(rig, sql, default_format="JSONCompact"))
    assert [int(row[1]) for row in answer["data"]] == [0]
    assert rig.query("SELECT count() > 10 FROM {db}.audit_log") == [(1,)]


@pytest.mark.slow
def test_every_metric_that_is_asked_for_is_told(rig: Rig, files: list[dict[str, Any]]) -> None:
    expressions = [held["expr"] for document in files for held in objects_in(document) if "expr" in held]
    # One request to a page, so that the dashboard has something to tell.
    dashboard = next(state for state in rig.supervisor.states() if state.name == "dashboard")
    assert dashboard.port is not None
    assert get(dashboard.port, "/readyz")[0] == 200
    told = scraped(rig.supervisor, rig.stack.data_dir)
    asked = {name for expression in expressions for name in OURS.findall(expression)}
    assert asked - told == set()


@pytest.mark.slow
def test_processes_say_that_they_live_and_can_work(rig: Rig) -> None:
    for state in rig.supervisor.states():
        if state.name == "cdc" or state.name.startswith("worker-"):
            assert state.port is not None
            assert get(state.port, "/healthz") == (200, b'{"alive":true}')
            status, body = get(state.port, "/readyz")
            told = orjson.loads(body)
            assert (status, told["ready"]) == (200, True), body


@pytest.mark.slow
def test_an_outage_makes_processes_unready_and_not_dead(rig: Rig) -> None:
    ports = {state.name: state.port for state in rig.supervisor.states() if state.port is not None}
    rig.supervisor.pause("kafka")
    try:
        rig.wait("the reader is not ready", lambda: get(ports["cdc"], "/readyz")[0] == 503, 60, "cdc")
        rig.wait("a worker is not ready", lambda: get(ports["worker-1"], "/readyz")[0] == 503, 60, "worker-1")
        assert orjson.loads(get(ports["cdc"], "/readyz")[1])["parts"]["kafka"]["ready"] is False
        assert orjson.loads(get(ports["worker-1"], "/readyz")[1])["parts"]["kafka"]["ready"] is False
        assert {get(ports[name], "/healthz")[0] for name in ("cdc", "worker-1")} == {200}
    finally:
        rig.supervisor.resume("kafka")
    for name in ("cdc", "worker-1", "worker-2", "dashboard"):
        rig.wait(f"{name} is ready again", lambda name=name: get(ports[name], "/readyz")[0] == 200, 120, name)  # type: ignore[misc]
