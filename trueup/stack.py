"""The embedded stack of one data directory: every part real, started in order, supervised, on 127.0.0.1 only."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, Literal

import psycopg2
from pydantic import SecretStr

from cdc.topics import TopicPlan, ensure_topics
from clickhouse.client import connect
from clickhouse.migrate import migrate
from dashboards.alerts.load import load_alerts
from trueup.embedded.connect.worker import Connect
from trueup.embedded.kafka.broker import Kafka
from trueup.embedded.kafka.jars import resolve_jars
from trueup.embedded.memory_broker import PARTITIONS, MemoryBroker
from trueup.embedded.ports import LOOPBACK, free_port
from trueup.embedded.postgres import DATABASE, ROLE, Postgres
from trueup.embedded.readiness import has_parts, http_answers
from trueup.embedded.service import Backoff, Service
from trueup.embedded.supervisor import Supervisor
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.settings import (
    ChargingSettings,
    ReaderKind,
    RuleSettings,
    Settings,
    SourceSettings,
    StreamSettings,
)
from trueup.stack_files import environment, stack_passwords, stack_ports, write_stack_file
from trueup.stack_services import RECOVERY_SECONDS, alerts_service, clickhouse_service, dashboard_service
from trueup.upstream import schema
from trueup.user_specs import absolute_specs, planned_topics, read_user_specs
from trueup.worker_metrics import metric_total

BrokerKind = Literal["kafka", "memory"]
READY_SECONDS: Final = 180.0
LOGIN_FILE: Final = "source-password"

WORKER_MEMORY: Final = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""One allocator with few arenas: windows are built and freed in several threads, and each arena keeps what it once held."""


class Stack:
    """Postgres, broker, ClickHouse endpoint, CDC reader and workers of one data directory.

    Args:
        data_dir: everything lives there; made if absent.
        broker: `kafka`, or `memory` where Java cannot be had.
        workers: worker processes to start with.
        reader: how changes are found, None for what the settings say; with `debezium`, Kafka Connect runs too.
        rules, streams, charging, specs: settings of these parts; None for the defaults.
        sites: further databases of the embedded server, each a source of its own that is called like it.
        backoff: how services that died are started again; None for the supervisor's default.
        dashboard: whether people are to look at it with a browser.
        say: told, in words, what is being started.
    """

    def __init__(  # noqa: PLR0913 - whoever starts a stack names what differs from the defaults
        self,
        data_dir: Path,
        *,
        broker: BrokerKind = "kafka",
        workers: int = 2,
        partitions: int = 8,
        reader: ReaderKind | None = None,
        rules: RuleSettings | None = None,
        streams: StreamSettings | None = None,
        charging: ChargingSettings | None = None,
        specs: Sequence[str] | None = None,
        sites: Sequence[str] = (),
        backoff: Backoff | None = None,
        dashboard: bool = True,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        _make_directory(self.data_dir)
        self.workers = workers
        self._say = say
        self._kind = broker
        ports = stack_ports(self.data_dir)
        self.postgres = Postgres(self.data_dir, ports["postgres"])
        self._kafka = Kafka(self.data_dir, ports["kafka"], ports["controller"])
        self._connect = Connect(self.data_dir, ports["connect"], self._kafka.bootstrap)
        self._partitions = PARTITIONS if broker == "memory" else partitions
        base = Settings()
        # The services run in other directories than whoever wrote the settings.
        self._specs = absolute_specs(base.specs if specs is None else specs)
        self._reader = reader or base.source.reader
        if self._reader == "debezium" and broker == "memory":
            raise ConfigurationError("Kafka Connect needs the real broker", remedy="leave out --broker memory")
        self._sites = tuple(sites)
        planned = base.model_copy(update={"specs": self._specs, "more_sources": self._more_sources(base)})
        self._has_user_specs, self._topics = self._plan(planned)
        self._memory = MemoryBroker(self.data_dir, tuple(topic.name for topic in self._topics.topics))
        self._clickhouse_port = ports["clickhouse"]
        self._has_dashboard = dashboard
        self._dashboard = base.dashboard.model_copy(update={"port": base.dashboard.port or ports["dashboard"]})
        self._passwords = stack_passwords(self.data_dir)
        self._rules = rules or base.rules
        self._streams = streams or base.streams
        self._charging = _with_absolute_file(charging or base.charging)
        self._alerts = base.alerts.model_copy(
            update={"file": base.alerts.file and str(Path(base.alerts.file).resolve())}
        )
        if self._alerts.file:
            # A mistake in it is told now, not when everything else runs.
            load_alerts(self._alerts.file)
        self.supervisor = Supervisor(
            self.data_dir,
            templates={"worker": self._worker_service},
            backoff=backoff,
        )

    @property
    def settings(self) -> Settings:
        """Settings under which every part of this stack runs; the broker must have started."""
        base = Settings()
        bootstrap = self._kafka.bootstrap if self._kind == "kafka" else self._memory.bootstrap()
        return base.model_copy(
            update={
                "data_dir": self.data_dir,
                "source": base.source.model_copy(
                    update={
                        "host": LOOPBACK,
                        "port": self.postgres.port,
                        "user": ROLE,
                        "database": DATABASE,
                        "password": SecretStr(self.postgres.password()),
                        "reader": self._reader,
                        # The embedded server has no certificate, and its password is known.
                        **dict.fromkeys(("password_file", "sslrootcert", "sslcert", "sslkey"), ""),
                        "sslmode": "prefer",
                    }
                ),
                "connect": base.connect.model_copy(
                    update={"url": self._connect.url, "password": self._connect.secret_reference(LOGIN_FILE)}
                ),
                "more_sources": self._more_sources(base),
                "kafka": base.kafka.model_copy(update={"bootstrap": bootstrap, "partitions": self._partitions}),
                "clickhouse": base.clickhouse.model_copy(
                    update={
                        "host": LOOPBACK,
                        "port": self._clickhouse_port,
                        "password": SecretStr(self._passwords["trueup"]),
                        "analyst_password": SecretStr(self._passwords["analyst"]),
                    }
                ),
                "rules": self._rules,
                "streams": self._streams,
                "charging": self._charging,
                "dashboard": self._dashboard,
                "alerts": self._alerts,
                "specs": self._specs,
            }
        )

    def _more_sources(self, base: Settings) -> list[SourceSettings]:
        """Those of the settings, and the sites."""
        sites = [
            SourceSettings(
                name=site,
                host=LOOPBACK,
                port=self.postgres.port,
                user=ROLE,
                database=site,
                slot=site,
                password=SecretStr(self.postgres.password()),
                schema_name=base.source.schema_name,
            )
            for site in self._sites
        ]
        return [*base.more_sources, *sites]

    def _plan(self, settings: Settings) -> tuple[bool, TopicPlan]:
        """Whether there are users' own specs, and the topics of the stack with those that they need."""
        specs = read_user_specs(settings)
        kafka = settings.kafka.model_copy(update={"partitions": self._partitions})
        return bool(specs.specs), planned_topics(settings.model_copy(update={"kafka": kafka}), specs)

    def start(self, *, cdc: bool = True) -> None:
        """Start everything in order and return when all of it is ready.

        Errors: ConfigurationError or UnavailableError naming the service, with the end of its log.
        """
        if self._kind == "kafka":
            self._say("looking for the Kafka jars (the first run fetches them)")
            resolve_jars(os.environ)
        self._say("starting PostgreSQL, the broker and ClickHouse")
        self.supervisor.start()
        for service in (
            self.postgres.service(),
            self._broker_service(),
            clickhouse_service(self.data_dir, self._clickhouse_port, self._passwords),
        ):
            self.supervisor.add(service)
        self.supervisor.wait_ready(READY_SECONDS)
        self._say("creating the reference schema, topics and tables")
        schema.create_databases(self.postgres.dsn(), self._sites)
        for dsn in (self.postgres.dsn(), *map(self.postgres.dsn, self._sites)):
            with contextlib.closing(psycopg2.connect(dsn)) as connection:
                schema.create(connection)
        settings = self.settings
        ensure_topics(settings.kafka.bootstrap, self._topics, created_by_asking=self._kind == "memory")
        client = connect(settings.clickhouse)
        try:
            migrate(client, settings.clickhouse.database)
        finally:
            client.close()
        write_stack_file(self.data_dir, settings)
        if cdc:
            self.start_pipeline()

    def start_pipeline(self) -> None:
        """Start the CDC reader, the workers, and what people look at and are told by."""
        if self._reader == "debezium":
            self._start_connect()
        self._say(f"starting the CDC reader and {self.workers} workers")
        for number, source in enumerate(self.settings.sources, start=1):
            self.supervisor.add(self._cdc_service(number, source.name))
        self.start_workers()
        if self._has_dashboard:
            self.start_dashboard()
        self.start_alerts()

    def _start_connect(self) -> None:
        self._say("starting Kafka Connect with Debezium (the first run fetches its jars)")
        self._connect.keep_secret(LOGIN_FILE, self.postgres.password())
        self.supervisor.add(self._connect.service())
        self.supervisor.wait_ready(READY_SECONDS)

    def start_alerts(self) -> None:
        """Start sending alerts if there is a file of them, and return when the topics are read."""
        if self._alerts.file:
            self._say("starting the alerts")
            self.supervisor.add(alerts_service(self.settings, self._passwords["dashboard"]))
            self.supervisor.wait_ready(READY_SECONDS)

    def start_dashboard(self) -> None:
        """Start the dashboard, and return when it answers."""
        self._say("starting the dashboard")
        self.supervisor.add(dashboard_service(self.settings, self._passwords["dashboard"]))
        self.supervisor.wait_ready(READY_SECONDS)

    def start_workers(self, *, wait: bool = True) -> None:
        """Start the workers alone; `wait` until they share all partitions among them."""
        for number in range(1, self.workers + 1):
            self.supervisor.add(self._worker_service(number))
        self.supervisor.wait_ready(READY_SECONDS)
        if wait:
            self.wait_assigned()

    def wait_assigned(self) -> None:
        """Return when every partition has an owner and no worker waits for a share.

        Errors: UnavailableError when that does not happen in time.
        """
        deadline = time.monotonic() + READY_SECONDS
        while True:
            ports = [state.port for state in self.supervisor.states() if state.name.startswith("worker-")]
            held = {
                stage: [metric_total(port, "trueup_partitions", stage) or 0 for port in ports if port is not None]
                for stage in ("orders", *(["groups"] if self._has_user_specs else []))
            }
            owned = held["orders"]
            if all(
                sum(each) == self._partitions and (min(each) > 0 or len(each) > self._partitions)
                for each in held.values()
            ):
                return
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"the workers own {sum(owned):.0f} of {self._partitions} partitions",
                    where=str(self.data_dir / "log"),
                    remedy="see the workers' logs there",
                )
            time.sleep(0.1)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start everything, stop everything afterwards; SIGTERM counts as Ctrl-C meanwhile.

        SIGINT is set too: a shell starts background jobs with it ignored.
        """
        previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.start()
            yield
        finally:
            try:
                self.stop()
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)

    def run(self, on_ready: Callable[[], None]) -> None:
        """Start everything, tell when it is ready, and run until Ctrl-C or SIGTERM."""
        with contextlib.suppress(KeyboardInterrupt), self.running():
            on_ready()
            self.wait_for_signal()

    def wait_for_signal(self) -> None:
        """Block until Ctrl-C or SIGTERM, which raise KeyboardInterrupt."""
        while True:
            time.sleep(0.5)

    def stop(self) -> None:
        """Stop every child, the last one first."""
        self.supervisor.stop()

    def _broker_service(self) -> Service:
        return self._kafka.service() if self._kind == "kafka" else self._memory.service()

    def _cdc_service(self, number: int, source_name: str) -> Service:
        port = free_port()
        return Service(
            name="cdc" if number == 1 else f"cdc-{number}",
            command=lambda: [
                *(sys.executable, "-m", "trueup.reader"),
                *("--source", source_name, "--metrics-port", str(port)),
            ],
            env=environment(self.settings),
            # A table that is stopped, or a gap, is told and mended while it runs: starting anew would not help.
            ready=has_parts(f"http://{LOOPBACK}:{port}/readyz", ("source", "kafka", "reading")),
            ready_timeout_seconds=RECOVERY_SECONDS,
            awaited=False,
            stop_timeout_seconds=30,
            port=port,
            serves_metrics=True,
        )

    def _worker_service(self, number: int) -> Service:
        port = free_port()
        return Service(
            name=f"worker-{number}",
            command=lambda: [
                *(sys.executable, "-m", "trueup.cli", "service", "worker"),
                *("--number", str(number), "--metrics-port", str(port)),
            ],
            env={**environment(self.settings), **WORKER_MEMORY},
            ready=http_answers(f"http://{LOOPBACK}:{port}/readyz"),
            ready_timeout_seconds=RECOVERY_SECONDS,
            stop_timeout_seconds=75,
            port=port,
            serves_metrics=True,
        )


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the data directory cannot be made: {error.strerror}", where=str(path), remedy="choose another --data-dir"
        ) from error


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _with_absolute_file(charging: ChargingSettings) -> ChargingSettings:
    """A spec in a file by its whole path; a shipped one stays a name."""
    path = Path(charging.spec)
    return charging.model_copy(update={"spec": str(path.resolve())}) if path.is_file() else charging
