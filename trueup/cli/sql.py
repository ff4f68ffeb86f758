"""`trueup sql`: queries on the views of a running stack, as the analyst."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clickhouse.analyst import AnalystClient
from clickhouse.views import VIEWS
from trueup.cli.sql_prompt import run_prompt
from trueup.cli.sql_table import print_answer
from trueup.model.errors import ConfigurationError
from trueup.stack_files import running_settings

Format = Literal["table", "vertical", "csv", "json", "jsonl", "parquet"]
HISTORY_FILE: Final = "sql.history"
ROWS_SHOWN: Final = 100
WIDTH_OF_FILES: Final = 100_000
_FORMATS: Final[dict[str, str]] = {
    "csv": "CSVWithNames",
    "json": "JSONEachRow",
    "jsonl": "JSONEachRow",
    "parquet": "Parquet",
}


def sql(  # noqa: PLR0913 - each is an option of the command
    query: Annotated[
        str, typer.Argument(help="One query; without it, it is read from --file, a pipe or a prompt.")
    ] = "",
    file: Annotated[Path | None, typer.Option("--file", help="Read the query from a file.")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="name=value: what {name:Type} of the query stands for.")
    ] = None,
    output_format: Annotated[Format, typer.Option("--format", help="How the rows are written.")] = "table",
    output: Annotated[Path | None, typer.Option("--output", help="Write all rows to a file.")] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=100_000, help="Rows of a table; others are counted.")] = (
        ROWS_SHOWN
    ),
    list_views: Annotated[bool, typer.Option("--list", help="The views and what they hold.")] = False,
    describe: Annotated[str, typer.Option("--describe", metavar="VIEW", help="The columns of a view.")] = "",
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Data directory of the running stack.")] = Path(
        ".trueup"
    ),
) -> None:
    """Query the views of the running stack as the read-only analyst; without a query, at a prompt."""
    console = _console(sys.stdout)
    if list_views:
        return _print_views(console)
    if describe:
        return _print_columns(console, describe)
    parameters = _parameters(param or [])
    text = _query_text(query, file)
    settings, _ = running_settings(data_dir)
    with AnalystClient(settings.clickhouse) as client:
        if text is None:
            names = [name for view in VIEWS for name in (view.name, *(column.name for column in view.columns))]
            return run_prompt(
                console,
                data_dir / HISTORY_FILE,
                names,
                run=lambda one, vertical: print_answer(console, client.query(one, {}, rows), vertical=vertical),
                list_views=lambda: _print_views(console),
                describe=lambda view: _print_columns(console, view),
            )
        if output_format in _FORMATS:
            return _write(client, text, parameters, output_format, output)
        answer = client.query(text, parameters, rows)
        with _text_target(output, console) as target:
            print_answer(target, answer, vertical=output_format == "vertical")
    return None


def _console(target: TextIO) -> Console:
    """A console that keeps to the width of a terminal, and to none elsewhere."""
    width = None if target.isatty() else WIDTH_OF_FILES
    return Console(file=target, width=width, highlight=False, markup=False, emoji=False)


def _query_text(query: str, file: Path | None) -> str | None:
    """The query of the argument, the file or the pipe; None where a person sits at a terminal and gave none."""
    if query and file is not None:
        raise ConfigurationError("a query and a file are given", where="--file", remedy="give one of them")
    if file is not None:
        try:
            query = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the query cannot be read: {error}", where=str(file), remedy="name a text file with one query"
            ) from error
    elif not query:
        if sys.stdin.isatty():
            return None
        query = sys.stdin.read()
    text = query.strip().rstrip(";").strip()
    if not text:
        raise ConfigurationError("the query is empty", remedy="trueup sql 'SELECT … FROM v_orders'")
    return text


def _parameters(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, is_pair, value = one.partition("=")
        if not is_pair or not name.isidentifier():
            raise ConfigurationError(f"{one[:60]!r} is no parameter", where="--param", remedy="write name=value")
        found[name] = value
    return found


def _write(
    client: AnalystClient, text: str, parameters: Mapping[str, str], output_format: str, output: Path | None
) -> None:
    if output is None and output_format == "parquet" and sys.stdout.isatty():
        raise ConfigurationError("Parquet is no text", where="--format", remedy="add --output FILE")
    with _byte_target(output) as target:
        is_array = output_format == "json"
        for piece in client.pieces(text, parameters, _FORMATS[output_format], is_array=is_array):
            target.write(piece)


@contextlib.contextmanager
def _byte_target(output: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that is there whole or not at all."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    partial = output.with_name(f".{output.name}.part")
    try:
        with partial.open("wb") as target:
            yield target
        partial.replace(output)
    except OSError as error:
        raise ConfigurationError(
            f"the file cannot be written: {error.strerror}", where=str(output), remedy="choose another --output"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _text_target(output: Path | None, console: Console) -> Iterator[Console]:
    if output is None:
        yield console
        return
    with _byte_target(output) as target:
        text = io.StringIO()
        yield _console(text)
        target.write(text.getvalue().encode())


def _print_views(console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("view", no_wrap=True)
    table.add_column("holds", overflow="fold")
    for view in VIEWS:
        table.add_row(view.name, Text(view.comment))
    console.print(table)


def _print_columns(console: Console, name: str) -> None:
    view = next((view for view in VIEWS if view.name == name.removeprefix("trueup.")), None)
    if view is None:
        raise ConfigurationError(f"there is no view {name[:60]!r}", where="--describe", remedy="see trueup sql --list")
    console.print(Text(f"{view.name}: {view.comment}"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in ("column", "type"):
        table.add_column(head, no_wrap=True)
    table.add_column("meaning", overflow="fold")
    for column in view.columns:
        table.add_row(column.name, column.type, Text(column.comment))
    console.print(table)
