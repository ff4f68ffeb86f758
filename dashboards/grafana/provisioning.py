"""Grafana's provisioning files and Prometheus' rules file. Pure.

Source: Grafana's file provisioning of data sources, dashboards and alert rules; Prometheus' alerting rules. No value has a
dollar sign but the password's variable: Grafana replaces variables in these files.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from dashboards.grafana.alarms import METRIC_ALARMS, RUNBOOK, MetricAlarm, QueryAlarm, query_alarms
from dashboards.grafana.panels import (
    CLICKHOUSE_TYPE,
    CLICKHOUSE_UID,
    PROMETHEUS_TYPE,
    PROMETHEUS_UID,
    Json,
    metric_target,
    sql_target,
)

PASSWORD_VARIABLE: Final = "TRUEUP_ANALYST_PASSWORD"  # noqa: S105 - the name of a variable
ANALYST: Final = "analyst"
FOLDER: Final = "trueup"
QUERY_TIMEOUT_SECONDS: Final = 30
"""The data source asks for 5 s more than it is told, and an analyst may not ask for more than 60 s."""

ALARM_RANGE_SECONDS: Final = 600
INTERVAL_SECONDS: Final = 30
BOOKS_INTERVAL_SECONDS: Final = 300
"""How often alarms look: those on metrics, and those that read the books."""


class Places(NamedTuple):
    """Where Grafana finds things, as it sees them itself.

    Args:
        clickhouse_host, clickhouse_port: ClickHouse over HTTP.
        database: holds the views.
        prometheus_url: Prometheus.
        dashboards_dir: folder with the dashboards' JSON.
        runbook_url: page with what to do, without the section.
    """

    clickhouse_host: str
    clickhouse_port: int
    database: str
    prometheus_url: str
    dashboards_dir: str
    runbook_url: str = RUNBOOK


def data_sources(places: Places) -> Json:
    """`provisioning/datasources`: ClickHouse as the read-only analyst, and Prometheus."""
    clickhouse = {
        "name": "trueup ClickHouse",
        "uid": CLICKHOUSE_UID,
        "type": CLICKHOUSE_TYPE,
        "jsonData": {
            "host": places.clickhouse_host,
            "port": places.clickhouse_port,
            "protocol": "http",
            "secure": False,
            "username": ANALYST,
            "defaultDatabase": places.database,
            "dialTimeout": "10",
            "queryTimeout": str(QUERY_TIMEOUT_SECONDS),
        },
        "secureJsonData": {"password": f"${PASSWORD_VARIABLE}"},
    }
    prometheus = {
        "name": "trueup Prometheus",
        "uid": PROMETHEUS_UID,
        "type": PROMETHEUS_TYPE,
        "access": "proxy",
        "url": places.prometheus_url,
        "jsonData": {"httpMethod": "POST", "timeInterval": "5s"},
    }
    return {"apiVersion": 1, "datasources": [clickhouse, prometheus]}


def dashboard_provider(places: Places) -> Json:
    """`provisioning/dashboards`: the folder that Grafana reads dashboards from."""
    provider = {
        "name": "trueup",
        "folder": FOLDER,
        "folderUid": "trueup",
        "type": "file",
        "allowUiUpdates": False,
        "disableDeletion": False,
        "updateIntervalSeconds": 30,
        "options": {"path": places.dashboards_dir},
    }
    return {"apiVersion": 1, "providers": [provider]}


def prometheus_rules(places: Places) -> Json:
    """The rules file of Prometheus: every alarm that metrics can tell."""
    rules = [
        {
            "alert": f"Trueup{alarm.name}",
            "expr": alarm.expression,
            "for": f"{alarm.minutes}m",
            "labels": {"severity": alarm.severity},
            "annotations": _annotations(alarm, places),
        }
        for alarm in METRIC_ALARMS
    ]
    return {"groups": [{"name": "trueup", "interval": f"{INTERVAL_SECONDS}s", "rules": rules}]}


def alert_rules(places: Places, risk_limit: Decimal) -> Json:
    """`provisioning/alerting`: the same alarms and those that read the books, evaluated by Grafana."""
    metrics = [_rule(alarm, metric_target(alarm.expression, instant=True), None, places) for alarm in METRIC_ALARMS]
    books = [
        _rule(alarm, sql_target(alarm.sql, "timeseries"), alarm.limit, places)
        for alarm in query_alarms(places.database, risk_limit)
    ]
    return {
        "apiVersion": 1,
        "groups": [
            _group("trueup metrics", INTERVAL_SECONDS, metrics),
            _group("trueup books", BOOKS_INTERVAL_SECONDS, books),
        ],
    }


def _group(name: str, interval_seconds: int, rules: Sequence[Json]) -> Json:
    return {"orgId": 1, "name": name, "folder": FOLDER, "interval": f"{interval_seconds}s", "rules": list(rules)}


def _rule(alarm: MetricAlarm | QueryAlarm, target: Json, limit: Decimal | None, places: Places) -> Json:
    """Query A, its last value as B, and the condition C on it.

    An expression on metrics has its own comparison and gives nothing while all is well; what it gives is compared so that
    every value rings.
    """
    evaluator: Json = {"type": "gt", "params": [_number(limit)]} if limit is not None else _ANY
    reduce = {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last", "settings": {"mode": "dropNN"}}
    compare = {"refId": "C", "type": "threshold", "expression": "B", "conditions": [{"evaluator": evaluator}]}
    return {
        "uid": f"trueup-{alarm.name.lower()}",
        "title": f"Trueup{alarm.name}",
        "condition": "C",
        "for": f"{alarm.minutes}m",
        "noDataState": "OK",
        "execErrState": "Error",
        "isPaused": False,
        "labels": {"severity": alarm.severity},
        "annotations": _annotations(alarm, places),
        "data": [
            _step("A", target["datasource"]["uid"], target, ALARM_RANGE_SECONDS),
            _step("B", "__expr__", reduce, 0),
            _step("C", "__expr__", compare, 0),
        ],
    }


_ANY: Final[dict[str, Any]] = {"type": "gt", "params": [-1]}
"""No expression of an alarm gives a negative value."""


def _step(ref: str, source: str, model: Json, range_seconds: int) -> Json:
    """One query or expression of a rule."""
    held = model if "datasource" in model else {**model, "datasource": {"type": "__expr__", "uid": "__expr__"}}
    return {
        "refId": ref,
        "datasourceUid": source,
        "relativeTimeRange": {"from": range_seconds, "to": 0},
        "model": {**held, "intervalMs": 1000, "maxDataPoints": 43200},
    }


def _number(limit: Decimal) -> int | float:
    """A limit as JSON has it; Grafana compares in binary floats whatever is written."""
    return int(limit) if limit == limit.to_integral_value() else float(limit)


def _annotations(alarm: MetricAlarm | QueryAlarm, places: Places) -> Json:
    return {"summary": alarm.summary, "runbook_url": f"{places.runbook_url}#{alarm.section}"}
