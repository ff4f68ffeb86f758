"""One order with all its legs side by side, how its fees came about, and every step of it; and the way to find one."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from clickhouse.case_reader import UNSETTLED, CaseFilter
from clickhouse.order_queries import (
    LEG_VIEWS,
    order,
    order_leg,
    order_leg_by_key,
    order_steps,
    orders_with_number,
    payouts_of,
)
from clickhouse.query import Record
from dashboards.pages.entity import (
    ID_CHARS_MAX,
    address,
    cases_about,
    cases_query,
    cases_shown,
    first_row,
    rows_of_all,
)
from dashboards.web.board import Board, BoardDep
from dashboards.web.guard import Viewer
from dashboards.web.page import render
from reconcile.charging.charge import match_rules
from reconcile.charging.explained import charge_document
from reconcile.charging.load import load_charging
from reconcile.charging.model import Charging
from trueup.change_events import Changes
from trueup.model.errors import TrueupError
from trueup.order_trace import change_events, newest_offsets, verdict_events

router = APIRouter()

TIMELINE_SECONDS_MAX: Final = 8.0
"""A page waits no longer for Kafka; what was found by then is shown."""

_AMOUNTS: Final = frozenset({"amount", "payable", "receivable", "net"})


@router.get("/orders")
def find(
    request: Request, board: BoardDep, _account: Viewer, number: Annotated[str, Query(max_length=ID_CHARS_MAX)] = ""
) -> Response:
    """To the order that a number belongs to; without one, the orders of the newest unsettled discrepancies."""
    number = number.strip()
    query = orders_with_number(board.database, number) if number else None
    found = board.cases.rows(query) if query else []
    orders = list(dict.fromkeys(row["order_id"] for row in found))
    if len(orders) == 1:
        return RedirectResponse(f"/orders/{quote(orders[0], safe='')}", 303)
    newest = {} if number else cases_about(board, CaseFilter(standings=UNSETTLED), address("/discrepancies"))
    return render(request, "orders.html", number=number, found=found, query=query, newest=newest)


@router.get("/orders/{order_id}")
def show(request: Request, board: BoardDep, _account: Viewer, order_id: str) -> Response:
    """The order. Its steps follow, because Kafka has to be read for them."""
    query, about = order(board.database, order_id), CaseFilter(order_id=order_id)
    leg_queries = {table: order_leg(board.database, table, order_id) for table in LEG_VIEWS}
    found, cases, *leg_rows = rows_of_all(
        board, query, about, *(order_leg_by_key(board.database, table, order_id) for table in LEG_VIEWS)
    )
    held, legs = first_row(found), dict(zip(leg_queries, leg_rows, strict=True))
    payout_query = payouts_of(board.database, sorted({line["payout_id"] for line in legs["payout_item"]}))
    return render(
        request, "order.html", order=held, query=query, legs=legs, leg_queries=leg_queries,
        payouts=board.cases.rows(payout_query) if legs["payout_item"] else [], payout_query=payout_query,
        charge=_charge(board, legs["orders"]),
        about=cases_shown(cases_query(board, about), cases, address("/discrepancies", order=order_id, standing="all")),
    )  # fmt: skip


@router.get("/orders/{order_id}/steps")
def steps(request: Request, board: BoardDep, _account: Viewer, order_id: str) -> Response:
    """Change events and verdicts in time order, as a part of the page."""
    held = first_row(board.cases.rows(order(board.database, order_id)))
    query = order_steps(board.database, order_id)
    verdicts = verdict_events(board.cases.rows(query))
    changes, failure = Changes([], False), None
    try:
        changes = change_events(
            board.settings, order_id, held["partition"], _newest(board, order_id), seconds_max=TIMELINE_SECONDS_MAX
        )
    except TrueupError as error:
        failure = error
    return render(
        request, "_order_steps.html", events=sorted([*changes.events, *verdicts]), is_whole=changes.is_whole,
        failure=failure, query=query,
    )  # fmt: skip


def _newest(board: Board, order_id: str) -> dict[str, int]:
    """Topic → offset of its newest row of the order."""
    legs = {table: board.cases.rows(order_leg_by_key(board.database, table, order_id)) for table in LEG_VIEWS}
    return newest_offsets(board.settings, legs)


@lru_cache(maxsize=4)
def _charging(spec: str) -> Charging:
    return load_charging(spec)


def _charge(board: Board, rows: list[Record]) -> dict[str, Any] | None:
    """How the fees came about, where a charging spec is set and the order carries factors; `failure` says why it cannot."""
    spec = board.settings.charging.spec
    if not spec or not rows or rows[0]["factors"] is None:
        return None
    try:
        charging = _charging(spec)
        match = match_rules(charging, rows[0]["factors"])
        found = charge_document(charging, match, order_currency=rows[0]["currency"], with_steps=True)
    except TrueupError as error:
        return {"spec": spec, "failure": str(error)}
    for name in ("fees", "nets") if "fees" in found else ():
        found[name] = [_with_decimals(row) for row in found[name]]
    return found | {"failure": ""}


def _with_decimals(row: dict[str, Any]) -> dict[str, Any]:
    """Amounts as numbers, for the page to write in the reader's way."""
    return {name: Decimal(held) if name in _AMOUNTS else held for name, held in row.items()}
