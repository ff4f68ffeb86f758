"""`trueup cdc` without Kafka Connect: told in words, with the right exit status; and what `--set` takes."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from trueup.cli import app
from trueup.embedded.ports import free_port
from trueup.model.errors import ConfigurationError, UnavailableError


@pytest.fixture(autouse=True)
def _nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUEUP_SOURCE__PORT", str(free_port()))
    monkeypatch.setenv("TRUEUP_KAFKA__BOOTSTRAP", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("TRUEUP_CONNECT__URL", f"http://127.0.0.1:{free_port()}")


def test_check_tells_every_part_that_is_away() -> None:
    result = CliRunner().invoke(app, ["cdc", "check", "--json"])
    assert result.exit_code == 1
    told = orjson.loads(result.stdout)
    assert [part["name"] for part in told["parts"]] == ["source", "topics", "connector"]
    assert all(part["errors"] for part in told["parts"])
    assert "Kafka Connect does not answer" in told["parts"][2]["errors"][0]["what"]
    shown = CliRunner().invoke(app, ["cdc", "check"])
    assert "connect.url" in shown.stdout
    assert shown.exit_code == 1


@pytest.mark.parametrize("command", ["register", "status"])
def test_a_service_that_is_away_ends_the_command(command: str) -> None:
    result = CliRunner().invoke(app, ["cdc", command])
    assert isinstance(result.exception, UnavailableError)


@pytest.mark.parametrize(
    ("given", "told"), [("poll.interval.ms", "NAME=VALUE"), ("database.password=x", "a password does not belong")]
)
def test_what_set_does_not_take(given: str, told: str) -> None:
    result = CliRunner().invoke(app, ["cdc", "register", "--set", given])
    assert isinstance(result.exception, ConfigurationError)
    assert told in result.exception.what
