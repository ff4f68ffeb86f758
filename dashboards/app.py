"""The web application: every router, and what stands around all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from dashboards.api import description
from dashboards.pages import (
    account,
    case,
    decisions,
    discrepancies,
    exports,
    health,
    live,
    orders,
    overview,
    payouts,
    preferences,
    provider,
    quarantine,
    search,
    sellers,
    service_state,
    sign_in,
    statements,
    users,
)
from dashboards.web import errors
from dashboards.web.access_layer import AccessLayer
from dashboards.web.assets import ADDRESS, Assets
from dashboards.web.board import Board
from dashboards.web.headers import SecurityHeaders
from dashboards.web.metrics import DashboardMetrics, Measured

ROUTERS: Final[tuple[APIRouter, ...]] = (
    sign_in.router,
    provider.router,
    account.router,
    users.router,
    live.router,
    preferences.router,
    overview.router,
    discrepancies.router,
    decisions.router,
    exports.router,
    case.router,
    orders.router,
    statements.router,
    payouts.router,
    sellers.router,
    quarantine.router,
    health.router,
    search.router,
    service_state.router,
    description.router,
    description.api_router,
)
"""Every page, and the JSON API; a module of `dashboards/pages` is served once its router stands here."""

COMPRESS_BYTES_MIN: Final = 1000
COMPRESS_LEVEL: Final = 5


def create_app(board: Board) -> FastAPI:
    """The application that serves the board.

    Args:
        board: the parts that routes share; what runs in its background ends with the application.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        board.live.start()
        try:
            yield
        finally:
            board.live.stop()
            board.jobs.close()
            board.sampler.close()

    metrics = DashboardMetrics(lambda: board.live.listeners)
    app = FastAPI(
        title="trueup",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        middleware=[
            Middleware(Measured, metrics=metrics),
            Middleware(SecurityHeaders),
            Middleware(GZipMiddleware, minimum_size=COMPRESS_BYTES_MIN, compresslevel=COMPRESS_LEVEL),
            Middleware(AccessLayer, access=board.access),
        ],
    )
    app.state.board = board
    app.state.metrics = metrics
    errors.install(app)
    app.mount(ADDRESS, Assets(), name="static")
    for router in ROUTERS:
        app.include_router(router)
    return app
