"""The deployment files are true: what they name is there, what they run can be run, and no secret stands in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from dashboards.access.serving import serving
from dashboards.alerts.load import load_alerts
from tests.compose_yaml import read_yaml
from trueup.checking.settings_check import read_settings
from trueup.cli import app
from trueup.settings import SECRETS_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = read_yaml((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service.get("build"))
ONCE = {"prepare", "monitoring-files"}
READER = ["python", "-m", "trueup.reader"]
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(:-[^}]+)?\}")
"""A variable of whoever starts the stack, with its default."""


def texts_in(held: Any) -> list[str]:
    if isinstance(held, dict):
        return [text for value in held.values() for text in texts_in(value)]
    if isinstance(held, list):
        return [text for value in held for text in texts_in(value)]
    return [] if held is None else [held]


def secrets_of(service: dict[str, Any]) -> dict[str, str]:
    """Name in `/run/secrets` → name of the secret."""
    given = service.get("secrets", [])
    return dict((one, one) if isinstance(one, str) else (one["target"], one["source"]) for one in given)


def mounts_of(service: dict[str, Any]) -> list[tuple[str, str]]:
    """What is mounted, and where; the first is empty for a volume without a name."""
    parts = [mount.split(":") for mount in service.get("volumes", [])]
    return [(part[0], part[1]) if len(part) > 1 else ("", part[0]) for part in parts]


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    """The variables as a container gets them where nobody chose anything."""
    given = service.get("environment", {})
    return {name: VARIABLE.sub(lambda found: (found[2] or "")[2:], text) for name, text in given.items()}


def test_every_image_has_a_version_and_is_ours_or_comes_from_a_registry() -> None:
    for name, service in SERVICES.items():
        version = VARIABLE.sub(lambda found: (found[2] or "")[2:], service["image"]).rpartition(":")[2]
        assert re.search(r"\d+\.\d+", version), name
        assert "container_name" not in service, name
        assert (service["image"].startswith("trueup:")) is (name in OURS)
    assert set(OURS) == ONCE | {"alerts", "dashboard", "reader", "watcher", "worker"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_bounded_watched_and_started_after_what_it_needs(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[mg]", limits["memory"])
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert service["healthcheck"].get("disable") == ("true" if name in ONCE else None)
    for needed, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_completed_successfully" if needed in ONCE else "service_healthy"}
        assert "profiles" not in SERVICES[needed]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_reached_from_this_machine_alone_and_mounts_what_is_there(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{TRUEUP_\w+_PORT:-(\d+)\}:\1", port)
    for source, target in mounts_of(SERVICES[name]):
        if source.startswith("."):
            assert (ROOT / source).is_file()
        assert source.startswith(".") or not source or source in COMPOSE["volumes"]
        assert target.startswith("/")
    assert set(secrets_of(SERVICES[name]).values()) <= COMPOSE["secrets"].keys()


def test_every_volume_and_secret_is_used_and_secrets_stay_out_of_git_and_images() -> None:
    used = {source for service in SERVICES.values() for source, _ in mounts_of(service)}
    assert COMPOSE["volumes"].keys() <= used
    given = {secret for service in SERVICES.values() for secret in secrets_of(service).values()}
    assert given == set(COMPOSE["secrets"])
    assert {held["file"] for held in COMPOSE["secrets"].values()} == {f"./secrets/{name}" for name in given}
    assert "/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    shown = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    assert [name for name in given if name.removesuffix("-password") not in shown] == []


def test_no_secret_stands_in_the_file_and_each_file_of_one_is_mounted() -> None:
    for name, service in SERVICES.items():
        for variable, text in environment_of(service).items():
            secret = re.search(r"PASSWORD|SECRET(?!S)|KEY|TOKEN", variable)
            assert secret is None or text.startswith("/run/secrets/"), f"{name}: {variable}"
        read = {found for text in texts_in(service) for found in re.findall(r"(?<!:)/run/secrets/([\w-]+)", text)}
        assert read <= secrets_of(service).keys(), name


def test_every_variable_that_can_be_chosen_has_a_default_and_is_documented() -> None:
    shown = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    found = [found for text in texts_in(SERVICES) for found in VARIABLE.findall(text)]
    assert found
    assert [name for name, default in found if not default or f"`{name}`" not in shown] == []


@pytest.mark.parametrize("name", OURS)
def test_every_setting_that_a_container_is_told_is_known(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for secret in secrets_of(SERVICES[name]):
        (tmp_path / secret).write_text(f"of {secret}\n", encoding="utf-8")
    for variable, text in environment_of(SERVICES[name]).items():
        monkeypatch.setenv(variable, text)
    if SECRETS_VARIABLE in environment_of(SERVICES[name]):
        monkeypatch.setenv(SECRETS_VARIABLE, str(tmp_path))
    read = read_settings()
    assert read.faults == []
    for secret in secrets_of(SERVICES[name]):
        if secret.startswith("TRUEUP_"):
            section, _, field = secret.removeprefix("TRUEUP_").lower().partition("__")
            assert getattr(getattr(read.settings, section), field).get_secret_value() == f"of {secret}"
    if name == "dashboard":
        told = read.settings.dashboard
        kept = told.model_copy(update=dict.fromkeys(("certificate", "certificate_key"), str(ROOT / "pyproject.toml")))
        assert serving(kept).knows("localhost:8443")


@pytest.mark.parametrize("name", OURS)
def test_every_command_of_ours_parses(name: str) -> None:
    service = SERVICES[name]
    words = list(service["command"])
    if "entrypoint" in service:
        assert (service["entrypoint"], words) == (READER, ["--metrics-port", "9100"])
        return
    command: Any = typer.main.get_command(app)
    with typer.Context(command) as context:
        while hasattr(command, "commands"):
            command = command.get_command(context, words.pop(0))
            assert command is not None
        assert command.make_context(name, words).command is command


def test_the_sample_of_alerts_can_be_used() -> None:
    alerts = load_alerts(str(ROOT / "deploy/alerts.toml"))
    named = "url_file", "secret_file"
    read = {getattr(channel, name) for channel in alerts.channels for name in named}
    assert read == {f"/run/secrets/{name}" for name in secrets_of(SERVICES["alerts"]) if name.startswith("alert-")}


def test_prometheus_scrapes_the_processes_where_they_serve() -> None:
    document = read_yaml((ROOT / "deploy/prometheus.yml").read_text(encoding="utf-8"))
    (job,) = document["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == {name for name in OURS if "--metrics-port" in SERVICES[name]["command"]}
    for name in found["names"]:
        assert found["port"] in SERVICES[name]["command"]
        assert f"http://127.0.0.1:{found['port']}/readyz" in SERVICES[name]["healthcheck"]["test"]
    (rules,) = document["rule_files"]
    assert ("monitoring", str(Path(rules).parent)) in mounts_of(SERVICES["prometheus"])


def test_the_image_is_built_from_what_is_there_and_runs_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases)
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    assert [name for names in copied for name in names if not (ROOT / name).exists()] == []
    assert [line for line in lines if line.startswith("USER ")] == ["USER trueup"]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"}
    assert {name for names in copied for name in names if "/" not in name} <= kept
