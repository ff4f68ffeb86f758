"""`/healthz`, `/readyz` and `/metrics` of the dashboard's own process, in the form that the other processes have."""

from __future__ import annotations

from collections.abc import Callable

from clickhouse_connect.driver.exceptions import ClickHouseError
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from prometheus_client.exposition import choose_encoder
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from urllib3.exceptions import HTTPError

from dashboards.access.refusals import NotAllowed
from dashboards.store import reads
from dashboards.web.board import Board, BoardDep
from dashboards.web.guard import OpenToAll, is_from_this_machine
from trueup.model.health import Part

router = APIRouter(dependencies=[OpenToAll])


@router.get("/healthz")
async def healthz() -> JSONResponse:
    """200 while the process answers at all."""
    return JSONResponse({"alive": True})


@router.get("/readyz")
def readyz(board: BoardDep) -> JSONResponse:
    """200 while ClickHouse, Kafka and the store answer, 503 otherwise; each is named."""
    parts = readiness(board)
    ready = all(part.ready for part in parts.values())
    document = {"ready": ready, "parts": {name: part._asdict() for name, part in parts.items()}}
    return JSONResponse(document, 200 if ready else 503, {"Cache-Control": "no-store"})


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """Prometheus' text format, for programs of this machine."""
    if not is_from_this_machine(request):
        raise NotAllowed("metrics are given to this machine only", where="/metrics", remedy="scrape 127.0.0.1")
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(request.app.state.metrics.registry), headers={"Content-Type": content_type})


def readiness(board: Board) -> dict[str, Part]:
    """What the pages need, each asked now."""
    return {
        "clickhouse": _answers(lambda: board.client.command("SELECT 1")),
        "kafka": board.live.part,
        "store": _answers(lambda: _ask_store(board)),
    }


def _ask_store(board: Board) -> None:
    with reads(board.access.store).begin() as connection:
        connection.execute(select(1))


def _answers(ask: Callable[[], object]) -> Part:
    try:
        ask()
    except (ClickHouseError, HTTPError, OSError, SQLAlchemyError) as error:
        return Part(ready=False, error=str(error).splitlines()[0][:300])
    return Part(ready=True)
