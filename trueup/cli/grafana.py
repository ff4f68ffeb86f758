"""`trueup grafana write`: data sources, dashboards and alarms for Grafana and Prometheus."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dashboards.grafana.alarms import RUNBOOK
from dashboards.grafana.files import write_grafana
from dashboards.grafana.provisioning import PASSWORD_VARIABLE, Places
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.settings import ClickHouseSettings, Settings
from trueup.stack_files import running_settings

grafana = typer.Typer(help="Files for Grafana and Prometheus.", no_args_is_help=True)


@grafana.callback()
def options() -> None:
    """Files for Grafana and Prometheus."""


@grafana.command()
def write(
    directory: Annotated[Path, typer.Argument(help="Where the files go; older ones are replaced.")],
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Data directory of the running stack.")] = Path(
        ".trueup"
    ),
    prometheus: Annotated[str, typer.Option(help="Address of Prometheus, as Grafana sees it.")] = (
        "http://127.0.0.1:9090"
    ),
    dashboards_dir: Annotated[
        str, typer.Option(help="Where Grafana finds the dashboards; DIRECTORY/dashboards unless given.")
    ] = "",
    runbook: Annotated[str, typer.Option(help="Page of operations.md that alarms link to.")] = RUNBOOK,
    risk_limit: Annotated[str, typer.Option(help="Money at risk per currency that rings, in major units.")] = "100000",
) -> None:
    """Write data sources, dashboards and alarms; nothing is sent anywhere and no password is written.

    ClickHouse is that of the stack that runs on the data directory, else that of the settings.
    """
    server = _clickhouse(data_dir)
    places = Places(
        clickhouse_host=server.host,
        clickhouse_port=server.port,
        database=server.database,
        prometheus_url=prometheus,
        dashboards_dir=dashboards_dir or str(directory.resolve() / "dashboards"),
        runbook_url=runbook,
    )
    console = Console(highlight=False, soft_wrap=True)
    for path in write_grafana(directory, places, _amount(risk_limit)):
        console.print(str(path))
    console.print(f"start Grafana with the analyst's password in {PASSWORD_VARIABLE}")


def _clickhouse(data_dir: Path) -> ClickHouseSettings:
    try:
        return running_settings(data_dir)[0].clickhouse
    except UnavailableError:
        return Settings().clickhouse


def _amount(text: str) -> Decimal:
    """Errors: ConfigurationError for what is no amount."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise ConfigurationError(
            f"{text[:40]!r} is no amount", where="--risk-limit", remedy="write it in major units, such as 100000"
        )
    return amount
