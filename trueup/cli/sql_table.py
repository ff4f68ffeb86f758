"""The rows of a query for people: a table where its columns fit the terminal, one row below the other where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clickhouse.analyst import Answer
from trueup.cli.case_table import plain

GAP: Final = 2
CUT_CHARS: Final = 12
"""Texts may be cut to so much before a table gives up; numbers and times never are."""

NULL: Final = "–"


def value_text(value: Any) -> str:
    """A value for people: amounts with thousands and at least two digits, times in UTC, a dash for NULL."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return _decimal_text(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_text(each) for each in value)}]"
    return str(value)


def _decimal_text(value: Decimal) -> str:
    whole, _, fraction = f"{value:,f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}" if fraction else whole


def print_answer(console: Console, answer: Answer, *, vertical: bool = False) -> None:
    """Prints the rows, and below them how many more there are."""
    cells = [[value_text(value) for value in row] for row in answer.rows]
    if answer.rows and (vertical or not _fits(answer, cells, console)):
        _print_vertical(console, answer, cells)
    else:
        console.print(_table(answer, cells))
    console.print(Text(_footer(answer), style="dim"))


def _footer(answer: Answer) -> str:
    rows = f"{answer.row_count:,} row{'' if answer.row_count == 1 else 's'}"
    hidden = answer.row_count - len(answer.rows)
    if not hidden:
        return rows
    return f"{rows}, {hidden:,} of them not shown (--rows shows more, --output FILE --format csv takes all)"


def _is_number(kind: str) -> bool:
    inner = kind.removeprefix("LowCardinality(").removeprefix("Nullable(")
    return inner.startswith(("Int", "UInt", "Float", "Decimal"))


def _is_cut(kind: str) -> bool:
    inner = kind.removeprefix("LowCardinality(").removeprefix("Nullable(")
    return inner.startswith(("String", "Array", "Map", "Tuple"))


def _fits(answer: Answer, cells: Sequence[Sequence[str]], console: Console) -> bool:
    """Whether a table needs no more than the terminal is wide, its texts cut to `CUT_CHARS` if need be."""
    needed = 0
    for place, (name, kind) in enumerate(zip(answer.names, answer.types, strict=True)):
        width = max(cell_len(name), *(cell_len(row[place]) for row in cells))
        needed += min(width, CUT_CHARS) if _is_cut(kind) else width
    return needed + GAP * (len(answer.names) - 1) <= console.width


def _table(answer: Answer, cells: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name, kind in zip(answer.names, answer.types, strict=True):
        is_text = _is_cut(kind)
        table.add_column(
            Text(plain(name)),
            justify="right" if _is_number(kind) else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=None if is_text else max((cell_len(name), *_widths(answer, cells, name))),
        )
    for row in cells:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table


def _widths(answer: Answer, cells: Sequence[Sequence[str]], name: str) -> list[int]:
    place = answer.names.index(name)
    return [cell_len(row[place]) for row in cells]


def _print_vertical(console: Console, answer: Answer, cells: Sequence[Sequence[str]]) -> None:
    width = max(cell_len(name) for name in answer.names)
    for number, row in enumerate(cells, start=1):
        console.print(Text(f"── row {number:,} ", style="dim"))
        facts = Table.grid(padding=(0, GAP, 0, 0))
        facts.add_column(min_width=width, no_wrap=True, style="bold")
        facts.add_column(overflow="fold")
        for name, cell in zip(answer.names, row, strict=True):
            facts.add_row(Text(plain(name)), Text(plain(cell)))
        console.print(facts)
