"""Services of the embedded stack that are the same whatever is read: ClickHouse, and what people look at and are told by."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trueup.dashboard_wiring import dashboard_address
from trueup.embedded.ports import LOOPBACK, free_port
from trueup.embedded.readiness import http_answers, port_accepts
from trueup.embedded.service import Service
from trueup.settings import Settings
from trueup.stack_files import environment, for_dashboard

RECOVERY_SECONDS: Final = 900.0
"""How long a process may take to get its state back, or wait for a service that is away, before it is started again."""


def clickhouse_service(data_dir: Path, port: int, passwords: Mapping[str, str]) -> Service:
    """The ClickHouse endpoint, with the passwords of its users."""
    return Service(
        name="clickhouse",
        command=[
            *(sys.executable, "-m", "trueup.embedded.clickhouse"),
            *("--data-dir", str(data_dir / "clickhouse"), "--port", str(port)),
            *("--analyst-database", Settings().clickhouse.database),
        ],
        env={
            "TRUEUP_CLICKHOUSE_PASSWORD": passwords["trueup"],
            "TRUEUP_CLICKHOUSE_ANALYST_PASSWORD": passwords["analyst"],
            "TRUEUP_CLICKHOUSE_DASHBOARD_PASSWORD": passwords["dashboard"],
        },
        ready=http_answers(f"http://{LOOPBACK}:{port}/ping"),
        ready_timeout_seconds=90,
        stop_timeout_seconds=30,
        port=port,
    )


def alerts_service(settings: Settings, password: str) -> Service:
    """What sends alerts; `password` is that of the ClickHouse user who only reads."""
    port = free_port()
    return Service(
        name="alerts",
        command=[sys.executable, "-m", "trueup.cli", "service", "alerts", "--metrics-port", str(port)],
        env=environment(for_dashboard(settings, password)),
        ready=http_answers(f"http://{LOOPBACK}:{port}/readyz"),
        ready_timeout_seconds=90,
        stop_timeout_seconds=60,
        port=port,
        serves_metrics=True,
    )


def dashboard_service(settings: Settings, password: str) -> Service:
    """The dashboard; `password` is that of the ClickHouse user who only reads."""
    port, address = settings.dashboard.port, dashboard_address(settings)
    return Service(
        name="dashboard",
        command=[sys.executable, "-m", "trueup.cli", "service", "dashboard"],
        env=environment(for_dashboard(settings, password)),
        # A certificate is for the name that browsers use, not for this machine's own address.
        ready=port_accepts(port) if settings.dashboard.certificate else http_answers(f"{address}/readyz"),
        ready_timeout_seconds=RECOVERY_SECONDS,
        stop_timeout_seconds=20,
        port=port,
        serves_metrics=True,
    )
