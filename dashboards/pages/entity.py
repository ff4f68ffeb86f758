"""What the pages of orders, statements, payouts and sellers have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import HTTPException

from clickhouse.case_reader import CaseFilter
from clickhouse.query import Query, Record
from dashboards.pages.case_view import ROW_COLUMNS
from dashboards.web.board import Board
from trueup.case_story import difference_minor
from trueup.model.money import to_decimal

ROWS: Final = 50
CASES_SHOWN: Final = 25
ID_CHARS_MAX: Final = 200


def first_row(rows: Sequence[Record]) -> Record:
    """The first row, or the page that says that there is none: HTTPException 404."""
    if not rows:
        raise HTTPException(404)
    return rows[0]


def rows_of_all(board: Board, *asked: Query | CaseFilter) -> list[list[Record]]:
    """The rows of each query, and the newest cases of a filter, asked at the same time.

    One query alone seldom keeps more than one core busy.
    """

    def rows(one: Query | CaseFilter) -> list[Record]:
        return board.cases.rows(one) if isinstance(one, Query) else newest_cases(board, one)

    with ThreadPoolExecutor(len(asked)) as threads:
        return list(threads.map(rows, asked))


def address(path: str, **values: object) -> str:
    """The address with its query; what is empty is left out."""
    query = urlencode({name: value for name, value in values.items() if value not in {None, "", False}})
    return f"{path}?{query}" if query else path


def cases_about(board: Board, chosen: CaseFilter, more: str) -> dict[str, Any]:
    """The discrepancies of an entity for the macro `cases_card`, the newest first; `more` is the address of all of them."""
    return cases_shown(cases_query(board, chosen), newest_cases(board, chosen), more)


def newest_cases(board: Board, chosen: CaseFilter) -> list[Record]:
    """The newest discrepancies that are shown of those, and one more, so that it is known whether there are others."""
    return board.cases.page_rows(chosen, CASES_SHOWN + 1, columns=ROW_COLUMNS)


def cases_query(board: Board, chosen: CaseFilter) -> Query:
    """The query that gives `newest_cases`."""
    return board.cases.page_query(chosen, CASES_SHOWN + 1)


def cases_shown(query: Query, rows: Sequence[Record], more: str = "") -> dict[str, Any]:
    """What `cases_about` gives, from rows that were read already: all of them where no page shows `more`."""
    shown = [_shown(case) for case in (rows[:CASES_SHOWN] if more else rows)]
    return {"cases": shown, "query": query, "more": more, "has_more": len(rows) > len(shown)}


def _shown(case: Mapping[str, Any]) -> dict[str, Any]:
    minor = difference_minor(case)
    return {**case, "difference": None if minor is None else to_decimal(minor, case["currency"])}
