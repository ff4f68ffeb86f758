"""The panels of a dashboard as Grafana's JSON. Pure.

Source: Grafana's classic dashboard model, and the query model of grafana-clickhouse-datasource 4 (`rawSql`, `queryType`,
`format` 0 for time series and 1 for tables).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

CLICKHOUSE_UID: Final = "trueup-clickhouse"
PROMETHEUS_UID: Final = "trueup-prometheus"
CLICKHOUSE_TYPE: Final = "grafana-clickhouse-datasource"
PROMETHEUS_TYPE: Final = "prometheus"
COLUMNS: Final = 24
"""Width of a dashboard."""

SCHEMA_VERSION: Final = 39
"""Of Grafana 11; newer ones bring it up to date when they load it."""

Json = dict[str, Any]
Shape = Literal["table", "timeseries"]
_FORMATS: Final[Mapping[Shape, int]] = {"timeseries": 0, "table": 1}


def sql_target(sql: str, shape: Shape, ref: str = "A") -> Json:
    """A query to ClickHouse; a time series has a column `time`, then labels, then values."""
    return {
        "refId": ref,
        "datasource": {"type": CLICKHOUSE_TYPE, "uid": CLICKHOUSE_UID},
        "editorType": "sql",
        "queryType": shape,
        "format": _FORMATS[shape],
        "rawSql": sql,
    }


def metric_target(expression: str, legend: str = "", ref: str = "A", *, instant: bool = False) -> Json:
    """A query to Prometheus; `legend` may name labels as `{{stage}}`."""
    return {
        "refId": ref,
        "datasource": {"type": PROMETHEUS_TYPE, "uid": PROMETHEUS_UID},
        "editorMode": "code",
        "expr": expression,
        "legendFormat": legend or "__auto",
        "instant": instant,
        "range": not instant,
    }


def _panel(kind: str, title: str, about: str, targets: Sequence[Json], options: Json, defaults: Json) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": targets[0]["datasource"],
        "targets": list(targets),
        "options": options,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }


def number(title: str, about: str, target: Json, *, unit: str = "short", red_from: float | None = None) -> Json:
    """One figure, green below `red_from` and red from there on."""
    steps: list[Json] = [{"color": "text" if red_from is None else "green", "value": None}]
    if red_from is not None:
        steps.append({"color": "red", "value": red_from})
    options = {
        "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }  # fmt: skip
    return _panel("stat", title, about, [target], options, {"unit": unit, "thresholds": _steps(steps)})


def chart(
    title: str, about: str, targets: Sequence[Json], *, unit: str = "short", stacked: bool = False, bars: bool = False
) -> Json:
    """Lines, or bars, over time."""
    custom = {
        "drawStyle": "bars" if bars else "line",
        "fillOpacity": 60 if bars else 10,
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
    }
    options = {
        "legend": {"calcs": ["lastNotNull"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, about, targets, options, {"unit": unit, "custom": custom, "min": 0})


def table(title: str, about: str, sql: str) -> Json:
    """Rows as they are."""
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
    defaults = {"custom": {"align": "auto", "filterable": True}, "decimals": None}
    return _panel("table", title, about, [sql_target(sql, "table")], options, defaults)


def _steps(steps: Sequence[Json]) -> Json:
    return {"mode": "absolute", "steps": list(steps)}


def row_of(panels: Sequence[Json], height: int, widths: Sequence[int] = ()) -> list[tuple[Json, int, int]]:
    """Panels side by side, with the height and the width of each; equal widths unless given, in 24ths of the page."""
    shares = list(widths) or [COLUMNS // len(panels)] * len(panels)
    return [(panel, height, width) for panel, width in zip(panels, shares, strict=True)]


def currency_choice(database: str) -> Json:
    """A choice of currencies at the head of a dashboard, all of them at first."""
    return {
        "name": "currency",
        "label": "Currency",
        "type": "query",
        "datasource": {"type": CLICKHOUSE_TYPE, "uid": CLICKHOUSE_UID},
        "query": f"SELECT DISTINCT currency FROM {database}.v_cases WHERE currency != '' ORDER BY currency LIMIT 200",
        "refresh": 1,
        "multi": True,
        "includeAll": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


CURRENCY_CHOSEN: Final = "$__conditionalAll(currency IN (${currency:sqlstring}), $currency)"
"""The condition of the choice; the data source leaves it out when all currencies are chosen."""


def dashboard(
    uid: str, title: str, rows: Sequence[Sequence[tuple[Json, int, int]]], *, since: str, choices: Sequence[Json] = ()
) -> Json:
    """The whole dashboard; `since` is where its time range begins, such as `now-6h`."""
    panels: list[Json] = []
    top = 0
    for row in rows:
        left = 0
        for panel, height, width in row:
            place = {"x": left, "y": top, "w": width, "h": height}
            panels.append({"id": len(panels) + 1, "gridPos": place, **panel})
            left += width
        top += max(height for _, height, _ in row)
    return {
        "uid": uid,
        "title": title,
        "tags": ["trueup"],
        "timezone": "browser",
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": since, "to": "now"},
        "templating": {"list": list(choices)},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "title": "trueup", "tags": ["trueup"], "asDropdown": True, "keepTime": True}],
        "panels": panels,
    }
