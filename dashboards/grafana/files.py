"""All files for Grafana and Prometheus, the same bytes for the same places."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import orjson

from dashboards.grafana.board_overview import overview_board
from dashboards.grafana.board_periods import periods_board
from dashboards.grafana.board_pipeline import pipeline_board
from dashboards.grafana.board_sellers import sellers_board
from dashboards.grafana.panels import Json
from dashboards.grafana.provisioning import Places, alert_rules, dashboard_provider, data_sources, prometheus_rules
from trueup.model.errors import ConfigurationError


def boards(database: str) -> tuple[Json, ...]:
    """Every dashboard."""
    return overview_board(database), pipeline_board(), sellers_board(database), periods_board(database)


def grafana_files(places: Places, risk_limit: Decimal) -> dict[str, bytes]:
    """Path below the target folder → content.

    The YAML files hold JSON, which is YAML too and needs no library to be written or read.
    """
    documents = {
        "provisioning/datasources/trueup.yaml": data_sources(places),
        "provisioning/dashboards/trueup.yaml": dashboard_provider(places),
        "provisioning/alerting/trueup.yaml": alert_rules(places, risk_limit),
        "prometheus-rules.yaml": prometheus_rules(places),
        **{f"dashboards/{board['uid']}.json": board for board in boards(places.database)},
    }
    return {path: orjson.dumps(held, option=orjson.OPT_INDENT_2) + b"\n" for path, held in documents.items()}


def write_grafana(directory: Path, places: Places, risk_limit: Decimal) -> list[Path]:
    """Write all files, over older ones; the paths. Errors: ConfigurationError when the directory cannot be written."""
    written = []
    try:
        for name, content in grafana_files(places, risk_limit).items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            written.append(path)
    except OSError as error:
        raise ConfigurationError(
            f"the files cannot be written: {error.strerror}", where=str(directory), remedy="choose another directory"
        ) from error
    return written
