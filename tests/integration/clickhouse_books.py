"""The embedded endpoint as the tests of `clickhouse/` use it: reached with our own client."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from clickhouse.client import connect
from tests.integration.endpoint_process import ANALYST_PASSWORD, PASSWORD, ClickHouseServer
from trueup.settings import ClickHouseSettings


class Server:
    """One endpoint, which a test may kill and start again on the same port and data."""

    def __init__(self, data_dir: Path, analyst_database: str) -> None:
        self._endpoint = ClickHouseServer(data_dir, analyst_database)
        self.start = self._endpoint.start
        self.port = self._endpoint.port

    def kill(self) -> None:
        self._endpoint.stop(signal.SIGKILL)

    def client(self) -> Client:
        return self._connect("trueup", PASSWORD)

    def analyst(self) -> Client:
        return self._connect("analyst", ANALYST_PASSWORD)

    def _connect(self, user: str, password: str) -> Client:
        return connect(ClickHouseSettings(port=self._endpoint.port, user=user, password=SecretStr(password)))


@contextmanager
def running_server(data_dir: Path, analyst_database: str = "trueup") -> Iterator[Server]:
    """A server that answers, whose analyst reads the views of one database; killed at the end."""
    server = Server(data_dir, analyst_database)
    try:
        server.start()
        yield server
    finally:
        server.kill()
