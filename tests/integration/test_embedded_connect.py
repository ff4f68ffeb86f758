"""The embedded Kafka Connect on a real process: its plugins, its secrets, and what it leaves in the data directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from trueup.embedded.connect.worker import Connect
from trueup.embedded.kafka.broker import Kafka
from trueup.embedded.ports import free_port
from trueup.embedded.service import Backoff
from trueup.embedded.supervisor import Supervisor

pytestmark = [pytest.mark.integration, pytest.mark.timeout(800)]

PRIVATE = 0o600


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    data_dir = tmp_path_factory.mktemp("connect")
    kafka = Kafka(data_dir, free_port(), free_port())
    connect = Connect(data_dir, free_port(), kafka.bootstrap)
    supervisor = Supervisor(data_dir, [kafka.service(), connect.service()], backoff=Backoff(first_seconds=0.1))
    supervisor.start()
    yield connect
    supervisor.stop()


def test_debezium_is_there(connect: Connect) -> None:
    plugins = {plugin["class"] for plugin in httpx.get(f"{connect.url}/connector-plugins", timeout=30).json()}
    assert plugins == {
        "io.debezium.connector.mysql.MySqlConnector",
        "io.debezium.connector.postgresql.PostgresConnector",
    }


def test_a_secret_is_in_a_private_file_only(connect: Connect, tmp_path: Path) -> None:
    other = Connect(tmp_path, connect.port, connect.bootstrap)
    other.keep_secret("source-password", "s3cret")
    file = tmp_path / "connect" / "secrets" / "source-password"
    assert other.secret_reference("source-password") == f"${{secrets:{file.parent}:source-password}}"
    assert file.read_text() == "s3cret"
    assert file.stat().st_mode & 0o777 == PRIVATE
