"""The dashboard's process: settings in, pages served."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

import structlog
import uvicorn
from clickhouse_connect.driver.client import Client

from clickhouse.case_reader import CaseReader
from clickhouse.client import connect
from clickhouse.read_only import require_read_only
from dashboards.access.gate import first_sign_in, open_access
from dashboards.app import create_app
from dashboards.web.assets import require_assets
from dashboards.web.board import Board
from dashboards.web.live import LiveHub
from trueup.case_commands import send_commands
from trueup.embedded.ports import free_port
from trueup.model.errors import UnavailableError
from trueup.pipeline_probe import PipelineProbe
from trueup.settings import Settings

_logger = structlog.get_logger()

STOP_SECONDS: Final = 5
"""How long a request may still take once the process is to end."""

KEEP_ALIVE_SECONDS: Final = 30
CONNECTIONS_MAX: Final = 1_000
RETRY_SECONDS: Final = 2.0
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


def run_dashboard(settings: Settings) -> None:
    """Serve the pages until SIGTERM or SIGINT.

    Errors: ConfigurationError or UnavailableError when something that the pages need is not there.
    """
    require_assets()
    access = open_access(settings)
    client = _reading_client(settings)
    try:
        board = Board(
            settings,
            client,
            CaseReader(client, settings.clickhouse.database),
            access,
            LiveHub(settings.kafka.bootstrap),
            partial(send_commands, settings, client),
            pipeline=PipelineProbe(settings),
        )
        port = settings.dashboard.port or free_port()
        _logger.info("dashboard_serves", address=dashboard_address(settings, port))
        uvicorn.Server(
            uvicorn.Config(
                create_app(board),
                port=port,
                log_config=None,
                access_log=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=STOP_SECONDS,
                limit_concurrency=CONNECTIONS_MAX,
                **access.serving.server_options(),
            )
        ).run()
    finally:
        client.close()
        access.store.dispose()


def _reading_client(settings: Settings) -> Client:
    """A connection that can only read, as soon as ClickHouse answers. Errors: ConfigurationError."""
    while True:
        try:
            client = connect(settings.clickhouse)
            try:
                require_read_only(client, settings.clickhouse.database)
            except BaseException:
                client.close()
                raise
        except UnavailableError as error:
            _logger.warning("dashboard_waits", what=error.what, where=error.where)
            time.sleep(RETRY_SECONDS)
        else:
            return client


def dashboard_address(settings: Settings, port: int | None = None) -> str:
    """Where a browser of this machine finds the dashboard; `port` if it is not that of the settings."""
    dashboard = settings.dashboard
    scheme = "https" if dashboard.certificate else "http"
    host = "127.0.0.1" if dashboard.host in _EVERYWHERE else dashboard.host
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or dashboard.port}"


def sign_in_address(settings: Settings) -> str:
    """The dashboard's address with a one-time link for the first admin; the address alone where nobody signs in.

    Errors: ConfigurationError or UnavailableError when the store of accounts cannot be used.
    """
    return dashboard_address(settings) + first_sign_in(settings)
