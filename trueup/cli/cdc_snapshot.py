"""`trueup cdc snapshot`: copies tables of the source again while its changes are read on."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import uuid4

import orjson
import typer
from rich.console import Console

from cdc.delivery import DeliveryProducer
from cdc.postgres_state import ask_for_copy, following_state
from cdc.source_tables import SourceTable, settlement_tables
from trueup.checking.parts import running_settings_of
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.settings import Settings
from trueup.user_specs import read_user_specs

SEND_SECONDS_MAX: Final = 30.0
LOOK_SECONDS: Final = 0.5


def snapshot(
    tables: Annotated[list[str], typer.Argument(metavar="TABLE...", help="Tables, as table or schema.table.")],
    wait_seconds: Annotated[
        float,
        typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for the copy; 0 only asks for it."),
    ] = 600.0,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Data directory of the running stack.")] = Path(
        ".trueup"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Copy tables again while the reader goes on: rows that are wrong here are put right, rows that are gone go.

    The request is kept until a reader has done it, also over restarts.
    """
    settings = running_settings_of(data_dir) or Settings()
    source, bootstrap = settings.source, settings.kafka.bootstrap
    labels = chosen_tables(tables, settings)
    request = uuid4().hex
    with contextlib.closing(DeliveryProducer(bootstrap)) as producer:
        for label in labels:
            ask_for_copy(producer, source.name, label, request)
        producer.drain(SEND_SECONDS_MAX)
    waiting = waiting_after(bootstrap, source.name, request, wait_seconds) if wait_seconds else labels
    document: dict[str, Any] = {"source": source.name, "asked": labels, "copied": sorted(set(labels) - {*waiting})}
    if json:
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    else:
        console = Console(highlight=False)
        for label in labels:
            console.print(f"{label}: {'asked for' if label in waiting else 'copied'}")
    if waiting and wait_seconds:
        raise UnavailableError(
            f"not copied within {wait_seconds:g} s: {', '.join(waiting)}",
            where=f"source {source.name}",
            remedy="the request stays; see that the reader runs and what /readyz of it says",
        )


def chosen_tables(names: list[str], settings: Settings) -> list[str]:
    """The labels of tables that are read, each once. Errors: ConfigurationError for one that is not."""
    source = settings.source
    read: tuple[SourceTable, ...] = (
        *settlement_tables(source.schema_name),
        *read_user_specs(settings).more_tables,
    )
    known = {table.label for table in read}
    labels = list(dict.fromkeys(name if "." in name else f"{source.schema_name}.{name}" for name in names))
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise ConfigurationError(
            f"not read: {', '.join(unknown)}",
            where=f"source {source.name}",
            remedy=f"choose from {', '.join(sorted(known))}",
        )
    return labels


def waiting_after(bootstrap: str, source_name: str, request: str, seconds: float) -> list[str]:
    """The tables of a request that are not copied after so long; returns as soon as there are none."""
    deadline = time.monotonic() + seconds
    with following_state(bootstrap, source_name) as follower:
        asked = follower.read_to_end().asked
        while request in asked.values() and time.monotonic() < deadline:
            asked = follower.wait(LOOK_SECONDS).asked
    return sorted(label for label, held in asked.items() if held == request)
