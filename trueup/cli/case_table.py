"""A list of discrepancies as a table as wide as the terminal: columns are left out by priority, nothing wraps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from trueup.case_story import difference_minor
from trueup.model.money import shown, to_decimal

GAP: Final = 2
CELL_CHARS_MAX: Final = 28
DETAIL_CHARS_MAX: Final = 60
ID_CHARS: Final = 8
"""As many as tell discrepancies apart in practice; more are shown where they do not."""

SHRUNK_CHARS: Final = 6
_SHRINKING: Final = ("rule", "standing")
"""Columns that are cut where even the most important ones do not fit; half an id or amount would be another one."""

STYLES: Final = {
    "open": "red", "regressed": "bold red", "acknowledged": "yellow", "assigned": "yellow", "snoozed": "blue",
    "waive-requested": "magenta", "waived": "dim", "resolved": "green", "auto-resolved": "green",
    "critical": "bold red", "high": "red", "medium": "yellow", "low": "dim",
}  # fmt: skip

Case = Mapping[str, Any]


class Column(NamedTuple):
    """A column: a lower rank stays longer; those of rank 0 are always there."""

    name: str
    rank: int
    text: Callable[[Case], str]
    is_number: bool = False
    chars_max: int = CELL_CHARS_MAX


def plain(text: str, chars_max: int = 0) -> str:
    """Text of the books or of people without control characters, cut at `chars_max` terminal cells (0: not cut)."""
    safe = "".join(char if char.isprintable() else " " for char in text)
    if not chars_max or cell_len(safe) <= chars_max:
        return safe
    while cell_len(safe) >= chars_max:
        safe = safe[:-1]
    return safe + "…"


def local_time(at: datetime | None) -> str:
    """A time in this machine's time zone, to the minute."""
    return "–" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M")


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, in its largest unit: `3d`, `5h`, `12m`."""
    if since is None:
        return "–"
    minutes = max(0, int((now - since).total_seconds() // 60))
    if minutes < 60:
        return f"{minutes}m"
    return f"{minutes // 60}h" if minutes < 48 * 60 else f"{minutes // 1440:,}d"


def amount_text(case: Case) -> str:
    """Actual − expected for people, a missing side counting as nothing; a dash where no amounts are compared."""
    difference = difference_minor(case)
    return "–" if difference is None else shown(to_decimal(difference, case["currency"]), case["currency"])


def id_chars(ids: Sequence[str]) -> int:
    """How many characters tell these ids apart, at least `ID_CHARS`."""
    chars = ID_CHARS
    while len({identifier[:chars] for identifier in ids}) < len(set(ids)):
        chars += 1
    return chars


def case_table(cases: Sequence[Case], width: int, now: datetime) -> Table:
    """The table; `width` is in terminal cells, `now` what ages are counted to."""
    columns = _fitting(_columns(id_chars([case["discrepancy_id"] for case in cases]), now), cases, width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column, _ in columns:
        table.add_column(
            column.name, no_wrap=True, overflow="ellipsis", justify="right" if column.is_number else "left"
        )
    for number in range(1, len(cases) + 1):
        table.add_row(*(Text(cells[number], STYLES.get(cells[number], "")) for _, cells in columns))
    return table


def _columns(chars: int, now: datetime) -> tuple[Column, ...]:
    """All columns, in the order in which they stand."""

    def held(name: str, rank: int, key: str, chars_max: int = CELL_CHARS_MAX) -> Column:
        return Column(name, rank, lambda case: str(case[key]) or "–", chars_max=chars_max)

    return (
        Column("id", 0, lambda case: case["discrepancy_id"][:chars]),
        held("standing", 0, "standing"),
        held("severity", 3, "severity"),
        held("rule", 0, "rule"),
        Column("difference", 0, amount_text, is_number=True, chars_max=60),
        Column("entity", 1, lambda case: f"{case['entity_kind']} {case['entity_id']}"),
        Column("age", 2, lambda case: age(case["raised_at"], now), is_number=True),
        held("assignee", 4, "assignee"),
        held("seller", 5, "shop_id"),
        held("order", 6, "order_id"),
        held("statement", 7, "statement_id"),
        Column("due", 8, lambda case: local_time(case["due_at"])),
        Column("expected", 9, lambda case: shown(case["expected"], case["currency"]), is_number=True, chars_max=60),
        Column("actual", 10, lambda case: shown(case["actual"], case["currency"]), is_number=True, chars_max=60),
        Column("raised", 11, lambda case: local_time(case["raised_at"])),
        held("detail", 12, "detail", DETAIL_CHARS_MAX),
    )


def _fitting(columns: Sequence[Column], cases: Sequence[Case], width: int) -> list[tuple[Column, list[str]]]:
    """The columns that fit beside each other, with their cells, head first."""
    cells = {
        column.name: [column.name, *(plain(column.text(case), column.chars_max) for case in cases)]
        for column in columns
    }
    left = width + GAP
    kept = set()
    for column in sorted(columns, key=lambda column: column.rank):
        needed = _width(cells[column.name]) + GAP
        if column.rank and needed > left:
            # What matters less must not take the place of what matters more.
            break
        left -= needed
        kept.add(column.name)
    for name in _SHRINKING:
        if left < 0:
            before = _width(cells[name])
            cells[name] = [plain(cell, max(SHRUNK_CHARS, before + left)) for cell in cells[name]]
            left += before - _width(cells[name])
    return [(column, cells[column.name]) for column in columns if column.name in kept]


def _width(cells: Sequence[str]) -> int:
    return max(map(cell_len, cells))
