"""The command line of trueup: every command, and how a mistake is told."""

from __future__ import annotations

import sys
import tomllib
from typing import Annotated, Final, NoReturn

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from rich.text import Text

from trueup import __version__
from trueup.checking.settings_check import read_settings
from trueup.cli.late import Place, late_group
from trueup.log_setup import set_up_logging
from trueup.model.errors import TrueupError
from trueup.model.faults import Fault

_OTHER_VERSION: Final = Fault(
    "its settings cannot be read", "the stack that runs on the data directory", "start it again with this version"
)

_COMMANDS: Final = {
    "demo": Place("trueup.cli.demo_command", "demo"),
    "up": Place("trueup.cli.up_command", "up"),
    "status": Place("trueup.cli.inspect_commands", "status"),
    "trace": Place("trueup.cli.inspect_commands", "trace"),
    "totals": Place("trueup.cli.inspect_commands", "totals"),
    "charge": Place("trueup.cli.charge", "charge"),
    "check": Place("trueup.cli.check", "check"),
    "sql": Place("trueup.cli.sql", "sql"),
    "report": Place("trueup.cli.report", "report"),
    "discrepancies": Place("trueup.cli.discrepancies", "discrepancies"),
    "audit": Place("trueup.cli.audit", "audit"),
    "alerts": Place("trueup.cli.alerts", "alerts"),
    "cdc": Place("trueup.cli.cdc", "cdc"),
    "files": Place("trueup.cli.files", "files"),
    "grafana": Place("trueup.cli.grafana", "grafana"),
    "quarantine": Place("trueup.cli.quarantine", "quarantine"),
    "users": Place("trueup.cli.users", "users"),
    "service": Place("trueup.cli.service_commands", "service", hidden=True),
}

app = typer.Typer(
    name="trueup",
    cls=late_group(_COMMANDS),
    help="Reconciles money while it moves: change streams in, running totals and discrepancies out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, to standard error.")] = False,
) -> None:
    """Options of every command."""
    del version
    set_up_logging(verbose=verbose)


def main() -> NoReturn:
    """Run the command line; a user's mistake or a missing service is told in words, never as a traceback."""
    try:
        app(standalone_mode=True)
    except TrueupError as error:
        _say(error.what, error.where, error.remedy)
    except (ValidationError, SettingsError, tomllib.TOMLDecodeError):
        for fault in read_settings().faults or [_OTHER_VERSION]:
            _say(*fault)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(2)


def _say(what: str, where: str, remedy: str) -> None:
    console = Console(stderr=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), what))
    if where:
        console.print(Text.assemble(("where: ", "bold"), where))
    if remedy:
        console.print(Text.assemble(("to do: ", "bold"), remedy))
