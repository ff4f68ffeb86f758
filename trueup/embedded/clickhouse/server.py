"""Starts and stops the endpoint: opens the engine, serves until SIGTERM or SIGINT, closes the engine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
from types import FrameType

import structlog
import uvicorn

from trueup.embedded.clickhouse.app import QueryEndpoint, build_app
from trueup.embedded.clickhouse.engine import Engine
from trueup.embedded.clickhouse.runner import Runner
from trueup.embedded.clickhouse.session import Sessions
from trueup.embedded.clickhouse.settings import EndpointSettings
from trueup.model.errors import UnavailableError

log = structlog.get_logger()

_HEADER_BYTES_MAX = 1 << 20
_KEEP_ALIVE_SECONDS = 30


def serve(settings: EndpointSettings) -> None:
    """Serves ClickHouse's HTTP interface until SIGTERM or SIGINT; running queries end first.

    Takes over the process: its standard input is closed to the engine and its time zone is UTC.

    Raises:
        ConfigurationError: the data directory cannot be used.
        UnavailableError: the engine does not open, or the port is taken.
    """
    listener = _listen(settings)
    _settle_process()
    engine = Engine.open(settings)
    spool_dir = settings.data_dir.resolve() / "spool"
    shutil.rmtree(spool_dir, ignore_errors=True)
    spool_dir.mkdir(parents=True)
    sessions = Sessions(engine, settings.limits.sessions_max)
    endpoint = QueryEndpoint(settings, engine, Runner(engine, sessions, settings.limits, spool_dir), spool_dir)
    config = uvicorn.Config(
        build_app(endpoint, engine),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        limit_concurrency=settings.limits.connections_max,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.limits.stop_seconds_max,
        h11_max_incomplete_event_size=_HEADER_BYTES_MAX,
    )
    log.info("clickhouse endpoint starts", port=settings.port, engine=engine.version)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        endpoint.close()
        sessions.close()
        engine.close()
        log.info("clickhouse endpoint stopped")


def _listen(settings: EndpointSettings) -> socket.socket:
    """The bound socket; made before the engine is opened, so that a taken port is told at once."""
    # The protocol is named because asyncio turns off Nagle's delay only on sockets that name it.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise UnavailableError(
            f"The ClickHouse endpoint cannot listen: {error.strerror}",
            where=f"{settings.host}:{settings.port}",
            remedy="Stop what uses the port, or choose another one",
        ) from error
    return listener


def _settle_process() -> None:
    os.environ["TZ"] = "UTC"
    time.tzset()
    # An INSERT without rows would make the engine read the terminal.
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), sys.__stdin__.fileno() if sys.__stdin__ else 0)
    # uvicorn raises the signal again after its clean stop; the engine is closed only then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore_second_time)


def _ignore_second_time(_number: int, _frame: FrameType | None) -> None:
    """The server has handled the signal already."""
