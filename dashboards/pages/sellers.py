"""Sellers: what was agreed with each, what is in question, and one with statements, payouts and the history of the agreement."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from clickhouse.case_reader import UNSETTLED, CaseFilter
from clickhouse.keyset import slice_of
from clickhouse.payout_queries import PayoutFilter, payout_list
from clickhouse.query import Query as SqlQuery
from clickhouse.seller_queries import LIST_KEYS, SellerFilter, risk_by_seller, risk_of, seller, seller_list
from clickhouse.statement_queries import StatementFilter, statement_list
from dashboards.pages.entity import ID_CHARS_MAX, ROWS, address, cases_query, cases_shown, first_row, rows_of_all
from dashboards.web.board import Board, BoardDep
from dashboards.web.guard import Viewer
from dashboards.web.page import render
from dashboards.web.sampler import PART_WAIT_SECONDS, Figure, Sample
from trueup.change_events import Changes
from trueup.model.errors import TrueupError
from trueup.seller_trace import agreement_events

router = APIRouter()

PATH: Final = "/sellers"
CYCLES: Final = ("daily", "weekly", "biweekly", "monthly")
SHOWN: Final = 10
HISTORY_SECONDS_MAX: Final = 8.0
Text = Annotated[str, Query(max_length=ID_CHARS_MAX)]


@router.get(PATH)
def show_list(
    request: Request,
    board: BoardDep,
    _account: Viewer,
    seller: Text = "",
    currency: Text = "",
    cycle: Text = "",
    held: bool = False,
    after: Text = "",
) -> Response:
    """Sellers by their id, with what is in question; those with most of it first in a table of their own."""
    chosen = SellerFilter(seller.strip(), currency.strip().upper(), cycle, held)
    query = seller_list(board.database, chosen, ROWS, after)
    page = slice_of(board.cases.rows(query), ROWS, LIST_KEYS)
    fields = {"seller": seller, "currency": currency, "cycle": cycle, "held": held}
    # Large sellers have cases everywhere: what is in question between them and the books is a sum over all of it.
    risk, riskiest = board.sampler.look(
        [
            Figure(risk_of(board.database, [row["shop_id"] for row in page.rows]), board.cases.rows_in_background),
            Figure(risk_by_seller(board.database), board.cases.rows_in_background),
        ]
    )
    return render(
        request, "sellers.html", sellers=page.rows, risk=risk, risks=_by_seller(risk), query=query, chosen=chosen,
        cycles=CYCLES, riskiest=riskiest, first=address(PATH, **fields) if after else "",
        more=address(PATH, **fields, after=page.next) if page.next else "",
    )  # fmt: skip


@router.get(PATH + "/{shop_id}")
def show(request: Request, board: BoardDep, _account: Viewer, shop_id: str) -> Response:
    """One seller, also one without an account if anything of it is known."""
    query = seller(board.database, shop_id)
    about = CaseFilter(sellers=(shop_id,), standings=UNSETTLED)
    agreed, cases = rows_of_all(board, query, about)
    if not agreed and not cases:
        statements, payouts = rows_of_all(board, *_books_queries(board, shop_id))
        first_row([*statements, *payouts])
    return render(
        request, "seller.html", shop_id=shop_id, agreed=agreed, query=query, risk=_risk(board, shop_id),
        about=cases_shown(cases_query(board, about), cases, address("/discrepancies", seller=shop_id)),
    )  # fmt: skip


@router.get(PATH + "/{shop_id}/books")
def show_books(request: Request, board: BoardDep, _account: Viewer, shop_id: str) -> Response:
    """The newest statements and payouts, as a part of the page: finding a seller's among all takes longer than the rest."""
    statement_query, payout_query = _books_queries(board, shop_id)
    statements, payouts = rows_of_all(board, statement_query, payout_query)
    return render(
        request, "_seller_books.html", shop_id=shop_id, statements=statements[:SHOWN], statement_query=statement_query,
        payouts=payouts[:SHOWN], payout_query=payout_query,
    )  # fmt: skip


@router.get(PATH + "/{shop_id}/risk")
def show_risk(request: Request, board: BoardDep, _account: Viewer, shop_id: str) -> Response:
    """What is in question, as a part of the page, which does not wait for it."""
    return render(request, "_seller_risk.html", shop_id=shop_id, risk=_risk(board, shop_id, PART_WAIT_SECONDS))


@router.get(PATH + "/{shop_id}/history")
def show_history(request: Request, board: BoardDep, _account: Viewer, shop_id: str) -> Response:
    """Changes of the account and its payout rule, as a part of the page."""
    rows = board.cases.rows(seller(board.database, shop_id))
    changes, failure = Changes([], True), None
    try:
        rule_id = str(rows[0]["rule_id"]) if rows else ""
        changes = agreement_events(board.settings, shop_id, rule_id, seconds_max=HISTORY_SECONDS_MAX)
    except TrueupError as error:
        failure = error
    return render(request, "_seller_history.html", events=changes.events, is_whole=changes.is_whole, failure=failure)


def _books_queries(board: Board, shop_id: str) -> tuple[SqlQuery, SqlQuery]:
    return (
        statement_list(board.database, StatementFilter(seller=shop_id), SHOWN),
        payout_list(board.database, PayoutFilter(seller=shop_id), SHOWN),
    )


def _risk(board: Board, shop_id: str, wait_seconds: float = 0.0) -> Sample:
    figure = Figure(risk_of(board.database, [shop_id]), board.cases.rows_in_background)
    return board.sampler.look([figure], wait_seconds)[0]


def _by_seller(risk: Sample) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in risk.value or []:
        found.setdefault(row["shop_id"], []).append(row)
    return found
