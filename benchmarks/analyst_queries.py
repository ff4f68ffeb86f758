"""How long the questions of docs/analysts.md take, asked as the analyst; written into the page.

The ClickHouse of the settings must hold the books of `python -m benchmarks.board_data`, merged or not.
"""

from __future__ import annotations

import argparse
import re
import time
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.board_data import Size
from clickhouse.analyst import AnalystClient
from trueup.settings import Settings

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "analysts.md"
BEGIN: Final = "<!-- timings: written by python -m benchmarks.analyst_queries -->\n"
END: Final = "<!-- end of timings -->"
RUNS: Final = 3
ROWS_KEPT: Final = 1
QUESTION: Final = re.compile(r"^### (\d+)\. (.+?)\n+```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COUNTED: Final = ("v_orders", "v_billing_items", "v_discrepancies", "v_audit_log")


class Timing(NamedTuple):
    """One question: the fastest and the slowest of its runs, and the rows it gave."""

    number: int
    title: str
    fastest_seconds: float
    slowest_seconds: float
    rows: int


def questions(page: str) -> list[tuple[int, str, str]]:
    """Number, title and query of each question of the page."""
    # The analyst's own database is the default one, whatever it is called.
    return [(int(number), title, query.replace("trueup.v_", "v_")) for number, title, query in QUESTION.findall(page)]


def parameters_for(client: AnalystClient, until: date) -> dict[str, str]:
    """Values for the parameters of the page: the month before the newest day, and a statement with many items."""
    month = date(until.year, until.month - 1, 1) if until.month > 1 else date(until.year - 1, 12, 1)
    found = client.query(
        "SELECT statement_id FROM v_statements WHERE delta_amount != 0 ORDER BY running_count DESC, statement_id LIMIT 1",
        {},
        ROWS_KEPT,
    )
    return {"id": found.rows[0][0], "month": month.isoformat(), "since": f"{month.isoformat()} 00:00:00"}


def measure(client: AnalystClient, page: str, given: dict[str, str]) -> list[Timing]:
    """Runs every question several times."""
    timings = []
    for number, title, query in questions(page):
        needed = {name: given[name] for name in set(re.findall(r"\{(\w+):", query))}
        seconds, rows = [], 0
        for _ in range(RUNS):
            began_at = time.perf_counter()
            rows = client.query(query, needed, ROWS_KEPT).row_count
            seconds.append(time.perf_counter() - began_at)
        timings.append(Timing(number, title, min(seconds), max(seconds), rows))
    return timings


def table(timings: list[Timing], counts: dict[str, int]) -> str:
    """The timings as a table, and the size of the books above it."""
    size = ", ".join(f"{count:,} rows in `{view}`" for view, count in counts.items())
    rows = "".join(
        f"| {one.number}. {one.title} | {one.rows:,} | {one.fastest_seconds:.2f} s | {one.slowest_seconds:.2f} s |\n"
        for one in timings
    )
    head = "| question | rows | fastest | slowest |\n|---|---|---|---|\n"
    return f"\nOn two cores, with {size}; {RUNS} runs each, the first of them cold:\n\n{head}{rows}\n"


def main() -> None:
    """Measure, print, and write into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analyst_queries", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="print only")
    chosen = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    with AnalystClient(Settings().clickhouse) as client:
        counts = {view: client.query(f"SELECT count() FROM {view}", {}, ROWS_KEPT).rows[0][0] for view in COUNTED}
        text = table(measure(client, page, parameters_for(client, Size().until.date())), counts)
    print(text)
    if not chosen.dry_run:
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(before + BEGIN + text + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
