"""What a stack leaves in its data directory for others to find it by, and what its processes are told."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import SecretStr

from trueup.embedded.ports import free_port
from trueup.embedded.runtime import RuntimeState, read_runtime
from trueup.model.errors import UnavailableError
from trueup.settings import Settings, SourceSettings

STACK_FILE: Final = "stack.json"
_PORTS_FILE: Final = "ports.json"
_PASSWORDS_FILE: Final = "clickhouse.passwords"
_WITH_PORTS: Final = ("postgres", "kafka", "controller", "connect", "clickhouse", "dashboard")
_WITH_PASSWORDS: Final = ("trueup", "analyst", "dashboard")


def stack_ports(data_dir: Path) -> dict[str, int]:
    """Service → port, chosen once per data directory, so that clients find a restarted stack where it was."""
    path = data_dir / _PORTS_FILE
    ports: dict[str, int] = orjson.loads(path.read_bytes()) if path.exists() else {}
    missing = [name for name in _WITH_PORTS if name not in ports]
    if missing:
        ports |= {name: free_port() for name in missing}
        path.write_bytes(orjson.dumps(ports))
    return ports


def stack_passwords(data_dir: Path) -> dict[str, str]:
    """User of the ClickHouse endpoint → password, made once per data directory."""
    path = data_dir / _PASSWORDS_FILE
    passwords: dict[str, str] = orjson.loads(path.read_bytes()) if path.exists() else {}
    missing = [name for name in _WITH_PASSWORDS if name not in passwords]
    if missing:
        passwords |= {name: secrets.token_urlsafe(24) for name in missing}
        _write_private(path, passwords)
    return passwords


def write_stack_file(data_dir: Path, settings: Settings) -> None:
    """Leave the settings of a running stack for commands that look at it; only its owner can read the file."""
    _write_private(data_dir / STACK_FILE, revealed(settings))


def running_settings(data_dir: Path) -> tuple[Settings, RuntimeState]:
    """Settings and state of the stack that runs on a data directory.

    Errors: UnavailableError when none runs there.
    """
    runtime = read_runtime(data_dir)
    path = data_dir / STACK_FILE
    if not path.exists():
        raise UnavailableError("the stack is still starting", where=str(data_dir), remedy="try again in a moment")
    return Settings(**orjson.loads(path.read_bytes())), runtime


def revealed(settings: Settings) -> dict[str, Any]:
    """The settings as plain JSON values, passwords included: for child processes and the private stack file only."""
    plain: dict[str, Any] = settings.model_dump(mode="json")
    plain["source"]["password"] = settings.source.password.get_secret_value()
    for told, source in zip(plain["more_sources"], settings.more_sources, strict=True):
        told["password"] = source.password.get_secret_value()
    plain["clickhouse"]["password"] = settings.clickhouse.password.get_secret_value()
    plain["clickhouse"]["analyst_password"] = settings.clickhouse.analyst_password.get_secret_value()
    plain["dashboard"]["database_url"] = settings.dashboard.database_url.get_secret_value()
    return plain


def environment(settings: Settings) -> dict[str, str]:
    """The settings as `TRUEUP_*` variables for a child process."""
    return {
        f"TRUEUP_{name.upper()}": value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in revealed(settings).items()
    }


def for_dashboard(settings: Settings, password: str) -> Settings:
    """What the dashboard's process is told: ClickHouse as a user that only reads, and no other password of the books."""
    nothing = SecretStr("")
    reader = {"user": "dashboard", "password": SecretStr(password), "analyst_password": nothing}
    return settings.model_copy(
        update={
            "source": _without_password(settings.source),
            "more_sources": [_without_password(source) for source in settings.more_sources],
            "clickhouse": settings.clickhouse.model_copy(update=reader),
        }
    )


def _without_password(source: SourceSettings) -> SourceSettings:
    return source.model_copy(update={"password": SecretStr(""), "password_file": ""})


def _write_private(path: Path, content: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(content))
    temporary.replace(path)
