"""Passwords from files, users that only read, and how a container tells that it is ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from clickhouse.reading_users import make_analyst, make_dashboard_user
from trueup.cli.prepare_service import prepare
from trueup.healthy import is_ready, main
from trueup.model.errors import ConfigurationError
from trueup.model.health import Part
from trueup.process_endpoint import ProcessState, serve_process
from trueup.settings import SECRETS_VARIABLE, Settings


class Recorder:
    """Takes what ClickHouse would be told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def command(self, statement: str) -> None:
        self.told.append(statement)


@pytest.fixture
def recorder() -> Any:
    return Recorder()


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SECRETS_VARIABLE, str(tmp_path))
    return tmp_path


def test_a_password_stands_in_a_file_called_as_its_variable(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "TRUEUP_CLICKHOUSE__PASSWORD").write_text("from the file\n", encoding="utf-8")
    (secrets / "postgres-password").write_text("of somebody else", encoding="utf-8")
    (secrets / "trueup.toml").write_text('[clickhouse]\npassword = "of the toml"\nport = 8124\n', encoding="utf-8")
    settings = Settings().clickhouse
    assert (settings.password.get_secret_value(), settings.port) == ("from the file", 8124)
    monkeypatch.setenv("TRUEUP_CLICKHOUSE__PASSWORD", "of the environment")
    assert Settings().clickhouse.password.get_secret_value() == "of the environment"


def test_a_folder_of_secrets_that_is_not_there_is_told(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRETS_VARIABLE, str(secrets / "none"))
    with pytest.raises(ConfigurationError, match="folder of secrets is not there"):
        Settings()


def test_users_get_their_rights_and_then_their_password(recorder: Any) -> None:
    make_dashboard_user(recorder, "books", "it's a \\ long one")
    make_analyst(recorder, "books", "it's a \\ long one")
    assert "GRANT SELECT ON books.* TO trueup_dashboard" in recorder.told
    assert "GRANT SELECT ON books.v_* TO trueup_analyst" in recorder.told
    set_again = [statement for statement in recorder.told if statement.startswith("ALTER USER") and "BY" in statement]
    quoted = "IDENTIFIED BY 'it\\'s a \\\\ long one'"
    assert set_again == [f"ALTER USER trueup_dashboard {quoted}", f"ALTER USER analyst {quoted}"]
    assert not [statement for statement in recorder.told if "{" in statement or ";" in statement]


def test_a_short_or_an_empty_password_makes_no_user(recorder: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="shorter than 12 characters"):
        make_dashboard_user(recorder, "books", "short")
    assert recorder.told == []
    empty = tmp_path / "empty"
    empty.write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is empty"):
        prepare(dashboard_password_file=empty)


def test_a_container_is_healthy_while_its_process_is_ready() -> None:
    parts = {"kafka": Part(True)}
    server = serve_process(0, ProcessState(CollectorRegistry(), lambda: True, lambda: parts), "127.0.0.1")
    address = f"http://127.0.0.1:{server.server_address[1]}/readyz"
    assert is_ready(address)
    parts["kafka"] = Part(False, "away")
    assert main([address]) == 1
    server.shutdown()
    server.server_close()
    assert main([address]) == 1
    assert main([]) == 1
