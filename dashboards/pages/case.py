"""The page of one discrepancy: its books side by side, why it is likely so, its whole story, and what can be decided."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request

from clickhouse.case_reader import ID_CHARS
from clickhouse.evidence_reader import leg_queries, matched_legs
from clickhouse.query import Query, Record
from clickhouse.schema import MIRRORS, PROVENANCE
from dashboards.access.account import Role
from dashboards.pages.case_chain import checked_entries
from dashboards.pages.case_view import PATH, ROW_COLUMNS, View, difference
from dashboards.pages.decisions import KIND, Form, check_role, give, go_id_of, outcome_of, text_of
from dashboards.pages.discrepancies import now_us
from dashboards.web.board import Board, BoardDep
from dashboards.web.guard import Operator, Viewer, note_action
from dashboards.web.jobs import Job
from dashboards.web.page import render
from dashboards.web.rule_pages import rule_page
from trueup.case_choice import ALL, Choice
from trueup.case_decision import POSSIBLE, SECOND_PERSON, SNOOZES, Decision, commands_of, read_decision
from trueup.case_seen import read_seen, seen_text
from trueup.case_story import case_story
from trueup.model.errors import ConfigurationError, TrueupError

router = APIRouter()

ANSWER_SECONDS: Final = 3.0
"""How long a page waits for the answer to a decision before it shows the progress instead."""

NEIGHBOURS: Final = 5
REPRODUCED_ROWS_MAX: Final = 100
MONEY_COLUMNS: Final = {
    table: frozenset(column.name for column in definition.columns if "Decimal" in column.type)
    for table, definition in MIRRORS.items()
}
_OWNERS: Final = {"order": "order_id", "statement": "statement_id", "seller": "shop_id"}
_PROVENANCE: Final = frozenset(column.name for column in PROVENANCE)


@router.get(f"{PATH}/{{discrepancy_id}}")
def show(request: Request, board: BoardDep, account: Viewer, discrepancy_id: str, decided: str = "") -> HTMLResponse:
    """Everything about a discrepancy; `decided` names a decision of the account that it has just given."""
    case = _case(board, discrepancy_id)
    story = case_story(board.cases, case)
    queries = leg_queries(board.database, story["evidence"])
    job = board.jobs.find(decided, account.login) if decided else None
    if job is not None and job.kind != KIND:
        raise HTTPException(404)
    page = rule_page(case["rule"])
    return render(
        request, "case.html", case={**case, "difference": difference(case)}, story=story,
        timeline=[_with_amounts(step) for step in story["timeline"]],
        raises=[_with_amounts(each) for each in story["raises"]],
        legs=matched_legs(story["evidence"], {table: board.cases.rows(query) for table, query in queries.items()}),
        leg_queries=queries, money_columns=MONEY_COLUMNS, provenance=_PROVENANCE,
        kinds=[
            kind
            for kind, standings in POSSIBLE.items()
            if case["standing"] in standings and (kind not in SECOND_PERSON or account.may(Role.APPROVER))
        ],
        decision=Decision(""), snoozes=SNOOZES, seen=seen_text(case), go_id=uuid4(), job=job,
        has_rule_page=page is not None,
        reproducing=page.queries(board.database, case["entity_id"]) if page else [],
        story_query=_events_query(board, case), **(outcome_of(board, job) if job else {}),
    )  # fmt: skip


@router.post(f"{PATH}/{{discrepancy_id}}/decide")
def decide(request: Request, board: BoardDep, account: Operator, discrepancy_id: str, form: Form) -> RedirectResponse:
    """Give one command about what was seen, and show what came of it."""
    decision = read_decision({name: value for name, value in form.items() if isinstance(value, str)})
    check_role(account, decision.kind)
    seen = read_seen(text_of(form, "case"))
    if seen["discrepancy_id"] != discrepancy_id:
        raise ConfigurationError("the form is of another discrepancy", where="case", remedy="open the page again")
    commands = commands_of(decision, [seen], account.login, now_us(), go_id_of(form))

    def work(job: Job) -> bool:
        job.result = []
        return give(board, commands, job)

    job = board.jobs.start(account.login, KIND, work, total=1, title=decision.kind)
    note_action(request, decision.kind, about=discrepancy_id, detail=decision.note or decision.assignee)
    job.ended.wait(ANSWER_SECONDS)
    return RedirectResponse(f"{PATH}/{discrepancy_id}?decided={job.job_id}", 303)


@router.get(f"{PATH}/{{discrepancy_id}}/log")
def show_log(request: Request, board: BoardDep, _account: Viewer, discrepancy_id: str) -> HTMLResponse:
    """Its entries in the audit log, with their hashes, as a part of the page."""
    entries = checked_entries(board.client, board.database, discrepancy_id)
    query = Query(
        f"SELECT * FROM {board.database}.v_audit_log WHERE discrepancy_id = {{id:String}} "
        "ORDER BY at, topic, kafka_offset",
        {"id": discrepancy_id},
    )
    return render(request, "_case_log.html", entries=entries, query=query)


@router.get(f"{PATH}/{{discrepancy_id}}/neighbours")
def show_neighbours(request: Request, board: BoardDep, _account: Viewer, discrepancy_id: str) -> HTMLResponse:
    """Other discrepancies of its order, statement and seller, as a part of the page."""
    case = _case(board, discrepancy_id)
    choices = {
        "order": Choice(order_id=case["order_id"], standings=(ALL,)),
        "statement": Choice(statement_id=case["statement_id"], standings=(ALL,)),
        "seller": Choice(sellers=(case["shop_id"],)),
    }
    groups = []
    for name, choice in choices.items():
        if not case[_OWNERS[name]]:
            continue
        rows = board.cases.page(choice.filter(0), NEIGHBOURS + 1, columns=ROW_COLUMNS).rows
        others = [row for row in rows if row["discrepancy_id"] != discrepancy_id][:NEIGHBOURS]
        groups.append((name, [{**row, "difference": difference(row)} for row in others], View(choice).address()))
    return render(request, "_case_neighbours.html", groups=groups)


@router.get(f"{PATH}/{{discrepancy_id}}/reproduced/{{number}}")
def reproduce(request: Request, board: BoardDep, _account: Viewer, discrepancy_id: str, number: int) -> HTMLResponse:
    """The rows that a query of the rule's page gives for this entity now, as a part of the page."""
    case = _case(board, discrepancy_id)
    page = rule_page(case["rule"])
    queries = page.queries(board.database, case["entity_id"]) if page else []
    if not 0 <= number < len(queries):
        raise HTTPException(404)
    rows: list[Record] = []
    failure: TrueupError | None = None
    try:
        rows = board.cases.rows(queries[number])
    except TrueupError as error:
        failure = error
    return render(
        request, "_case_reproduced.html", rows=rows[:REPRODUCED_ROWS_MAX], is_cut=len(rows) > REPRODUCED_ROWS_MAX,
        failure=failure,
    )  # fmt: skip


@router.get("/rules/{rule}")
def show_rule(request: Request, _account: Viewer, rule: str) -> HTMLResponse:
    """What a rule means, why it usually finds something, and what to do."""
    page = rule_page(rule)
    if page is None:
        raise HTTPException(404)
    return render(request, "rule.html", rule=rule, html=page.html)


def _with_amounts(told: Mapping[str, Any]) -> dict[str, Any]:
    """Amounts as Decimal where the story has them as text."""
    names = [name for name in ("expected", "actual", "in_question") if told.get(name) is not None]
    return {**told, **{name: Decimal(told[name]) for name in names}}


def _case(board: Board, discrepancy_id: str) -> Mapping[str, Any]:
    """Errors: 404 for an id that is none, or that nothing has."""
    if len(discrepancy_id) != ID_CHARS or not set(discrepancy_id) <= set("0123456789abcdef"):
        raise HTTPException(404)
    found = board.cases.beginning_with([discrepancy_id])
    if not found:
        raise HTTPException(404)
    return found[0]


def _events_query(board: Board, case: Mapping[str, Any]) -> Query:
    return Query(
        f"SELECT at, status, currency, expected, actual, detail FROM {board.database}.v_discrepancy_events "
        "WHERE discrepancy_id = {id:String} ORDER BY version",
        {"id": case["discrepancy_id"]},
    )
