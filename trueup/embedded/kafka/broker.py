"""The embedded broker as a supervised child: its configuration, its storage, its command line."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trueup.embedded.kafka.jars import resolve_jars
from trueup.embedded.kafka.java import find_java
from trueup.embedded.ports import LOOPBACK
from trueup.embedded.readiness import kafka_answers
from trueup.embedded.service import Service
from trueup.model.errors import TrueupError

FORMAT_TIMEOUT_SECONDS = 120
OUTPUT_CHARACTERS_MAX = 2000
LOGGING = Path(__file__).with_name("log4j2.properties")

# Serial collection and the quick compiler only: the smallest start and footprint on a machine that others share.
_JVM_OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError", "-Xms64m")


@dataclass(frozen=True, slots=True)
class Kafka:
    """Apache Kafka, one node.

    Args:
        data_dir: of the whole stack; Kafka's own files live in its `kafka`.
        port: of the brokers' listener, on 127.0.0.1.
        controller_port: of the controller's listener, on 127.0.0.1; nobody but the broker itself uses it.
        environ: where Java, Maven and the cache directory are looked for.
        heap_mib: the Java heap at most.
    """

    data_dir: Path
    port: int
    controller_port: int
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    heap_mib: int = 512

    @property
    def bootstrap(self) -> str:
        """The address for clients, host:port."""
        return f"{LOOPBACK}:{self.port}"

    def service(self) -> Service:
        """The service for the supervisor; jars are resolved and storage is formatted at its first start.

        Call `resolve_jars` before to tell the user why the first start takes longer.
        """
        return Service(
            name="kafka",
            command=self._prepare,
            ready=kafka_answers(self.bootstrap),
            ready_timeout_seconds=120,
            stop_timeout_seconds=30,
            port=self.port,
        )

    def _prepare(self) -> Sequence[str]:
        java = find_java(self.environ)
        jars = resolve_jars(self.environ)
        home = self.data_dir.resolve() / "kafka"
        home.mkdir(parents=True, exist_ok=True)
        properties = home / "server.properties"
        properties.write_text(_properties(self.port, self.controller_port, home / "data"), encoding="utf-8")
        run = [
            *(str(java), *_JVM_OPTIONS, f"-Xmx{self.heap_mib}m", f"-Dlog4j2.configurationFile={LOGGING}"),
            *("-cp", f"{jars}/*"),
        ]
        if not (home / "data" / "meta.properties").exists():
            cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
            _format([*run, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", f"--config={properties}"])
        return [*run, "kafka.Kafka", str(properties)]


def _properties(port: int, controller_port: int, log_dir: Path) -> str:
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "log.dirs": log_dir,
        "auto.create.topics.enable": "false",
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 2,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        # After a kill the controller waits for the dead broker's session before it lets the new one in (9 s by default).
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": 4,
        # What is recovered after a kill is at most one segment a partition. The page cache outlives the process, so
        # nothing is flushed earlier than the system does.
        "log.segment.bytes": 64 * 1024 * 1024,
        "log.index.size.max.bytes": 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,  # part of the heap; 128 MiB by default
        "log.retention.hours": 168,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _format(command: list[str]) -> None:
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=FORMAT_TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrueupError("the storage of the embedded broker cannot be formatted", where=str(error)) from error
    if result.returncode != 0:
        raise TrueupError(
            "the storage of the embedded broker cannot be formatted",
            where=(result.stdout + result.stderr).strip()[-OUTPUT_CHARACTERS_MAX:],
            remedy="the text above tells why",
        )
