"""The list of discrepancies: filters that live in its address, tabs, pages, saved filters, rows that stay fresh."""

from __future__ import annotations

import time
from functools import cache
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import Request

from clickhouse.case_reader import UNSETTLED, CaseFilter
from dashboards.access.saved_filters import SavedFilters
from dashboards.pages.case_view import PATH, ROW_COLUMNS, SORTS, View, difference, read_view
from dashboards.web.board import Board, BoardDep
from dashboards.web.guard import Viewer, note_action
from dashboards.web.page import render
from dashboards.web.sampler import PART_WAIT_SECONDS, Figure, Sample
from reconcile.cases.policy import SEVERITIES
from reconcile.finding import DISCREPANCY_CLASSES
from reconcile.settlement import rule_classes
from reconcile.spec.load import load_spec
from trueup.case_choice import ALL, STANDINGS
from trueup.case_decision import BULK_KINDS, SECOND_PERSON
from trueup.case_seen import seen_text
from trueup.model.money import EXPONENTS

router = APIRouter()

ROWS: Final = 50
MINUTE_US: Final = 60_000_000

_CHECKED_BY_VALUE: Final = {
    "rules": "rule",
    "classes": "class",
    "sellers": "shop_id",
    "currencies": "currency",
}
"""Field of a choice → field of a finding's message: what a page in the browser can check by itself."""


def now_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000


@router.get(PATH)
def show_list(request: Request, board: BoardDep, account: Viewer) -> Response:
    """The list with everything around it; a form's empty fields are taken out of its address."""
    pairs = request.query_params.multi_items()
    view = read_view(pairs)
    if not all(text for _, text in pairs):
        return RedirectResponse(view.address(), 303)
    return render(request, "discrepancies.html", **_rows(board, view), **_around(board, view, account.login))


@router.get(f"{PATH}/rows")
def show_rows(request: Request, board: BoardDep, _account: Viewer) -> HTMLResponse:
    """The rows alone, for a page that is open."""
    view = read_view(request.query_params.multi_items())
    return render(request, "_case_rows.html", **_rows(board, view))


@router.get(f"{PATH}/tabs")
def show_tabs(request: Request, board: BoardDep, _account: Viewer) -> HTMLResponse:
    """The tabs with their counts alone."""
    view = read_view(request.query_params.multi_items())
    return render(request, "_case_tabs.html", view=view, tabs=tabs(board, view, PART_WAIT_SECONDS))


@router.post(f"{PATH}/filters")
def keep_filter(
    request: Request, board: BoardDep, account: Viewer, name: Annotated[str, Form()], query: Annotated[str, Form()] = ""
) -> RedirectResponse:
    """Keep the filter of the page under a name."""
    view = read_view(parse_qsl(query))._replace(after="", before="")
    kept = view.address("").removeprefix("?")
    SavedFilters(board.access.store).keep(account.login, name, kept)
    note_action(request, "keep filter", about=name)
    return RedirectResponse(view.address(), 303)


@router.post(f"{PATH}/filters/remove")
def remove_filter(
    request: Request, board: BoardDep, account: Viewer, name: Annotated[str, Form()], query: Annotated[str, Form()] = ""
) -> RedirectResponse:
    """Forget a saved filter."""
    SavedFilters(board.access.store).remove(account.login, name)
    note_action(request, "remove filter", about=name)
    return RedirectResponse(read_view(parse_qsl(query)).address(), 303)


def _rows(board: Board, view: View) -> dict[str, Any]:
    chosen = view.choice.filter(now_us())
    page = board.cases.page(chosen, ROWS, sort=view.sort, after=view.after, before=view.before, columns=ROW_COLUMNS)
    return {
        "view": view,
        "cases": [{**case, "difference": difference(case)} for case in page.rows],
        "older": view.turned_to(after=page.next) if page.next else "",
        "newer": view.turned_to(before=page.previous) if page.previous else "",
        "query": board.cases.page_query(chosen, ROWS, sort=view.sort, after=view.after, before=view.before),
        "seen_text": seen_text,
        "live_when": live_when(view),
        "sorted_by": {sort: view.sorted_by(sort) for sort in SORTS},
    }


def _around(board: Board, view: View, login: str) -> dict[str, Any]:
    choice = view.choice
    return {
        "tabs": tabs(board, view),
        "sorts": SORTS,
        "saved": SavedFilters(board.access.store).all_of(login),
        "saved_query": View(choice, view.sort).address("").removeprefix("?"),
        "rules": sorted({*known_rules(tuple(board.settings.specs)), *choice.rules}),
        "classes": DISCREPANCY_CLASSES,
        "severities": SEVERITIES,
        "currencies": sorted(EXPONENTS),
        "kinds": BULK_KINDS,
        "second_person": SECOND_PERSON,
    }


def tabs(board: Board, view: View, wait_seconds: float = 0.0) -> dict[str, Any]:
    """The tabs of standings: name, address, whether it is shown, and the cases in it as far as they are counted.

    The list itself does not wait for the counts: the tabs ask again once they are shown.
    """
    chosen: CaseFilter = view.choice.filter(now_us() // MINUTE_US * MINUTE_US)
    figure = Figure(board.cases.standings_query(chosen), board.cases.rows_in_background)
    sample: Sample
    (sample,) = board.sampler.look([figure], wait_seconds)
    counted = None if sample.value is None else {row["standing"]: row["cases"] for row in sample.value}
    shown = frozenset(view.choice.standings)

    def entry(name: str, standings: tuple[str, ...], *, is_shown: bool, text: tuple[str, ...]) -> dict[str, Any]:
        cases = None if counted is None else sum(counted.get(standing, 0) for standing in standings)
        return {"name": name, "address": view.choosing(standings=text), "is_shown": is_shown, "cases": cases}

    entries = [
        entry("unsettled", UNSETTLED, is_shown=not shown, text=()),
        *(entry(each, (each,), is_shown=shown == {each}, text=(each,)) for each in STANDINGS),
        entry(ALL, STANDINGS, is_shown=ALL in shown, text=(ALL,)),
    ]
    return {"entries": entries, "sample": sample}


def live_when(view: View) -> dict[str, list[str]]:
    """Which findings come first in the open page, by field of their message; never any where the browser cannot tell."""
    choice = view.choice
    told_elsewhere = (
        choice.severities, choice.assignee, choice.min_amount, choice.older_than, choice.period,
    )  # fmt: skip
    if (
        view.sort != "opened"
        or view.after
        or view.before
        or any(value not in ((), "", None) for value in told_elsewhere)
    ):
        return {"status": []}
    wanted = {field: list(getattr(choice, name)) for name, field in _CHECKED_BY_VALUE.items() if getattr(choice, name)}
    for name in ("order_id", "statement_id"):
        if getattr(choice, name):
            wanted[name] = [getattr(choice, name)]
    standings = choice.filter(0).standings
    return {**wanted, "status": [status for status in ("open", "regressed", "auto-resolved") if status in standings]}


@cache
def known_rules(specs: tuple[str, ...]) -> frozenset[str]:
    """Every rule that may find something: those of the code and those of the specs."""
    return frozenset({*rule_classes(), *(rule for spec in specs for rule in load_spec(spec).classes)})
