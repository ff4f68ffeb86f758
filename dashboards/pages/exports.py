"""Exports of the list: begun by a form, watched on a page of their own, fetched by the account that began them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Form, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.requests import Request

from dashboards.access.account import Account
from dashboards.exports.columns import COLUMNS
from dashboards.exports.formats import Format
from dashboards.exports.run import ROWS_MAX, run_export
from dashboards.pages.case_view import PATH, read_view
from dashboards.pages.discrepancies import now_us
from dashboards.web.board import Board, BoardDep
from dashboards.web.guard import Viewer, client_address, note_action
from dashboards.web.jobs import KEPT_SECONDS, Job
from dashboards.web.page import render

router = APIRouter()

KIND: Final = "export"
MEDIA_TYPES: Final[dict[Format, str]] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}


@router.post(f"{PATH}/exports")
def begin(
    request: Request,
    board: BoardDep,
    account: Viewer,
    kind: Annotated[Format, Form(alias="format")],
    query: Annotated[str, Form()] = "",
) -> RedirectResponse:
    """Begin to write what the filter means, in the order of the list."""
    view = read_view(parse_qsl(query))
    chosen = view.choice.filter(now_us())
    rows_query = board.cases.list_query(chosen, COLUMNS, ROWS_MAX, sort=view.sort)
    count_query = board.cases.sums_query(chosen)

    def work(job: Job) -> bool:
        matching = sum(row["cases"] for row in board.cases.rows(count_query))
        job.total = min(matching, ROWS_MAX)
        job.result = {"format": kind, "matching": matching, "name": file_name(kind)}
        return run_export(job, board.settings.clickhouse, rows_query, kind)

    job = board.jobs.start(account.login, KIND, work, total=0, title=kind)
    note_action(request, "export", about=kind, detail=view.address("") or "everything to do")
    return RedirectResponse(f"{PATH}/exports/{job.job_id}", 303)


@router.get(f"{PATH}/exports/{{job_id}}")
def show(request: Request, board: BoardDep, account: Viewer, job_id: str) -> HTMLResponse:
    """How far it is, and the file once it is whole."""
    job = _job(board, account, job_id)
    template = "_export.html" if request.headers.get("hx-request") == "true" else "export.html"
    return render(
        request, template, job=job, rows_max=ROWS_MAX, kept_minutes=int(KEPT_SECONDS // 60),
        matching=(job.result or {}).get("matching"), size_bytes=job.path.stat().st_size if job.path.is_file() else 0,
    )  # fmt: skip


@router.post(f"{PATH}/exports/{{job_id}}/cancel")
def cancel(request: Request, board: BoardDep, account: Viewer, job_id: str) -> RedirectResponse:
    """Stop it, and remove what was written."""
    board.jobs.cancel(_job(board, account, job_id))
    note_action(request, "cancel export", about=job_id)
    return RedirectResponse(f"{PATH}/exports/{job_id}", 303)


@router.get(f"{PATH}/exports/{{job_id}}/file")
def fetch(request: Request, board: BoardDep, account: Viewer, job_id: str) -> FileResponse:
    """The file, for the account that began it and as long as it is kept."""
    job = _job(board, account, job_id)
    if job.state != "done" or not job.path.is_file():
        raise HTTPException(404)
    board.access.actions.add(
        account.login, client_address(request), "fetch export", about=job.result["name"], detail=f"{job.done} rows"
    )
    return FileResponse(
        job.path, media_type=MEDIA_TYPES[job.result["format"]], filename=job.result["name"],
        headers={"Cache-Control": "no-store"},
    )  # fmt: skip


def file_name(kind: Format) -> str:
    """`discrepancies-20261121-1430.csv`, by UTC."""
    return f"discrepancies-{datetime.now(UTC):%Y%m%d-%H%M}.{kind}"


def _job(board: Board, account: Account, job_id: str) -> Job:
    job = board.jobs.find(job_id, account.login)
    if job is None or job.kind != KIND:
        raise HTTPException(404)
    return job
