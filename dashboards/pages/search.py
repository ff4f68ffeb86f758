"""The search box of the head: an id leads to what it belongs to."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse
from starlette.requests import Request
from starlette.responses import Response

from clickhouse.id_search import Match, find_ids, search_query
from dashboards.web.board import BoardDep
from dashboards.web.guard import Viewer
from dashboards.web.page import render

router = APIRouter()

ADDRESSES: Final = {
    "order": "/orders/",
    "statement": "/statements/",
    "payout": "/payouts/",
    "seller": "/sellers/",
    "discrepancy": "/discrepancies/",
}
_ID_CHARS_MAX: Final = 100


@router.get("/search")
def search(
    request: Request, board: BoardDep, account: Viewer, q: Annotated[str, Query(max_length=_ID_CHARS_MAX)] = ""
) -> Response:
    """To the one thing with this id; a choice when there are several, a word when there is none."""
    del account
    text = q.strip()
    matches = find_ids(board.client, board.database, text) if text else []
    if len(matches) == 1:
        return RedirectResponse(address_of(matches[0]), 303)
    choices = [(match, address_of(match)) for match in matches]
    return render(request, "search.html", text=text, choices=choices, query=search_query(board.database, text))


def address_of(match: Match) -> str:
    """Where the page of a match is."""
    return ADDRESSES[match.kind] + quote(match.identifier, safe="")
