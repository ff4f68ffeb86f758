"""The layer around all routes: tells who sends a request, refuses forged ones, and writes every change to the log of actions."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.access.action_log import DONE, FAILED, REFUSED
from dashboards.access.gate import Access
from dashboards.web.errors import answer_error
from dashboards.web.guard import SAFE_METHODS, check_host, check_origin, client_address, identify
from trueup.model.errors import ConfigurationError, TrueupError, UnavailableError

NO_SESSION: Final = ("/static/", "/healthz", "/readyz", "/metrics", "/api/v1/")
"""Where nobody is looked up: the answer depends on nobody, or on the token that a program sends with its request."""

BODY_BYTES_MAX: Final = 4 * 2**20
"""Of a request: a form that names ten thousand discrepancies takes a quarter of it."""

_FORBIDDEN: Final = 403
_REFUSED_FROM: Final = 400
_FAILED_FROM: Final = 500


class AccessLayer:
    """ASGI middleware. Programs that come with tokens are identified by the JSON API; their changes are written down here too.

    Args:
        app: what it stands around.
        access: accounts, sessions, and how the service is reached.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests that come from where they may."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        request.state.account = None
        is_written = False

        async def write_once(status: int) -> None:
            nonlocal is_written
            is_noted = request.method not in SAFE_METHODS or status == _FORBIDDEN or hasattr(request.state, "noted")
            if is_noted and not is_written:
                is_written = True
                await run_in_threadpool(self._write_down, request, status)

        async def send_written(message: Message) -> None:
            # Before the answer leaves: what somebody was told has happened is in the log.
            if message["type"] == "http.response.start":
                await write_once(message["status"])
            await send(message)

        try:
            await self._checked(request)
        except TrueupError as error:
            await answer_error(request, error)(scope, receive, send_written)
            return
        try:
            await self._app(scope, receive, send_written)
        except Exception:
            await write_once(_FAILED_FROM)
            raise

    async def _checked(self, request: Request) -> None:
        """Errors: TrueupError for a request that must not reach a route."""
        check_host(request, self._access.serving)
        _check_length(request)
        if not request.url.path.startswith(NO_SESSION):
            # First of all who it is: the log of actions names whose browser was misused.
            await run_in_threadpool(identify, request, self._access)
            check_origin(request, self._access.serving)

    def _write_down(self, request: Request, status: int) -> None:
        """Errors: UnavailableError when the log cannot be written."""
        state, route = request.state, request.scope.get("route")
        path = getattr(route, "path", request.url.path)
        parts = (str(part) for part in request.path_params.values())
        action, about, detail = getattr(state, "noted", (f"{request.method} {path}", " ".join(parts), ""))
        problem = getattr(state, "problem", None)
        result = DONE if status < _REFUSED_FROM else REFUSED if status < _FAILED_FROM else FAILED
        try:
            self._access.actions.add(
                state.account.login if state.account is not None else "",
                client_address(request),
                action,
                about=about,
                result=result,
                detail=problem.what if problem is not None and not detail else detail,
            )
        except SQLAlchemyError as error:
            raise UnavailableError("the log of actions cannot be written", where="dashboard.database_url") from error


def _check_length(request: Request) -> None:
    """Errors: ConfigurationError for a body that is too long, or does not say how long it is."""
    length = request.headers.get("content-length", "0")
    is_known = "transfer-encoding" not in request.headers and length.isascii() and length.isdecimal()
    if not is_known or int(length[:20]) > BODY_BYTES_MAX:
        raise ConfigurationError(
            "the request is too long, or does not say how long it is",
            where="header Content-Length",
            remedy=f"send at most {BODY_BYTES_MAX // 2**20} MiB",
        )
