"""`trueup files`: check and load settlement files of payment channels, and list what is loaded."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cdc.files.checking import Wanted, stage_file
from cdc.files.control import Given
from cdc.files.declared import FileMapping
from cdc.files.loading import finish_loads, load_file
from cdc.files.mapping_file import load_mapping
from cdc.files.refusals import FileRefused, MappingRefused
from cdc.files.store import STORE_FILE, FileStore, Load
from trueup.cli.shared_options import shares
from trueup.model.errors import ConfigurationError
from trueup.model.money import minor_units
from trueup.stack_files import running_settings

REFUSED: Final = 1
"""Exit status for a file or a mapping that is refused."""

files = typer.Typer(help="Settlement files of payment channels.", no_args_is_help=True)

DataDir = Annotated[Path, typer.Option("--data-dir", help="Data directory of the running stack.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@files.callback()
def options() -> None:
    """Settlement files of payment channels."""


def _given(
    md5: Annotated[str, typer.Option("--md5", help="MD5 that the channel told.")] = "",
    count: Annotated[int | None, typer.Option("--count", help="Count of rows that the channel told.")] = None,
    total: Annotated[
        list[str] | None, typer.Option("--total", help="Control total that it told, such as EUR=1234.50.")
    ] = None,
) -> Given:
    totals: dict[str, str] = {}
    for text in total or ():
        currency, _, amount = text.partition("=")
        minor_units(amount, currency)
        totals[currency] = amount
    return Given(md5, count, totals)


@files.command()
@shares(given=_given)
def check(
    file: Annotated[Path, typer.Argument(help="The settlement file.")],
    mapping: Annotated[Path, typer.Option("--mapping", help="Mapping of its kind, TOML.")],
    given: Given,
    json: Json = False,
) -> None:
    """Check a file against its mapping, its totals and its end; nothing is loaded. Exit status 1 if it is refused."""
    with _refusals_told(json):
        declared = load_mapping(mapping)
        store = FileStore(None)
        with _progress(file) as bars, store.all_or_nothing():
            load = stage_file(Wanted(file, declared, given), store, bars.read)
        store.close()
        _tell(load, declared, {"outcome": "right"}, json)


@files.command()
@shares(given=_given)
def load(
    file: Annotated[Path, typer.Argument(help="The settlement file.")],
    mapping: Annotated[Path, typer.Option("--mapping", help="Mapping of its kind, TOML.")],
    given: Given,
    again: Annotated[bool, typer.Option("--again", help="Take content that was loaded and replaced before.")] = False,
    data_dir: DataDir = Path(".trueup"),
    json: Json = False,
) -> None:
    """Check a file and load it as a whole; a corrected file replaces its former version. Exit status 1 if it is refused."""
    with _refusals_told(json):
        declared = load_mapping(mapping)
        settings, _ = running_settings(data_dir)
        store = FileStore(data_dir / STORE_FILE)
        try:
            with _progress(file) as bars:
                loaded, sent = load_file(settings, store, Wanted(file, declared, given, again), bars.read, bars.sent)
        finally:
            store.close()
        changes = {"created": sent.created, "updated": sent.updated, "deleted": sent.deleted}
        _tell(loaded, declared, {"outcome": "replaced" if loaded.former else "loaded", **changes}, json)


@files.command()
def finish(data_dir: DataDir = Path(".trueup")) -> None:
    """Finish loads that were interrupted; the next load does it as well."""
    settings, _ = running_settings(data_dir)
    store = FileStore(data_dir / STORE_FILE)
    with store.alone():
        finished = finish_loads(settings, store)
    store.close()
    Console(highlight=False).print(f"{len(finished)} loads finished")


@files.command("list")
def list_files(data_dir: DataDir = Path(".trueup"), json: Json = False) -> None:
    """What is loaded, and what was replaced."""
    path = data_dir / STORE_FILE
    store = FileStore(path if path.exists() else None)
    loads = store.loads()
    store.close()
    if json:
        _write([_document(one) for one in loads])
        return
    table = Table("table", "file", "id", "rows", "totals", "loaded at (UTC)", "state")
    for one in loads:
        totals = ", ".join(f"{total} {currency}" for currency, total in orjson.loads(one.totals).items())
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one.loaded_at_us // 1_000_000))
        table.add_row(one.feed, one.file_name, one.file_id, f"{one.rows:,}", totals, at, one.state)
    Console(highlight=False).print(table if loads else "no file is loaded")


class _Bars:
    """The progress of a file: bytes that are checked, then rows that are sent."""

    def __init__(self, progress: Progress, size: int) -> None:
        self._progress = progress
        self._checking = progress.add_task("checking", total=size)
        self._sending: Any = None

    def read(self, done: int) -> None:
        """So many bytes are checked."""
        self._progress.update(self._checking, completed=done)

    def sent(self, done: int) -> None:
        """So many rows are sent."""
        if self._sending is None:
            self._sending = self._progress.add_task("sending", total=None)
        self._progress.update(self._sending, completed=done, description=f"sending {done:,} rows")


@contextlib.contextmanager
def _progress(file: Path) -> Iterator[_Bars]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        try:
            size = file.stat().st_size
        except OSError as error:
            raise ConfigurationError(
                f"the file cannot be read: {error.strerror}", where=str(file), remedy="give a readable file"
            ) from None
        yield _Bars(progress, size)


@contextlib.contextmanager
def _refusals_told(json: bool) -> Iterator[None]:
    """Print every problem of a refused file or mapping, and leave with the exit status for it."""
    try:
        yield
    except (FileRefused, MappingRefused) as refused:
        problems, where = refused.problems, refused.where.partition(", line ")[0]
        count = refused.count if isinstance(refused, FileRefused) else len(problems)
        if json:
            told = [one._asdict() for one in problems]
            _write({"outcome": "refused", "file": where, "problems": told, "problem_count": count})
        else:
            console = Console(stderr=True, highlight=False, soft_wrap=True)
            console.print(Text(f"{where} is refused, not one row of it counts:", "bold red"))
            for one in problems:
                place = f"line {one.line}: " if one.line else ""
                console.print(Text(f"  {place}{one.what}" + (f" · {one.remedy}" if one.remedy else "")))
            if count > len(problems):
                console.print(f"  and {count - len(problems):,} more")
        raise typer.Exit(REFUSED) from None


def _document(load: Load) -> dict[str, Any]:
    return {
        "table": load.feed, "file": load.file_name, "file_id": load.file_id, "md5": load.md5, "rows": load.rows,
        "totals": orjson.loads(load.totals), "loaded_at_us": load.loaded_at_us, "state": load.state,
    }  # fmt: skip


def _tell(load: Load, mapping: FileMapping, more: dict[str, Any], json: bool) -> None:
    if json:
        told = {name: value for name, value in _document(load).items() if name not in {"state", "loaded_at_us"}}
        _write({**more, **told})
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{load.file_name} is right: {load.rows:,} rows, MD5 {load.md5}")
    for currency, total in orjson.loads(load.totals).items():
        console.print(f"  {mapping.totalled_column}: {total} {currency}")
    if "created" in more:
        changes = ", ".join(f"{more[name]:,} {name}" for name in ("created", "updated", "deleted"))
        console.print(f"{more['outcome']} on topic {load.feed}: {changes}")


def _write(document: object) -> None:
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
