"""`trueup alerts`: whether alerts can be sent, a sample through the real channels, and what was given up."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dashboards.alerts.declared import DeclaredAlerts
from dashboards.alerts.load import AlertFileError
from dashboards.alerts.outbox import DeadLetter, counts, dead_letters, drop_dead, retry_dead, storms
from dashboards.alerts.vocabulary import DEAD, RETRYING, SENDING, WAITING
from trueup.alert_wiring import Tried, check_channels, open_alert_store, read_alerts_file, try_routes, wall_clock_us
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.model.faults import Fault
from trueup.settings import Settings
from trueup.stack_files import running_settings

alerts = typer.Typer(help="Alerts: try them, see what waits, and see to what was given up.", no_args_is_help=True)
dead = typer.Typer(help="Messages that were given up.", no_args_is_help=True)
alerts.add_typer(dead, name="dead")

DataDir = Annotated[Path, typer.Option("--data-dir", help="Data directory of the stack.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Numbers = Annotated[
    list[int] | None, typer.Argument(help="Their numbers, as `dead list` shows them.", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
_DEFAULT_DIR = Path(".trueup")


@alerts.callback()
def options() -> None:
    """Alerts: try them, see what waits, and see to what was given up."""


@dead.callback()
def dead_options() -> None:
    """Messages that were given up, kept with the reason until somebody sees to them."""


@alerts.command()
def check(data_dir: DataDir = _DEFAULT_DIR, json: Json = False) -> None:
    """Check the file of alerts and the secrets of its channels; nothing is sent. Exit status 1 if there is an error."""
    declared: DeclaredAlerts | None = None
    try:
        declared = read_alerts_file(_settings(data_dir))
        faults = check_channels(declared, os.environ)
    except AlertFileError as error:
        faults = [Fault(one.what, f"{one.file}, line {one.line}", one.remedy) for one in error.problems]
    if json:
        _print_json({"is_in_order": not faults, "errors": [fault._asdict() for fault in faults]})
    else:
        _show_check(declared, faults)
    if faults:
        raise typer.Exit(1)


@alerts.command("test")
def send_sample(
    route: Annotated[str | None, typer.Argument(help="A route; without one, all of them.", show_default=False)] = None,
    data_dir: DataDir = _DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Send a sample through the real channels of a route, and say what happened. Exit status 1 if one did not arrive."""
    console = Console(highlight=False, markup=False)
    tried: list[Tried] = []
    for one in try_routes(read_alerts_file(_settings(data_dir)), route, os.environ):
        tried.append(one)
        if not json:
            mark = ("arrived", "green") if one.has_arrived else ("failed", "bold red")
            reason = f": {one.reason}" if one.reason else ""
            console.print(Text.assemble(f"{one.route} → {one.channel} ({one.kind}) ", mark, reason), soft_wrap=True)
    if json:
        _print_json({"has_arrived": all(one.has_arrived for one in tried), "tried": [one._asdict() for one in tried]})
    if not all(one.has_arrived for one in tried):
        raise typer.Exit(1)


@alerts.command()
def status(data_dir: DataDir = _DEFAULT_DIR, json: Json = False) -> None:
    """What waits for each channel, what was given up, and which channels are in a storm."""
    settings = _settings(data_dir)
    declared = read_alerts_file(settings)
    store = open_alert_store(settings)
    held, stormy = counts(store), storms(store)
    rows = [
        {
            "channel": channel.name,
            "kind": channel.kind,
            "waiting": sum(held.get((channel.name, state), 0) for state in (WAITING, RETRYING, SENDING)),
            "dead": held.get((channel.name, DEAD), 0),
            "storm_since": _time(stormy[channel.name].since_us) if channel.name in stormy else None,
        }
        for channel in declared.channels
    ]
    store.dispose()
    if json:
        _print_json({"channels": rows})
        return
    table = Table("channel", "kind", "waiting", "given up", "storm since", box=None, pad_edge=False)
    for row in rows:
        cells = (row["channel"], row["kind"], f"{row['waiting']:,}", f"{row['dead']:,}", row["storm_since"] or "")
        table.add_row(*map(str, cells))
    Console(highlight=False).print(table)


@dead.command("list")
def list_dead(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 50,
    data_dir: DataDir = _DEFAULT_DIR,
    json: Json = False,
) -> None:
    """What was given up, the newest first, with the reason."""
    store = open_alert_store(_settings(data_dir))
    letters = dead_letters(store, limit)
    store.dispose()
    if json:
        _print_json({"letters": [_document(letter) for letter in letters]})
        return
    console = Console(highlight=False, markup=False)
    if not letters:
        console.print("nothing was given up")
        return
    table = Table("number", "given up", "channel", "route", "kind", "attempts", "reason", box=None, pad_edge=False)
    for one in letters:
        cells = (str(one.number), _time(one.done_us), one.channel, one.route, one.kind, str(one.attempts), one.reason)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


@dead.command()
def retry(numbers: Numbers = None, every: All = False, data_dir: DataDir = _DEFAULT_DIR, json: Json = False) -> None:
    """Send again what was given up."""
    store = open_alert_store(_settings(data_dir))
    count = retry_dead(store, _chosen(numbers, every), wall_clock_us())
    store.dispose()
    _tell(count, "will be sent again", json)


@dead.command()
def drop(numbers: Numbers = None, every: All = False, data_dir: DataDir = _DEFAULT_DIR, json: Json = False) -> None:
    """Put away what was given up: it will not be sent."""
    store = open_alert_store(_settings(data_dir))
    count = drop_dead(store, _chosen(numbers, every), wall_clock_us())
    store.dispose()
    _tell(count, "put away", json)


def _settings(data_dir: Path) -> Settings:
    """Those of the stack that runs there, or those of the working directory."""
    try:
        return running_settings(data_dir)[0]
    except UnavailableError:
        return Settings().model_copy(update={"data_dir": data_dir})


def _chosen(numbers: list[int] | None, every: bool) -> list[int] | None:
    if bool(numbers) == every:
        raise ConfigurationError("it is not said which messages are meant", remedy="give their numbers, or --all")
    return None if every else numbers


def _show_check(declared: DeclaredAlerts | None, faults: Iterable[Fault]) -> None:
    console = Console(highlight=False, markup=False)
    count = 0
    for fault in faults:
        count += 1
        console.print(Text.assemble(("error: ", "bold red"), fault.what), soft_wrap=True)
        console.print(Text.assemble(("where: ", "bold"), fault.where), soft_wrap=True)
        if fault.remedy:
            console.print(Text.assemble(("to do: ", "bold"), fault.remedy), soft_wrap=True)
    if declared is not None and not count:
        console.print(f"in order; routes: {len(declared.routes)}, channels: {len(declared.channels)}")
    elif count:
        console.print(f"{count} error{'s' if count > 1 else ''}")


def _document(letter: DeadLetter) -> dict[str, Any]:
    document = letter._asdict()
    document["given_up"] = _time(document.pop("done_us"))
    return document


def _tell(count: int, what: str, json: bool) -> None:
    if json:
        _print_json({"count": count})
    else:
        Console(highlight=False).print(f"{count:,} {what}")


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat().replace("+00:00", "Z")


def _print_json(document: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
