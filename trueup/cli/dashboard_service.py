"""`trueup service dashboard`."""

from __future__ import annotations

from trueup.dashboard_wiring import run_dashboard
from trueup.settings import Settings


def dashboard() -> None:
    """Serve the pages until SIGTERM; settings come from the environment."""
    run_dashboard(Settings())
