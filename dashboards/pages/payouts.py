"""Payouts by channel, what was put into the channels and taken out of them, releases, and one payout with its lines."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from clickhouse.case_reader import CaseFilter
from clickhouse.keyset import slice_of
from clickhouse.payout_queries import (
    LINE_KEYS,
    LIST_KEYS,
    STATUSES,
    PayoutFilter,
    funding_by_channel,
    funding_by_day,
    payout,
    payout_lines,
    payout_list,
    payout_total,
    payouts_by_channel,
    release_payouts,
    releases,
)
from dashboards.pages.entity import ID_CHARS_MAX, ROWS, address, cases_query, cases_shown, first_row, rows_of_all
from dashboards.web.board import BoardDep
from dashboards.web.guard import Viewer
from dashboards.web.page import place_of, render
from dashboards.web.sampler import Figure

router = APIRouter()

PATH: Final = "/payouts"
Text = Annotated[str, Query(max_length=ID_CHARS_MAX)]


@router.get(PATH)
def show_list(
    request: Request,
    board: BoardDep,
    _account: Viewer,
    channel: Text = "",
    status: Text = "",
    currency: Text = "",
    seller: Text = "",
    after: Text = "",
) -> Response:
    """Channels with their money, and payouts by their id."""
    chosen = PayoutFilter(channel.strip(), status, currency.strip().upper(), seller.strip())
    query = payout_list(board.database, chosen, ROWS, after)
    page = slice_of(board.cases.rows(query), ROWS, LIST_KEYS)
    fields = {"channel": channel, "status": status, "currency": currency, "seller": seller}
    by_channel, funding, released = board.sampler.look(
        [
            Figure(payouts_by_channel(board.database), board.cases.rows_in_background),
            Figure(funding_by_channel(board.database), board.cases.rows_in_background),
            Figure(releases(board.database), board.cases.rows_in_background),
        ]
    )
    return render(
        request, "payouts.html", payouts=page.rows, query=query, chosen=chosen, statuses=STATUSES, by_channel=by_channel,
        funding=funding, released=released, first=address(PATH, **fields) if after else "",
        more=address(PATH, **fields, after=page.next) if page.next else "",
    )  # fmt: skip


@router.get(PATH + "/{payout_id}")
def show(request: Request, board: BoardDep, _account: Viewer, payout_id: str, after: Text = "") -> Response:
    """One payout; `after` is the cursor of its lines."""
    database, here = board.database, request.url.path
    query, total_query = payout(database, payout_id), payout_total(database, payout_id)
    line_query = payout_lines(database, payout_id, ROWS, after)
    about = CaseFilter(entity_kind="payout", entity_id=payout_id)
    found, totals, line_rows, cases = rows_of_all(board, query, total_query, line_query, about)
    held, lines = first_row(found), slice_of(line_rows, ROWS, LINE_KEYS)
    return render(
        request, "payout.html", payout=held, query=query, totals=totals, total_query=total_query,
        lines=lines.rows, line_query=line_query, about=cases_shown(cases_query(board, about), cases),
        first=here if after else "", more=address(here, after=lines.next) if lines.next else "",
    )  # fmt: skip


@router.get("/channels/{channel}/{currency}")
def show_channel(request: Request, board: BoardDep, _account: Viewer, channel: str, currency: str) -> Response:
    """What was put into a channel and taken out of it, by day, and its releases."""
    query, release_query = (
        funding_by_day(board.database, channel, currency),
        releases(board.database, channel, currency),
    )
    days, held = rows_of_all(board, query, release_query)
    first_row([*days, *held])
    return render(
        request, "channel.html", page=place_of(PATH), channel=channel, currency=currency, days=days, query=query,
        releases=held, release_query=release_query,
    )  # fmt: skip


@router.get("/releases/{release_id}")
def show_release(request: Request, board: BoardDep, _account: Viewer, release_id: str, after: Text = "") -> Response:
    """One release: upstream's count and amount beside the payouts that name it; `after` is their cursor."""
    database, here = board.database, request.url.path
    query = releases(database, release_id=release_id)
    payout_query = release_payouts(database, release_id, ROWS, after)
    about = CaseFilter(entity_kind="release_summary", entity_id=release_id)
    found, payout_rows, cases = rows_of_all(board, query, payout_query, about)
    held, payouts = first_row(found), slice_of(payout_rows, ROWS, LIST_KEYS)
    return render(
        request, "release.html", page=place_of(PATH), release=held, query=query, payouts=payouts.rows,
        payout_query=payout_query, about=cases_shown(cases_query(board, about), cases),
        first=here if after else "", more=address(here, after=payouts.next) if payouts.next else "",
    )  # fmt: skip
