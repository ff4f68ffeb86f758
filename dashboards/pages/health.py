"""The health of the pipeline: a light for each part with what to do, and the figures behind it."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from clickhouse.health_queries import storage, watermarks_by_partition
from clickhouse.quarantine_queries import refusals_by_kind
from dashboards.pipeline import Light, lights, worst
from dashboards.web.board import BoardDep
from dashboards.web.guard import Viewer
from dashboards.web.page import render
from dashboards.web.sampler import Figure
from trueup.model.errors import TrueupError

router = APIRouter()

PATH: Final = "/health"
STAGES: Final = ("orders", "statements", "releases", "mirrors", "cases", "legs", "groups")


@router.get(PATH)
def show(request: Request, _account: Viewer) -> Response:
    """The frame of the page: the state follows, because processes are asked for it."""
    return render(request, "health.html")


@router.get(PATH + "/now")
def show_now(request: Request, board: BoardDep, _account: Viewer) -> Response:
    """The state as it is now. Where ClickHouse does not answer, the rest is shown all the same."""
    database = board.database
    mark_query, storage_query = watermarks_by_partition(database), storage(database)
    pipeline = board.pipeline()
    watermarks, tables, waiting, failure = [], [], None, None
    try:
        watermarks, tables = board.cases.rows(mark_query), board.cases.rows(storage_query)
        (refused,) = board.sampler.look([Figure(refusals_by_kind(database), board.cases.rows_in_background)])
        waiting = None if refused.value is None else sum(row["waiting"] for row in refused.value)
    except TrueupError as error:
        failure = error
    found = lights(pipeline, watermarks, waiting)
    if failure is not None:
        found.insert(0, clickhouse_away(failure.what))
    return render(
        request, "_health.html", lights=found, level=worst(found), pipeline=pipeline, watermarks=watermarks,
        mark_query=mark_query, tables=tables, storage_query=storage_query, stages=STAGES,
    )  # fmt: skip


def clickhouse_away(why: str) -> Light:
    """The light of a ClickHouse that does not answer."""
    return Light(
        "clickhouse", "bad", "ClickHouse does not answer: {why}",
        "Nothing is lost: the workers go on when it is back.", "ClickHouse is down", {"why": why},
    )  # fmt: skip
