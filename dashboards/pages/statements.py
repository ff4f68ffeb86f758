"""Statements: the list, and one with its total as it grows, beside upstream's amount and the payout."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from clickhouse.case_reader import CaseFilter
from clickhouse.keyset import slice_of
from clickhouse.query import Query as SqlQuery
from clickhouse.query import Record
from clickhouse.statement_queries import (
    ITEM_KEYS,
    LIST_KEYS,
    STATUSES,
    StatementFilter,
    statement,
    statement_growth,
    statement_items,
    statement_list,
    statement_partials,
    statement_payouts,
)
from dashboards.pages.entity import ID_CHARS_MAX, ROWS, address, cases_query, cases_shown, first_row, rows_of_all
from dashboards.web.board import Board, BoardDep
from dashboards.web.guard import Viewer
from dashboards.web.page import render
from dashboards.web.sampler import PART_WAIT_SECONDS, Figure
from trueup.model.errors import ConfigurationError

router = APIRouter()

PATH: Final = "/statements"
Text = Annotated[str, Query(max_length=ID_CHARS_MAX)]


@router.get(PATH)
def show_list(
    request: Request,
    board: BoardDep,
    _account: Viewer,
    seller: Text = "",
    status: Text = "",
    currency: Text = "",
    period: Text = "",
    different: bool = False,
    after: Text = "",
) -> Response:
    """Statements by their cycle, the newest first."""
    chosen = StatementFilter(seller.strip(), status, currency.strip().upper(), "", read_day(period), different)
    query = statement_list(board.database, chosen, ROWS, after)
    page = slice_of(board.cases.rows(query), ROWS, LIST_KEYS)
    fields = {"seller": seller, "status": status, "currency": currency, "period": period, "different": different}
    return render(
        request, "statements.html", statements=page.rows, query=query, chosen=chosen, statuses=STATUSES,
        first=address(PATH, **fields) if after else "", more=address(PATH, **fields, after=page.next) if page.next else "",
    )  # fmt: skip


@router.get(PATH + "/{statement_id}")
def show(request: Request, board: BoardDep, _account: Viewer, statement_id: str, after: Text = "") -> Response:
    """One statement; `after` is the cursor of its items, which come behind it."""
    statement_items(board.database, statement_id, ROWS, after)  # a cursor that is none is told by the page
    about = CaseFilter(statement_id=statement_id)
    totals, (cases,) = _totals(board, statement_id, about)
    all_cases = address("/discrepancies", statement=statement_id, standing="all")
    return render(
        request, "statement.html", **totals, items_address=address(f"{request.url.path}/items", after=after),
        about=cases_shown(cases_query(board, about), cases, all_cases),
    )  # fmt: skip


@router.get(PATH + "/{statement_id}/items")
def show_items(request: Request, board: BoardDep, _account: Viewer, statement_id: str, after: Text = "") -> Response:
    """The items as a part of the page: a large statement's take longer to find than all else on it."""
    query = statement_items(board.database, statement_id, ROWS, after)
    items = slice_of(board.cases.rows(query), ROWS, ITEM_KEYS)
    here = request.url.path.removesuffix("/items")
    return render(
        request, "_statement_items.html", items=items.rows, query=query,
        first=f"{here}#items" if after else "", more=f"{address(here, after=items.next)}#items" if items.next else "",
    )  # fmt: skip


@router.get(PATH + "/{statement_id}/growth")
def show_growth(request: Request, board: BoardDep, _account: Viewer, statement_id: str) -> Response:
    """How the total grew, as a part of an open page: read apart, for it reads every item of the statement."""
    held = first_row(board.cases.rows(statement(board.database, statement_id)))
    figure = Figure(statement_growth(board.database, statement_id, held["currency"]), board.cases.rows_in_background)
    (growth,) = board.sampler.look([figure], PART_WAIT_SECONDS)
    chart = growth_chart(growth.value or [], held["upstream_amount"])
    return render(request, "_statement_growth.html", statement=held, growth=growth, chart=chart)


@router.get(PATH + "/{statement_id}/totals")
def show_totals(request: Request, board: BoardDep, _account: Viewer, statement_id: str) -> Response:
    """What changes while the statement grows, as a part of an open page."""
    return render(request, "_statement_totals.html", **_totals(board, statement_id)[0])


def read_day(text: str) -> date | None:
    """A day as browsers send it; None for nothing. Errors: ConfigurationError."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{text[:40]!r} is no day", where="period", remedy="write it as 2026-11-30") from None


def _totals(
    board: Board, statement_id: str, *others: SqlQuery | CaseFilter
) -> tuple[dict[str, Any], list[list[Record]]]:
    """What the totals show, and the rows of the other queries, which are asked at the same time."""
    database = board.database
    query = statement(database, statement_id)
    payout_query, partial_query = statement_payouts(database, statement_id), statement_partials(database, statement_id)
    rows, payouts, partials, *found = rows_of_all(board, query, payout_query, partial_query, *others)
    held = first_row(rows)
    return {
        "statement": held,
        "query": query,
        "totals": list(
            zip(held["totals_currency"], held["totals_count"], held["totals_amount"], strict=True)
        ),
        "payouts": payouts,
        "payout_query": payout_query,
        "partials": partials,
        "partial_query": partial_query,
    }, found  # fmt: skip


def growth_chart(growth: Sequence[Record], upstream: Decimal | None) -> dict[str, Any]:
    """ECharts options: our total against time, and upstream's amount as a level. Amounts are decimal text."""
    points = [[row["at"].isoformat(), format(row["total"], "f")] for row in growth]
    series: list[dict[str, Any]] = [{"type": "line", "step": "end", "name": "trueup", "data": points}]
    if upstream is not None and points:
        level = [[at, format(upstream, "f")] for at in (points[0][0], points[-1][0])]
        dashed = {"type": "dashed"}
        series.append({"type": "line", "name": "upstream", "data": level, "lineStyle": dashed})
    return {
        "xAxis": {"type": "time"},
        "yAxis": {"type": "value", "scale": True},
        "legend": {"top": 0},
        "series": series,
    }
