"""What every command on discrepancies needs: the running stack, the cases behind the ids that people type, JSON."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from clickhouse_connect.driver.client import Client

from clickhouse.case_reader import ID_CHARS, CaseReader
from clickhouse.client import connect
from trueup.model.errors import ConfigurationError
from trueup.settings import Settings
from trueup.stack_files import running_settings

PREFIX_CHARS_MIN: Final = 4
AMBIGUOUS_SHOWN: Final = 5

DataDir = Annotated[Path, typer.Option("--data-dir", help="Data directory of the running stack.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextlib.contextmanager
def case_desk(data_dir: Path) -> Iterator[tuple[Settings, Client, CaseReader]]:
    """The running stack of a data directory, its ClickHouse, and a reader of its cases."""
    settings, _ = running_settings(data_dir)
    client = connect(settings.clickhouse)
    try:
        yield settings, client, CaseReader(client, settings.clickhouse.database)
    finally:
        client.close()


def cases_of(reader: CaseReader, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The cases whose ids begin so, each once, in the order given. Errors: ConfigurationError for none or several."""
    wanted = list(dict.fromkeys(text.strip().lower() for text in ids))
    for text in wanted:
        if not PREFIX_CHARS_MIN <= len(text) <= ID_CHARS or not set(text) <= set("0123456789abcdef"):
            raise ConfigurationError(
                f"{text[:60]!r} is no id of a discrepancy",
                remedy=f"give at least {PREFIX_CHARS_MIN} of its hexadecimal digits, as `trueup discrepancies list` shows",
            )
    cases = reader.beginning_with(wanted)
    found = {text: [case for case in cases if case["discrepancy_id"].startswith(text)] for text in wanted}
    unknown = [text for text, those in found.items() if not those]
    if unknown:
        raise ConfigurationError(
            f"no discrepancy is called {', '.join(unknown)}",
            remedy="check the id; `trueup discrepancies list --standing all` shows every one",
        )
    for text, those in found.items():
        if len(those) > 1:
            names = ", ".join(f"{case['discrepancy_id'][:12]} ({case['rule']})" for case in those[:AMBIGUOUS_SHOWN])
            more = f" and {len(those) - AMBIGUOUS_SHOWN} more" if len(those) > AMBIGUOUS_SHOWN else ""
            raise ConfigurationError(f"{text} may be {names}{more}", remedy="give more digits of the id")
    return list({case["discrepancy_id"]: case for those in found.values() for case in those}.values())


def print_json(value: object) -> None:
    """One JSON document."""
    sys.stdout.write(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode() + "\n")
