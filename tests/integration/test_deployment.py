"""The processes of docker-compose.yml, as their containers run them, on real services that hold nothing yet."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.alert_servers import certified
from tests.compose_yaml import read_yaml
from tests.integration.endpoint_process import DASHBOARD_PASSWORD, PASSWORD, ClickHouseServer
from trueup.checking.parts import check_installation
from trueup.embedded.kafka.broker import Kafka
from trueup.embedded.ports import free_port
from trueup.embedded.postgres import Postgres
from trueup.embedded.supervisor import Supervisor

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(500)]

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, dict[str, Any]] = read_yaml((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
SERVICES_READY_SECONDS = 180.0
HEALTHY_SECONDS = 180.0
WRITTEN = {"clickhouse-password": PASSWORD, "dashboard-password": DASHBOARD_PASSWORD}


class Deployment:
    """Services on ports of this machine, and what a container of the compose file is told, put to them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.postgres = Postgres(directory / "data", free_port(), durable=False)
        self.kafka = Kafka(directory / "data", free_port(), free_port())
        self.clickhouse = ClickHouseServer(directory / "clickhouse")
        self.processes: list[subprocess.Popen[bytes]] = []

    def environment(self, name: str) -> dict[str, str]:
        """The variables of a container, its secrets in files, with the addresses of this machine."""
        secrets = self.directory / f"{name}-secrets"
        secrets.mkdir(exist_ok=True)
        held = {**WRITTEN, "postgres-password": self.postgres.password()}
        for one in SERVICES[name]["secrets"]:
            if isinstance(one, dict):
                (secrets / one["target"]).write_text(held[one["source"]], encoding="utf-8")
        told = {variable: text for variable, text in SERVICES[name]["environment"].items() if "${" not in text}
        here = {
            "TRUEUP_SECRETS_DIR": str(secrets),
            "TRUEUP_DATA_DIR": str(self.directory / name),
            "TRUEUP_KAFKA__BOOTSTRAP": self.kafka.bootstrap,
            "TRUEUP_CLICKHOUSE__HOST": "127.0.0.1",
            "TRUEUP_CLICKHOUSE__PORT": str(self.clickhouse.port),
            "TRUEUP_SOURCE__HOST": "127.0.0.1",
            "TRUEUP_SOURCE__PORT": str(self.postgres.port),
        }
        if name == "dashboard":
            certified(self.directory, "localhost")
            here |= {
                "TRUEUP_CLICKHOUSE__USER": "dashboard",
                "TRUEUP_DASHBOARD__PUBLIC_NAMES": '["localhost"]',
                "TRUEUP_DASHBOARD__PORT": str(free_port()),
                "TRUEUP_DASHBOARD__CERTIFICATE": str(self.directory / "localhost.pem"),
                "TRUEUP_DASHBOARD__CERTIFICATE_KEY": str(self.directory / "localhost.pem"),
            }
        Path(here["TRUEUP_DATA_DIR"]).mkdir(exist_ok=True)
        return {**os.environ, "PYTHONPATH": str(ROOT), **told, **here}

    def start(self, name: str) -> list[str]:
        """Start a container's process; the command that tells its health."""
        service, environment = SERVICES[name], self.environment(name)
        old = "8443" if name == "dashboard" else "9100"
        port = environment.get("TRUEUP_DASHBOARD__PORT") or str(free_port())
        entry = service.get("entrypoint", ["python", "-m", "trueup.cli"])[1:]
        words = [word.replace(old, port) for word in [*entry, *service["command"]]]
        with (self.directory / f"{name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen([sys.executable, *words], env=environment, cwd=self.directory, stdout=log, stderr=log)
            )
        return [sys.executable, *(word.replace(old, port) for word in service["healthcheck"]["test"][2:])]

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            assert process.wait(60) is not None


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path)
    (tmp_path / "data").mkdir()
    supervisor = Supervisor(tmp_path / "data", [made.postgres.service(), made.kafka.service()])
    supervisor.start()
    try:
        made.clickhouse.start()
        supervisor.wait_ready(SERVICES_READY_SECONDS)
        yield made
        made.stop()
    finally:
        made.clickhouse.stop()
        supervisor.stop()


def prepared(deployment: Deployment) -> subprocess.CompletedProcess[str]:
    """What `prepare` does but for users of ClickHouse, which the endpoint has already."""
    words = [word for word in SERVICES["prepare"]["command"] if "-password-file" not in word]
    return subprocess.run(
        [sys.executable, "-m", "trueup.cli", *words],
        env=deployment.environment("prepare"), cwd=deployment.directory, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_empty_services_are_prepared_and_every_process_becomes_healthy(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        done = prepared(deployment)
        assert done.returncode == 0, done.stderr
    health = {name: deployment.start(name) for name in ("reader", "worker", "dashboard")}
    deadline = time.monotonic() + HEALTHY_SECONDS
    for name, command in health.items():
        while subprocess.run(command, cwd=ROOT, check=False).returncode:
            assert time.monotonic() < deadline, (deployment.directory / f"{name}.log").read_text(encoding="utf-8")
            time.sleep(0.5)
    monkeypatch.chdir(deployment.directory)
    for variable, text in deployment.environment("prepare").items():
        if variable.startswith("TRUEUP_"):
            monkeypatch.setenv(variable, text)
    parts = check_installation(deployment.directory / "none")
    assert {part.name: part.faults for part in parts if part.faults} == {}
