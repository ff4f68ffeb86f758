"""`trueup cdc`: the change streams of the source."""

from __future__ import annotations

import typer

from trueup.cli.cdc_connector import check, register, status
from trueup.cli.cdc_snapshot import snapshot

cdc = typer.Typer(help="The change streams of the source.", no_args_is_help=True)


@cdc.callback()
def options() -> None:
    """The change streams of the source."""


for command in (check, register, snapshot, status):
    cdc.command()(command)
