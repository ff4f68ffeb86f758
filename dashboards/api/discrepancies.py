"""`/api/v1/discrepancies`: the list by filter, one of them with its story, and decisions on one or many."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Path, Query, Request

from clickhouse.audit import Answered, read_answers
from clickhouse.case_reader import Sort
from clickhouse.query import Record
from dashboards.access.account import Role
from dashboards.access.refusals import NotAllowed
from dashboards.api import examples
from dashboards.api.asking import After, Limit, asked, not_found, text_filter
from dashboards.api.bearer import ApiOperator, ApiViewer
from dashboards.api.documents import Document, case_row
from dashboards.api.given import DecisionGiven
from dashboards.web.board import Board, BoardDep
from dashboards.web.guard import note_action
from reconcile.cases.commands import Command
from trueup.case_choice import Choice, read_choice
from trueup.case_commands import UNANSWERED, Outcome
from trueup.case_decision import SECOND_PERSON, commands_of, read_decision
from trueup.case_seen import read_seen, seen_text
from trueup.case_story import case_story

router = APIRouter(prefix="/api/v1", tags=["discrepancies"])

STALE: Final = "stale"
UNKNOWN: Final = "unknown"
CAUGHT_UP_SECONDS: Final = 2.0
"""How long to wait for rows that are older than the answers to the commands on them."""

POLL_SECONDS: Final = 0.1
_ALL_APPLIED, _UNDER_WAY, _SOME_APPLIED, _NONE_APPLIED = 200, 202, 207, 409

CaseId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="the whole id")]
Texts = Annotated[list[str], text_filter("repeatable")]


def choice_of(  # noqa: PLR0913 - one parameter per filter
    rule: Annotated[list[str], text_filter("of this rule; repeatable")] = [],  # noqa: B006 - read only
    kind: Annotated[list[str], Query(alias="class", description="one-sided, wrong-amount, mismatch; repeatable")] = [],  # noqa: B006
    standing: Annotated[
        list[str], Query(description="where it stands, or all; default: what is not settled; repeatable")
    ] = [],  # noqa: B006
    seller: Annotated[list[str], text_filter("shop id; repeatable")] = [],  # noqa: B006
    currency: Annotated[list[str], text_filter("ISO-4217 code; repeatable")] = [],  # noqa: B006
    severity: Annotated[list[str], text_filter("low, medium, high, critical; repeatable")] = [],  # noqa: B006
    assignee: Annotated[str, text_filter("who deals with it")] = "",
    order: Annotated[str, text_filter("order id")] = "",
    statement: Annotated[str, text_filter("statement id")] = "",
    min_amount: Annotated[str, text_filter("so much in question, such as 12.50, in its own currency")] = "",
    older_than: Annotated[str, text_filter("raised so long ago: 30m, 12h, 2d, 1w")] = "",
    period: Annotated[str, text_filter("raised in this month (UTC), such as 2026-11")] = "",
) -> Choice:
    """The filter that the parameters make. Errors: ConfigurationError."""
    many = {
        "rule": rule, "class": kind, "standing": standing, "seller": seller, "currency": currency, "severity": severity,
    }  # fmt: skip
    one = {
        "assignee": assignee, "order": order, "statement": statement, "min_amount": min_amount,
        "older_than": older_than, "period": period,
    }  # fmt: skip
    return read_choice([*((name, text) for name, texts in many.items() for text in texts), *one.items()])


@router.get("/discrepancies", responses=examples.DISCREPANCIES)
def list_discrepancies(
    board: BoardDep,
    _account: ApiViewer,
    choice: Annotated[Choice, Depends(choice_of)],
    sort: Annotated[Sort, Query(description="largest amount, longest age, or newest first")] = "opened",
    limit: Limit = 100,
    after: After = "",
) -> Document:
    """Discrepancies by filter, page by page."""
    with asked():
        page = board.cases.page(choice.filter(_now_us()), limit, sort=sort, after=after)
    return Document({"rows": [case_row(case) for case in page.rows], "next": page.next or None})


@router.get("/discrepancies/{discrepancy_id}", responses=examples.DISCREPANCY)
def show_discrepancy(board: BoardDep, _account: ApiViewer, discrepancy_id: CaseId) -> Document:
    """Everything about one discrepancy: books, likely cause, evidence, and every verdict and decision in time order."""
    cases = board.cases.beginning_with([discrepancy_id])
    if not cases:
        raise not_found("discrepancy")
    return Document({**case_story(board.cases, cases[0]), "seen": seen_text(cases[0])})


@router.post("/decisions", responses=examples.DECISIONS)
def decide(
    request: Request,
    board: BoardDep,
    account: ApiOperator,
    given: Annotated[DecisionGiven, Body(openapi_examples=examples.DECISION_GIVEN)],
) -> Document:
    """A decision on one or many discrepancies, as they were seen.

    200: all applied; 207: some; 409: none, `case` shows how each stands now; 202: not all are answered yet, ask again with
    the same id.
    """
    note_action(request, f"{given.kind} by the API", about=f"{len(given.seen)} discrepancies", detail=given.id.hex)
    decision = read_decision(given.form())
    if decision.kind in SECOND_PERSON and not account.role.allows(Role.APPROVER):
        raise NotAllowed(
            f"{decision.kind} needs the role {Role.APPROVER}, you are {account.role}", where="kind",
            remedy="ask an admin for another role",
        )  # fmt: skip
    seen = {case["discrepancy_id"]: case for case in map(read_seen, given.seen)}
    commands = commands_of(decision, seen.values(), account.login, _now_us(), given.id)
    outcomes = _give(board, commands, {identifier: seen_text(case) for identifier, case in seen.items()})
    applied = sum(outcome.result == "applied" for outcome in outcomes)
    present = _present(board, outcomes)
    document = {
        "id": str(given.id),
        "kind": decision.kind,
        "applied": applied,
        "of": len(outcomes),
        "outcomes": [
            {**outcome._asdict(), "case": present.get(outcome.discrepancy_id)} for outcome in outcomes
        ],
    }  # fmt: skip
    return Document(document, _status(outcomes, applied))


def _give(board: Board, commands: list[Command], seen: Mapping[str, str]) -> list[Outcome]:
    """Outcomes in the order of the commands; what was answered before is not sent again, nor what is stale."""
    answers = read_answers(board.client, board.database, [command.command_id for command in commands])
    rest = [command for command in commands if command.command_id not in answers]
    cases = {
        case["discrepancy_id"]: case for case in board.cases.beginning_with([each.discrepancy_id for each in rest])
    }
    outcomes = {command.command_id: _answered(command, answers[command.command_id]) for command in commands
                if command.command_id in answers}  # fmt: skip
    for command in rest:
        case = cases.get(command.discrepancy_id)
        if case is None:
            outcomes[command.command_id] = _not_sent(command, UNKNOWN, "there is no such discrepancy", None)
        elif seen_text(case) != seen[command.discrepancy_id]:
            outcomes[command.command_id] = _not_sent(command, STALE, "it has changed since it was seen", case)
    sent = [command for command in rest if command.command_id not in outcomes]
    if sent:
        outcomes |= {outcome.command_id: outcome for outcome in board.send(sent)}
    return [outcomes[command.command_id] for command in commands]


def _answered(command: Command, answer: Answered) -> Outcome:
    return Outcome(command.command_id, command.discrepancy_id, answer.outcome, answer.reason, answer.revision)


def _not_sent(command: Command, result: str, reason: str, case: Record | None) -> Outcome:
    return Outcome(
        command.command_id, command.discrepancy_id, result, reason, None if case is None else case["revision"]
    )


def _present(board: Board, outcomes: Iterable[Outcome]) -> dict[str, dict[str, Any]]:
    """Id → how each stands now; waits a moment for rows that are older than the answers."""
    revisions = {outcome.discrepancy_id: outcome.revision or 0 for outcome in outcomes if outcome.result != UNKNOWN}
    deadline = time.monotonic() + CAUGHT_UP_SECONDS
    while True:
        cases = board.cases.beginning_with(list(revisions))
        is_behind = any(case["revision"] < revisions[case["discrepancy_id"]] for case in cases)
        if not is_behind or time.monotonic() > deadline:
            return {case["discrepancy_id"]: case_row(case) for case in cases}
        time.sleep(POLL_SECONDS)


def _status(outcomes: list[Outcome], applied: int) -> int:
    if applied == len(outcomes):
        return _ALL_APPLIED
    if any(outcome.result == UNANSWERED for outcome in outcomes):
        return _UNDER_WAY
    return _SOME_APPLIED if applied else _NONE_APPLIED


def _now_us() -> int:
    return round(datetime.now(UTC).timestamp() * 1_000_000)
