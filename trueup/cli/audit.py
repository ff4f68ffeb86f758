"""`trueup audit verify`: whether the audit log is whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clickhouse.client import connect
from trueup.audit import ChainReport, verify_audit
from trueup.stack_files import running_settings

audit = typer.Typer(help="The audit log of discrepancies.", no_args_is_help=True)

HEAD_SHOWN: Final = 16
"""Digits of a chain's head that tell it apart at a glance; JSON has all of them."""


@audit.callback()
def options() -> None:
    """The audit log of discrepancies: every verdict and every command, chained by hashes."""


@audit.command()
def verify(
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Data directory of the running stack.")] = Path(
        ".trueup"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Recompute every hash chain of the audit log; exit status 1 when one is broken."""
    settings, _ = running_settings(data_dir)
    client = connect(settings.clickhouse)
    try:
        reports = verify_audit(settings, client)
    finally:
        client.close()
    broken = [report for report in reports if report.broken is not None]
    if json:
        chains = [{**report._asdict(), "broken": report.broken and report.broken._asdict()} for report in reports]
        found = {"whole": not broken, "entries": sum(report.length for report in reports), "chains": chains}
        sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _print(reports, broken)
    if broken:
        raise typer.Exit(1)


def _print(reports: list[ChainReport], broken: list[ChainReport]) -> None:
    console = Console(highlight=False)
    table = Table()
    for name in ("topic", "partition", "entries", "head"):
        table.add_column(name, justify="right" if name in {"partition", "entries"} else "left", overflow="fold")
    for report in reports:
        head = Text("broken", "bold red") if report.broken else Text(report.head[:HEAD_SHOWN])
        table.add_row(report.topic, str(report.partition), f"{report.length:,}", head)
    console.print(table)
    for report in broken:
        assert report.broken is not None
        place = f"{report.topic}, partition {report.partition}, offset {report.broken.kafka_offset}"
        console.print(Text.assemble(("broken: ", "bold red"), f"{report.broken.what} ({place})"))
    if not broken:
        entries = sum(report.length for report in reports)
        console.print(f"whole: {len(reports)} chains, {entries:,} entries")
        if any(report.committed is None for report in reports):
            console.print("not compared with Kafka: this broker does not tell what was committed")
