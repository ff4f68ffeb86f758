"""The embedded Kafka Connect as a supervised child: its configuration and its command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trueup.embedded.kafka.broker import LOGGING
from trueup.embedded.kafka.jars import JarSet, resolve_jars
from trueup.embedded.kafka.java import find_java
from trueup.embedded.ports import LOOPBACK
from trueup.embedded.readiness import http_answers
from trueup.embedded.service import Service

CONNECT_JARS: Final = JarSet(
    "connect",
    "Kafka Connect",
    Path(__file__).with_name("pom.xml"),
    "debezium-connector-postgres-*.jar",
    "trueup's own reader needs no Kafka Connect",
)
OFFSET_FLUSH_MS: Final = 200
"""How often a connector's position is committed. A heartbeat waits for it, so it is part of how soon time moves on."""

_JVM_OPTIONS: Final = ("-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Xms64m")


@dataclass(frozen=True, slots=True)
class Connect:
    """Kafka Connect in distributed mode, one worker, with Debezium's connectors for PostgreSQL and MySQL on its class path.

    A connector's configuration names a password as `${secrets:DIRECTORY:FILE}`, with the directory of `secrets_dir`;
    then it is in no topic and no answer.

    Args:
        data_dir: of the whole stack; Connect's own files live in its `connect`.
        port: of the REST interface, on 127.0.0.1.
        bootstrap: address of the broker.
        environ: where Java, Maven and the cache directory are looked for.
        heap_mib: the Java heap at most.
    """

    data_dir: Path
    port: int
    bootstrap: str
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    heap_mib: int = 512

    @property
    def url(self) -> str:
        """The address of the REST interface."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def secrets_dir(self) -> Path:
        """The only directory whose files a connector's configuration may name."""
        return self.data_dir.resolve() / "connect" / "secrets"

    def secret_reference(self, name: str) -> str:
        """The text by which a configuration names a secret."""
        return f"${{secrets:{self.secrets_dir}:{name}}}"

    def keep_secret(self, name: str, secret: str) -> None:
        """Put a secret into a file that only its owner can read."""
        self.secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.secrets_dir / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret)

    def service(self) -> Service:
        """The service for the supervisor; the broker must answer before. Jars are resolved at its first start."""
        return Service(
            name="connect",
            command=self._prepare,
            ready=http_answers(f"{self.url}/health"),
            ready_timeout_seconds=180,
            stop_timeout_seconds=30,
            port=self.port,
        )

    def _prepare(self) -> Sequence[str]:
        java = find_java(self.environ)
        jars = resolve_jars(self.environ, CONNECT_JARS)
        self.secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        properties = self.secrets_dir.parent / "worker.properties"
        properties.write_text(_properties(self.port, self.bootstrap, self.secrets_dir), encoding="utf-8")
        return [
            *(str(java), *_JVM_OPTIONS, f"-Xmx{self.heap_mib}m", f"-Dlog4j2.configurationFile={LOGGING}"),
            *("-cp", f"{jars}/*", "org.apache.kafka.connect.cli.ConnectDistributed", str(properties)),
        ]


def _properties(port: int, bootstrap: str, secrets_dir: Path) -> str:
    json_converter = "org.apache.kafka.connect.json.JsonConverter"
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": "trueup-connect",
        "listeners": f"http://{LOOPBACK}:{port}",
        "rest.advertised.host.name": LOOPBACK,
        "key.converter": json_converter,
        "key.converter.schemas.enable": "false",
        "value.converter": json_converter,
        "value.converter.schemas.enable": "false",
        "config.storage.topic": "trueup-connect.configs",
        "config.storage.replication.factor": 1,
        "offset.storage.topic": "trueup-connect.offsets",
        "offset.storage.replication.factor": 1,
        "offset.storage.partitions": 1,
        "status.storage.topic": "trueup-connect.status",
        "status.storage.replication.factor": 1,
        "status.storage.partitions": 1,
        "offset.flush.interval.ms": OFFSET_FLUSH_MS,
        # All plugins are on the class path and announce themselves: no jar is searched for classes.
        "plugin.discovery": "service_load",
        "scheduled.rebalance.max.delay.ms": 0,
        "config.providers": "secrets",
        "config.providers.secrets.class": "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
        "config.providers.secrets.param.allowed.paths": secrets_dir,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
