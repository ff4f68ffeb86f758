"""`trueup service alerts`."""

from __future__ import annotations

from typing import Annotated

import typer

from trueup.alert_wiring import run_alerts
from trueup.settings import Settings


def alerts(
    metrics_port: Annotated[int | None, typer.Option(help="Serve metrics and health on this port.")] = None,
) -> None:
    """Send alerts until SIGTERM; settings come from the environment."""
    raise typer.Exit(run_alerts(Settings(), metrics_port))
