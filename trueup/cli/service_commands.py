"""Commands that the supervisor runs as child processes."""

from __future__ import annotations

from typing import Annotated

import typer

from trueup.alert_wiring import run_alerts
from trueup.dashboard_wiring import run_dashboard
from trueup.log_setup import set_up_logging
from trueup.settings import Settings
from trueup.wiring import run_stream_worker

service = typer.Typer(help="Processes of the stack, run by the supervisor.", no_args_is_help=True)


@service.callback()
def options() -> None:
    """Processes of the stack, run by the supervisor."""
    set_up_logging(service=True)


@service.command()
def worker(
    number: Annotated[int, typer.Option(min=1, help="Number of the worker; names its state directory.")] = 1,
    metrics_port: Annotated[int | None, typer.Option(help="Serve Prometheus metrics on 127.0.0.1:PORT.")] = None,
) -> None:
    """Run one stream worker until SIGTERM; settings come from the environment."""
    raise typer.Exit(run_stream_worker(Settings(), number, metrics_port))


@service.command()
def dashboard() -> None:
    """Serve the pages until SIGTERM; settings come from the environment."""
    run_dashboard(Settings())


@service.command()
def alerts(
    metrics_port: Annotated[int | None, typer.Option(help="Serve metrics and health on 127.0.0.1:PORT.")] = None,
) -> None:
    """Send alerts until SIGTERM; settings come from the environment."""
    raise typer.Exit(run_alerts(Settings(), metrics_port))
