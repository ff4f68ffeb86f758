"""`trueup cdc check`, `register` and `status`: Debezium in Kafka Connect, which can read the source in the reader's place."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from cdc.connector_config import connector_name
from trueup.checking.connector_check import ConnectorState, check_connector, connector_state, register_connector
from trueup.checking.parts import running_settings_of
from trueup.cli.part_page import has_faults, parts_document, show_faults, show_parts
from trueup.model.errors import ConfigurationError
from trueup.model.faults import Fault
from trueup.settings import Settings

DataDir = Annotated[Path, typer.Option("--data-dir", help="Data directory of the running stack, if one runs here.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def check(data_dir: DataDir = Path(".trueup"), json: Json = False) -> None:
    """Check source, topics and connector for Debezium, and print every error; nothing is changed. Exit status 1 if there is
    one.
    """
    parts = check_connector(_settings(data_dir))
    if json:
        _print_json(parts_document(parts))
    else:
        show_parts(parts)
    if has_faults(parts):
        raise typer.Exit(1)


def register(
    data_dir: DataDir = Path(".trueup"),
    changed: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the connector, such as poll.interval.ms=100.")
    ] = None,
    json: Json = False,
) -> None:
    """Create the connector, or bring its configuration up to the settings; may be repeated. Exit status 1 if refused."""
    settings = _settings(data_dir)
    faults = register_connector(settings, _pairs(changed or ()))
    name = connector_name(settings)
    if json:
        _print_json({"connector": name, "is_registered": not faults, "errors": [fault._asdict() for fault in faults]})
    else:
        _tell(faults, f"connector {name} is registered")
    if faults:
        raise typer.Exit(1)


def status(data_dir: DataDir = Path(".trueup"), json: Json = False) -> None:
    """Show the connector, its tasks and how far it is behind. Exit status 1 unless it runs."""
    state = connector_state(_settings(data_dir))
    if json:
        _print_json(_document(state))
    else:
        _show(state)
    if state.faults:
        raise typer.Exit(1)


def _settings(data_dir: Path) -> Settings:
    return running_settings_of(data_dir) or Settings()


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError("--set takes NAME=VALUE", where=text, remedy="such as --set poll.interval.ms=100")
        if "password" in name and not value.startswith("${"):
            remedy = "name a secret, such as ${secrets:/run/secrets:postgres-password}"
            raise ConfigurationError("a password does not belong into a configuration", where=name, remedy=remedy)
        pairs[name] = value
    return pairs


def _tell(faults: list[Fault], done: str) -> None:
    if faults:
        show_faults(Console(stderr=True, highlight=False), faults)
    else:
        Console(highlight=False).print(done)


def _document(state: ConnectorState) -> dict[str, Any]:
    held = state.status
    return {
        "connector": state.name,
        "state": held.connector.state if held else "absent",
        "tasks": {
            str(number): {"state": task.state, "worker": task.worker, "reason": task.reason}
            for number, task in (held.tasks if held else {}).items()
        },
        "lag_bytes": state.lag_bytes,
        "slot_is_active": state.slot_active,
        "errors": [fault._asdict() for fault in state.faults],
    }


def _show(state: ConnectorState) -> None:
    console = Console(highlight=False)
    if state.status is not None:
        console.print(f"connector {state.name}  {state.status.connector.state}")
        for number, task in state.status.tasks.items():
            console.print(f"task {number}  {task.state}  on {task.worker}")
    if state.slot_active is not None:
        console.print(f"{_lag(state.lag_bytes)}{'' if state.slot_active else ', and nothing reads it'}")
    show_faults(console, state.faults)


def _lag(lag_bytes: int | None) -> str:
    return "the slot does not exist" if lag_bytes is None else f"the slot is {lag_bytes:,} bytes behind the log"


def _print_json(document: object) -> None:
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
