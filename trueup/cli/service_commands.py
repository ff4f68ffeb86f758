"""Commands that the supervisor runs as child processes, each with only the libraries that it needs."""

from __future__ import annotations

from typing import Final

import typer

from trueup.cli.late import Place, late_group
from trueup.log_setup import set_up_logging

_SERVICES: Final = {
    "worker": Place(
        "trueup.cli.worker_service",
        "worker",
        "Run one stream worker until SIGTERM; settings come from the environment.",
    ),
    "dashboard": Place(
        "trueup.cli.dashboard_service",
        "dashboard",
        "Serve the pages until SIGTERM; settings come from the environment.",
    ),
    "alerts": Place(
        "trueup.cli.alerts_service", "alerts", "Send alerts until SIGTERM; settings come from the environment."
    ),
    "prepare": Place(
        "trueup.cli.prepare_service",
        "prepare",
        "Make topics, ClickHouse tables and users that are missing on the services of the settings, and end.",
    ),
}

service = typer.Typer(
    cls=late_group(_SERVICES), help="Processes of the stack, run by the supervisor.", no_args_is_help=True
)


@service.callback()
def options() -> None:
    """Processes of the stack, run by the supervisor."""
    set_up_logging(service=True)
