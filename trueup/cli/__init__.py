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
    "demo": Place(
        "trueup.cli.demo_command",
        "demo",
        "Reconcile a real settlement database while it trades: planted faults in, scorecard out.",
    ),
    "up": Place(
        "trueup.cli.up_command",
        "up",
        "Run PostgreSQL, Kafka, ClickHouse, the CDC reader and the workers on 127.0.0.1 until Ctrl-C.",
    ),
    "status": Place(
        "trueup.cli.inspect_commands",
        "status",
        "Services, lag, watermarks, verdicts and open discrepancies of the running stack.",
    ),
    "trace": Place(
        "trueup.cli.inspect_commands",
        "trace",
        "Everything about one order in time order: legs, versions, CDC events, verdicts.",
    ),
    "totals": Place(
        "trueup.cli.inspect_commands", "totals", "A statement's running total beside upstream's amount and its payouts."
    ),
    "charge": Place(
        "trueup.cli.charge",
        "charge",
        "Fees, shares and netting of one order by the charging spec; --explain prints how each fee came about.",
    ),
    "check": Place(
        "trueup.cli.check",
        "check",
        "Check settings, specs, source, topics and ClickHouse, or one spec; print every error with place and remedy.",
    ),
    "sql": Place(
        "trueup.cli.sql",
        "sql",
        "Query the views of the running stack as the read-only analyst; without a query, at a prompt.",
    ),
    "report": Place(
        "trueup.cli.report",
        "report",
        "Write the report of a day: money at risk, raised and resolved, ages, largest cases, with the SQL of each figure.",
    ),
    "discrepancies": Place(
        "trueup.cli.discrepancies", "discrepancies", "Where the books disagree, and what people decide about it."
    ),
    "audit": Place("trueup.cli.audit", "audit", "The audit log of discrepancies."),
    "alerts": Place("trueup.cli.alerts", "alerts", "Alerts: try them, see what waits, and see to what was given up."),
    "cdc": Place("trueup.cli.cdc", "cdc", "The change streams of the source."),
    "files": Place("trueup.cli.files", "files", "Settlement files of payment channels."),
    "grafana": Place("trueup.cli.grafana", "grafana", "Files for Grafana and Prometheus."),
    "quarantine": Place("trueup.cli.quarantine", "quarantine", "Messages that were refused."),
    "users": Place("trueup.cli.users", "users", "Who may sign in to the dashboard, and what they may do."),
    "service": Place(
        "trueup.cli.service_commands", "service", "Processes of the stack, run by the supervisor.", hidden=True
    ),
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
