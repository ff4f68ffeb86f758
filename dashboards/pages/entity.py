"""What the pages of orders, statements, payouts and sellers have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import HTTPException

from clickhouse.case_reader import CaseFilter, Record
from clickhouse.query import Query
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


def address(path: str, **values: object) -> str:
    """The address with its query; what is empty is left out."""
    query = urlencode({name: value for name, value in values.items() if value not in {None, "", False}})
    return f"{path}?{query}" if query else path


def cases_about(board: Board, chosen: CaseFilter, more: str) -> dict[str, Any]:
    """The discrepancies of an entity for `_entity_cases.html`, the newest first; `more` is the address of all of them."""
    page = board.cases.page(chosen, CASES_SHOWN)
    query = board.cases.page_query(chosen, CASES_SHOWN)
    return {"cases": [_shown(case) for case in page.rows], "query": query, "more": more, "has_more": bool(page.next)}


def cases_of_query(board: Board, query: Query, more: str) -> dict[str, Any]:
    """The same from a query on `v_cases`."""
    return {
        "cases": [_shown(case) for case in board.cases.rows(query)],
        "query": query,
        "more": more,
        "has_more": False,
    }


def _shown(case: Mapping[str, Any]) -> dict[str, Any]:
    minor = difference_minor(case)
    return {**case, "difference": None if minor is None else to_decimal(minor, case["currency"])}
