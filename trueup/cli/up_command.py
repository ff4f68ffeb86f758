"""`trueup up`: run the whole stack on this machine until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from trueup.dashboard_wiring import dashboard_address, sign_in_address
from trueup.embedded.memory_broker import LIMITS
from trueup.settings import ReaderKind, Settings
from trueup.stack import Stack

DataDir = Annotated[Path, typer.Option("--data-dir", help="Everything the stack keeps lives below this directory.")]
Broker = Annotated[
    Literal["kafka", "memory"],
    typer.Option(help="kafka: the real broker (Java 17+ and Maven). memory: in memory, for a look only."),
]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Worker processes; one per core is right.")]


def up(
    data_dir: DataDir = Path(".trueup"),
    broker: Broker = "kafka",
    workers: Workers = 2,
    partitions: Annotated[
        int, typer.Option(min=1, max=1024, help="Partitions of the joined topics; fixed when they are created.")
    ] = 8,
    reader: Annotated[
        ReaderKind | None,
        typer.Option(help="How changes are found; debezium: by Kafka Connect. Default: source.reader of the settings."),
    ] = None,
) -> None:
    """Run PostgreSQL, Kafka, ClickHouse, the CDC reader and the workers on 127.0.0.1 until Ctrl-C."""
    console = Console(stderr=True, highlight=False)
    if broker == "memory":
        console.print(LIMITS, style="yellow")
    stack = Stack(data_dir, broker=broker, workers=workers, partitions=partitions, reader=reader, say=console.print)

    def ready() -> None:
        settings = stack.settings
        console.print("[bold green]ready[/]  (Ctrl-C stops everything)")
        for name, address in (
            ("PostgreSQL", f"{settings.source.host}:{settings.source.port}/{settings.source.database}"),
            ("Kafka", settings.kafka.bootstrap),
            ("ClickHouse", f"http://{settings.clickhouse.host}:{settings.clickhouse.port}/"),
        ):
            console.print(f"  {name:<11}{address}")
        show_sign_in(console, settings)
        console.print(f"  passwords and logs are below {stack.data_dir}")
        console.print("  in another terminal: trueup status · trueup trace ORDER_ID · trueup totals STATEMENT_ID")

    stack.run(ready)
    console.print("stopped")


def show_sign_in(console: Console, settings: Settings) -> None:
    """Say where the dashboard of a running stack is, with a link that signs in once where people sign in."""
    address, link = dashboard_address(settings), sign_in_address(settings)
    console.print(f"  {'Dashboard':<11}{address}/")
    if link != address:
        console.print("  sign in within ten minutes (the link works once; trueup users link makes another):")
        # Whole and unbroken, so that a terminal offers it as a link.
        console.print(f"  {link}", soft_wrap=True)
