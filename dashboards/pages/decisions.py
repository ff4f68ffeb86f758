"""Deciding on many discrepancies at once: what is meant, the confirmation, and what came of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData
from starlette.requests import Request

from clickhouse.case_reader import UNSETTLED
from dashboards.access.account import Account, Role
from dashboards.access.refusals import NotAllowed
from dashboards.pages.case_view import PATH, View, read_view
from dashboards.pages.discrepancies import now_us
from dashboards.web.board import Board, BoardDep
from dashboards.web.guard import Operator, Viewer, note_action
from dashboards.web.jobs import Job
from dashboards.web.page import render
from reconcile.cases.commands import Command
from trueup.case_choice import read_word
from trueup.case_commands import COMMANDS_MAX, Outcome
from trueup.case_decision import (
    POSSIBLE,
    SECOND_PERSON,
    SNOOZES,
    Decision,
    commands_of,
    fingerprint,
    read_decision,
)
from trueup.case_seen import read_seen, seen_text
from trueup.case_story import difference_minor
from trueup.model.errors import ConfigurationError
from trueup.model.money import to_decimal

router = APIRouter()

KIND: Final = "decision"
PORTION: Final = 500
"""Commands that are sent and answered together; between two portions the progress is told, and a person may stop."""

SHOWN_MAX: Final = 200
"""Outcomes listed one by one; all of them are counted."""


class Meant(NamedTuple):
    """The cases that a form means, as they were seen; `of_all` when it means all that match a filter."""

    cases: list[Mapping[str, Any]]
    view: View
    of_all: bool


async def form_of(request: Request) -> FormData:
    """The form that was sent."""
    return await request.form()


Form = Annotated[FormData, Depends(form_of)]


@router.post(f"{PATH}/decide")
def decide(request: Request, board: BoardDep, account: Operator, form: Form) -> Response:
    """Ask for what the decision needs; an acknowledgement of chosen rows needs nothing, and begins at once."""
    kind = read_word(text_of(form, "kind"), tuple(POSSIBLE), "kind")
    check_role(account, kind)
    meant = _meant(board, form, kind)
    if kind == "acknowledge" and not meant.of_all:
        return _begin(request, board, account, meant, Decision(kind), uuid4())
    return _confirmation(request, kind, meant)


@router.post(f"{PATH}/decide/go")
def go(request: Request, board: BoardDep, account: Operator, form: Form) -> Response:
    """Give the commands, unless what is meant has changed since it was shown."""
    decision = read_decision({name: value for name, value in form.items() if isinstance(value, str)})
    check_role(account, decision.kind)
    meant = _meant(board, form, decision.kind)
    if meant.of_all and fingerprint(meant.cases) != text_of(form, "fingerprint"):
        return _confirmation(request, decision.kind, meant, decision, has_changed=True)
    return _begin(request, board, account, meant, decision, go_id_of(form))


@router.get(f"{PATH}/decided/{{job_id}}")
def show_outcome(request: Request, board: BoardDep, account: Viewer, job_id: str) -> HTMLResponse:
    """How far it is, and what came of each."""
    job = _job(board, account, job_id)
    template = "_decided.html" if request.headers.get("hx-request") == "true" else "decided.html"
    return render(request, template, job=job, **outcome_of(board, job))


@router.post(f"{PATH}/decided/{{job_id}}/stop")
def stop(request: Request, board: BoardDep, account: Operator, job_id: str) -> RedirectResponse:
    """Send no further portion."""
    board.jobs.cancel(_job(board, account, job_id))
    note_action(request, "stop", about=job_id)
    return RedirectResponse(f"{PATH}/decided/{job_id}", 303)


def _confirmation(
    request: Request, kind: str, meant: Meant, decision: Decision | None = None, *, has_changed: bool = False
) -> HTMLResponse:
    sums: Counter[str] = Counter()
    for case in meant.cases:
        minor = difference_minor(case)
        if minor is not None:
            sums[case["currency"]] += abs(minor)
    amounts = [(currency, to_decimal(minor, currency)) for currency, minor in sorted(sums.items())]
    return render(
        request, "decide.html", kind=kind, count=len(meant.cases), sums=amounts, view=meant.view,
        of_all=meant.of_all, seen=[] if meant.of_all else [seen_text(case) for case in meant.cases],
        decision=decision or Decision(kind), has_changed=has_changed, fingerprint=fingerprint(meant.cases),
        go_id=uuid4(), snoozes=SNOOZES, query=meant.view.address("").removeprefix("?"),
    )  # fmt: skip


def _begin(
    request: Request, board: Board, account: Account, meant: Meant, decision: Decision, go_id: UUID
) -> RedirectResponse:
    commands = commands_of(decision, meant.cases, account.login, now_us(), go_id)

    def work(job: Job) -> bool:
        job.result = []
        return give(board, commands, job)

    job = board.jobs.start(account.login, KIND, work, total=len(commands), title=decision.kind)
    ids = " ".join(command.discrepancy_id[:8] for command in commands[:20])
    note_action(request, decision.kind, about=f"{len(commands)} discrepancies: {ids}", detail=decision.note)
    return RedirectResponse(f"{PATH}/decided/{job.job_id}", 303)


def give(board: Board, commands: list[Command], job: Job) -> bool:
    """Send commands in portions, until all are answered (True) or somebody stops it; outcomes go to `job.result`."""
    for at in range(0, len(commands), PORTION):
        if job.cancelled.is_set():
            return False
        job.result.extend(board.send(commands[at : at + PORTION]))
        job.done = len(job.result)
    return True


def _meant(board: Board, form: FormData, kind: str) -> Meant:
    """Errors: ConfigurationError when nothing, or too much, is meant."""
    view = read_view(parse_qsl(text_of(form, "query")))
    if text_of(form, "all"):
        # What cannot take the command is not meant by "all", unless the filter names it.
        default = tuple(standing for standing in POSSIBLE[kind] if standing in {*UNSETTLED, "waived", "resolved"})
        chosen = view.choice.filter(now_us(), default=default)
        page = board.cases.page(chosen, COMMANDS_MAX, sort=view.sort)
        if page.next:
            raise ConfigurationError(
                f"more than {COMMANDS_MAX:,} discrepancies match",
                remedy="narrow the filter, for example by rule or month",
            )
        cases: list[Mapping[str, Any]] = list(page.rows)
    else:
        texts = dict.fromkeys(text for text in form.getlist("case") if isinstance(text, str))
        cases = [read_seen(text) for text in texts]
    if not cases:
        raise ConfigurationError("nothing is chosen", remedy="choose rows of the list, or all that match the filter")
    return Meant(cases, view, bool(text_of(form, "all")))


def check_role(account: Account, kind: str) -> None:
    """Errors: NotAllowed when the command is a second person's and the account has not that role."""
    if kind in SECOND_PERSON and not account.role.allows(Role.APPROVER):
        raise NotAllowed(
            f"{kind} needs the role {Role.APPROVER}, you are {account.role}",
            where="kind",
            remedy="ask an admin for another role",
        )


def outcome_of(board: Board, job: Job) -> dict[str, Any]:
    """What `_decided.html` shows beside the job."""
    outcomes: list[Outcome] = list(job.result or ())
    # What was not applied comes first: somebody has to look at it.
    listed = sorted(outcomes, key=lambda outcome: outcome.result == "applied")[:SHOWN_MAX]
    present = (
        {row["discrepancy_id"]: row for row in board.cases.beginning_with([each.discrepancy_id for each in listed])}
        if job.is_finished and listed
        else {}
    )
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.result] = counts.get(outcome.result, 0) + 1
    return {
        "counts": counts,
        "listed": [(outcome, present.get(outcome.discrepancy_id)) for outcome in listed] if job.is_finished else [],
        "unsent": job.total - len(outcomes),
        "shown_max": SHOWN_MAX,
    }


def _job(board: Board, account: Account, job_id: str) -> Job:
    job = board.jobs.find(job_id, account.login)
    if job is None or job.kind != KIND:
        raise HTTPException(404)
    return job


def go_id_of(form: FormData) -> UUID:
    """What the ids of the commands follow from. Errors: ConfigurationError."""
    try:
        return UUID(text_of(form, "go_id"))
    except ValueError:
        raise ConfigurationError("the form is not whole", where="go_id", remedy="open the list again") from None


def text_of(form: FormData, name: str) -> str:
    """A text of the form, "" when it is not there."""
    value = form.get(name, "")
    return value if isinstance(value, str) else ""
