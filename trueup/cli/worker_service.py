"""`trueup service worker`."""

from __future__ import annotations

from typing import Annotated

import typer

from trueup.settings import Settings
from trueup.wiring import run_stream_worker


def worker(
    number: Annotated[int, typer.Option(min=1, help="Number of the worker; names its state directory.")] = 1,
    metrics_port: Annotated[int | None, typer.Option(help="Serve Prometheus metrics on this port.")] = None,
) -> None:
    """Run one stream worker until SIGTERM; settings come from the environment."""
    raise typer.Exit(run_stream_worker(Settings(), number, metrics_port))
