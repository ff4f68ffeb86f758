"""Alerts put together from the settings: the process that sends them, and what the command line asks of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import ssl
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple
from uuid import uuid4

import structlog
from clickhouse_connect.driver.client import Client
from sqlalchemy import Engine

from clickhouse.client import connect
from clickhouse.standing_reader import read_standings
from dashboards.alerts.channels.exchange import ARRIVED, Outcome
from dashboards.alerts.courier import Courier, Way, deliver
from dashboards.alerts.declared import DeclaredAlerts, DeclaredChannel, DeclaredEmail, DeclaredRoute
from dashboards.alerts.load import load_alerts
from dashboards.alerts.message import body_of_test, message_of
from dashboards.alerts.metrics import AlertMetrics
from dashboards.alerts.secret import ChannelSecrets, read_secrets
from dashboards.alerts.service import AlertService
from dashboards.alerts.targets import target_of
from dashboards.alerts.transport import HttpSender, resolve
from dashboards.store import open_store, store_url
from reconcile.settlement import rule_classes
from trueup.case_policy import policy_of
from trueup.model.errors import ConfigurationError, TrueupError
from trueup.model.faults import Fault, fault_of
from trueup.process_endpoint import ProcessState, serve_process
from trueup.settings import ClickHouseSettings, Settings
from trueup.user_specs import read_user_specs

LOCK_FILE: Final = "alerts.lock"


def wall_clock_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class Tried(NamedTuple):
    """What came of a sample message through one channel."""

    route: str
    channel: str
    kind: str
    has_arrived: bool
    reason: str


def read_alerts_file(settings: Settings) -> DeclaredAlerts:
    """The file of alerts that the settings name. Errors: ConfigurationError when none is named, or it has errors."""
    if not settings.alerts.file:
        raise ConfigurationError(
            "no file of alerts is named",
            where="alerts.file",
            remedy="write one, as docs/alerts.md shows, and set its path",
        )
    return load_alerts(settings.alerts.file, known_rules(settings))


def known_rules(settings: Settings) -> set[str]:
    """The rules that routes may name."""
    specs = read_user_specs(settings).specs
    return {*rule_classes(), *(rule.name for spec in specs for group in spec.groups for rule in group.rules)}


def open_alert_store(settings: Settings) -> Engine:
    """The small database with the state of the alerts. Errors: as `open_store`."""
    return open_store(store_url(settings.dashboard.database_url.get_secret_value(), settings.data_dir))


def secrets_of(alerts: DeclaredAlerts, environment: Mapping[str, str]) -> dict[str, ChannelSecrets]:
    """Channel → its secrets. Errors: ConfigurationError for the first that cannot be read."""
    return {channel.name: read_secrets(channel, environment) for channel in alerts.channels}


def check_channels(alerts: DeclaredAlerts, environment: Mapping[str, str]) -> list[Fault]:
    """What is wrong with the secrets and targets of the channels; nothing is sent, and no name is looked up."""
    faults = []
    for channel in alerts.channels:
        try:
            secrets = read_secrets(channel, environment)
            if not isinstance(channel, DeclaredEmail):
                target_of(secrets.url.get_secret_value(), alerts.targets)
        except TrueupError as error:
            fault = fault_of(error)
            faults.append(
                fault._replace(what=f"channel {channel.name}: {fault.what}", where=fault.where or channel.name)
            )
    return faults


def try_routes(alerts: DeclaredAlerts, route_name: str | None, environment: Mapping[str, str]) -> Iterator[Tried]:
    """Send a sample through every channel of a route, or of all, one after the other.

    Errors: ConfigurationError for a route that does not exist.
    """
    routes = [route for route in alerts.routes if route_name in {None, route.name}]
    if not routes:
        known = ", ".join(route.name for route in alerts.routes)
        raise ConfigurationError(f"there is no route {route_name!r}", remedy=f"there are: {known}")
    return _tried(alerts, routes, environment)


def _tried(alerts: DeclaredAlerts, routes: list[DeclaredRoute], environment: Mapping[str, str]) -> Iterator[Tried]:
    channels = {channel.name: channel for channel in alerts.channels}
    way = make_way(alerts)
    for route in routes:
        names = [*route.channels, *([route.outside_critical] if route.outside_critical else [])]
        for name in dict.fromkeys(names):
            outcome = _try_channel(alerts, route, channels[name], way, environment)
            yield Tried(route.name, name, channels[name].kind, outcome.state == ARRIVED, outcome.reason)


def _try_channel(
    alerts: DeclaredAlerts, route: DeclaredRoute, channel: DeclaredChannel, way: Way, environment: Mapping[str, str]
) -> Outcome:
    try:
        secrets = read_secrets(channel, environment)
    except ConfigurationError as error:
        return Outcome("refused", f"{error.what} ({error.where})")
    message = message_of(body_of_test(route.name), route.language, alerts.base_url)
    return deliver(alerts, channel, secrets, way, message, f"test:{uuid4()}", wall_clock_us())


def make_way(alerts: DeclaredAlerts) -> Way:
    """How messages leave this machine."""
    tls = ssl.create_default_context()
    return Way(HttpSender(alerts.targets, tls=tls), resolve, tls)


def run_alerts(settings: Settings, metrics_port: int | None) -> int:
    """Send alerts until SIGTERM or SIGINT; the exit status of the process.

    Errors: ConfigurationError for a file or a secret that cannot be used, or when another process sends already.
    """
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        with _only_one(settings.data_dir):
            _serve(settings, metrics_port, stop)
    except TrueupError as error:
        structlog.get_logger().error("alerts_ended", what=error.what, where=error.where, remedy=error.remedy)
        return 1
    return 0


def _serve(settings: Settings, metrics_port: int | None, stop: threading.Event) -> None:
    alerts = read_alerts_file(settings)
    secrets = secrets_of(alerts, os.environ)
    store = open_alert_store(settings)
    standings = _Standings(settings.clickhouse)
    metrics = AlertMetrics()
    way = make_way(alerts)
    couriers = {
        channel.name: Courier(
            store, alerts, channel, secrets[channel.name], way, metrics,
            clock_us=wall_clock_us, random=random.SystemRandom().random,
        )
        for channel in alerts.channels
    }  # fmt: skip
    service = AlertService(
        store, alerts, policy_of(settings.cases).urgency, couriers, standings.read, metrics, wall_clock_us,
    )  # fmt: skip
    if metrics_port is not None:
        state = ProcessState(metrics.registry, service.alive, service.parts)
        serve_process(metrics_port, state, settings.metrics_host)
    try:
        service.run(settings.kafka.bootstrap, stop)
    finally:
        standings.close()
        store.dispose()


class _Standings:
    """Reads where cases stand. It connects when it is first asked: alerts go out while ClickHouse is away."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._client: Client | None = None

    def read(self, ids: Collection[str]) -> dict[str, str]:
        """Id → standing. Errors: as `read_standings`."""
        self._client = self._client or connect(self._settings)
        return read_standings(self._client, self._settings.database, ids)

    def close(self) -> None:
        """Free the connection."""
        if self._client is not None:
            self._client.close()


@contextlib.contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Hold the right to send for a data directory; it ends with the process, however that ends."""
    path = data_dir / LOCK_FILE
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                "another process sends the alerts already", where=str(path), remedy="one is enough; end the other one"
            ) from None
        yield
