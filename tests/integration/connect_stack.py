"""What the tests of Debezium share: Kafka Connect beside Postgres and Kafka, and a source that a connector reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cdc import debezium, debezium_mysql
from cdc.connect_rest import ConnectRest
from cdc.connector_config import connector_config
from cdc.source_tables import settlement_tables
from cdc.topics import ensure_topics, topic_plan
from tests.integration.cdc_stack import PARTITIONS, Reader, Source, Stack, running_stack, wait_until
from tests.integration.mysql_stack import MysqlSource
from trueup.embedded.connect.worker import Connect
from trueup.embedded.ports import free_port
from trueup.settings import ConnectSettings

ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class ConnectStack:
    """Postgres, Kafka and Connect."""

    stack: Stack
    connect: Connect
    rest: ConnectRest

    def source(self, name: str, *, database_of: Source | None = None) -> Source:
        """A source with topics of its own: on a new database, or on that of another source."""
        made = database_of or self.stack.source(name)
        if database_of is not None:
            ensure_topics(self.stack.kafka.bootstrap, topic_plan([name], "public", PARTITIONS))
        self.connect.keep_secret("source", self.stack.postgres.password())
        settings = made.settings.model_copy(
            update={
                "source": made.settings.source.model_copy(update={"name": name, "slot": name, "reader": "debezium"}),
                "connect": ConnectSettings(url=self.connect.url, password=self.connect.secret_reference("source")),
            }
        )
        return Source(self.stack, settings)

    def config(self, source: Source, **changed: str) -> dict[str, str]:
        """The connector of a source; `changed` has `_` for each dot."""
        config = connector_config(source.settings, settlement_tables("public"))
        return {**config, **{name.replace("_", "."): value for name, value in changed.items()}}

    def wait_running(self, name: str) -> None:
        """Return when the connector and its task run."""

        def running() -> bool:
            status = self.rest.status(name)
            return status is not None and not status.trouble

        wait_until(running)


def remove_connector(url: str, name: str) -> None:
    """Stop a connector, forget its offsets, delete it."""
    _ask("PUT", f"{url}/connectors/{name}/stop")
    wait_until(lambda: _ask("GET", f"{url}/connectors/{name}/status")["connector"]["state"] == "STOPPED")
    wait_until(lambda: not _ask("GET", f"{url}/connectors/{name}/status")["tasks"])
    _ask("DELETE", f"{url}/connectors/{name}/offsets")
    _ask("DELETE", f"{url}/connectors/{name}")
    wait_until(lambda: ConnectRest(url).status(name) is None)


def _ask(method: str, address: str) -> Any:
    answer = httpx.request(method, address, timeout=ANSWER_SECONDS)
    answer.raise_for_status()
    return answer.json() if answer.content else None


@contextmanager
def running_connect(data_dir: Path) -> Iterator[ConnectStack]:
    """Postgres, Kafka and Connect until the end."""
    with running_stack(data_dir) as stack:
        connect = Connect(data_dir, free_port(), stack.kafka.bootstrap)
        stack.supervisor.add(connect.service())
        stack.supervisor.wait_ready(180)
        yield ConnectStack(stack, connect, ConnectRest(connect.url))


@contextmanager
def watching(source: Source | MysqlSource) -> Iterator[Reader]:
    """Debezium reads the source, and its heartbeats are told."""
    read = debezium.run if isinstance(source, Source) else debezium_mysql.run
    reader = Reader(source.settings, read=read)
    try:
        yield reader
    finally:
        reader.stop()
