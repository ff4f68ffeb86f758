"""What went wrong, as a page, as a notice within a page, or as a problem document of the JSON API; never a traceback."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dashboards.access.refusals import NotAllowed, TooMany
from dashboards.web.page import render
from trueup.model.errors import ConfigurationError, InvalidRecord, TrueupError, UnavailableError

_logger = structlog.get_logger()

SIGN_IN: Final = "/sign-in"
API: Final = "/api/"
RETRY_AFTER_SECONDS: Final = 2
ADDRESS_CHARS_MAX: Final = 2000


class SignInNeeded(Exception):
    """Nobody is signed in, or no longer: a page leads to the sign-in and back."""


class Problem(NamedTuple):
    """An error for a person; texts are English, and keys of the catalogue where they are ours."""

    status: int
    title: str
    what: str
    where: str = ""
    remedy: str = ""


_BY_STATUS: Final = {
    400: Problem(400, "This cannot be read", "The address or the form has a value that cannot be used."),
    401: Problem(401, "Please sign in", "This needs an account.", "", "Sign in and try again."),
    403: Problem(403, "Not allowed", "Your account may not do this.", "", "Ask an administrator for the role."),
    404: Problem(404, "Not found", "There is no such page, or nothing with this id.", "", "Check the address, or search by id."),
    405: Problem(405, "Not possible", "This address does not take that."),
    429: Problem(429, "Too many requests", "Too many requests in a short time.", "", "Wait a moment and try again."),
    500: Problem(500, "Something went wrong", "The page failed; the log of the dashboard says why.", "", "Try again; if it stays, report it."),
    503: Problem(503, "Not available now", "A service that the page needs does not answer.", "", "Try again in a moment."),
}  # fmt: skip


_STATUS_OF: Final[tuple[tuple[type[TrueupError], int], ...]] = (
    (UnavailableError, 503),
    (ConfigurationError, 400),
    (InvalidRecord, 400),
    (NotAllowed, 403),
    (TooMany, 429),
    (TrueupError, 500),
)
"""The first kind that fits decides."""


def problem_of(error: Exception) -> Problem:
    """The problem that an exception stands for."""
    if isinstance(error, TrueupError):
        known = _BY_STATUS[next(status for kind, status in _STATUS_OF if isinstance(error, kind))]
        return known._replace(what=error.what, where=error.where, remedy=error.remedy or known.remedy)
    if isinstance(error, SignInNeeded):
        return _BY_STATUS[401]
    if isinstance(error, RequestValidationError):
        first = error.errors()[0] if error.errors() else {}
        place = ".".join(str(part) for part in first.get("loc", ())[1:])
        return Problem(400, _BY_STATUS[400].title, str(first.get("msg", "")) or _BY_STATUS[400].what, place)
    if isinstance(error, HTTPException):
        known = _BY_STATUS.get(error.status_code, _BY_STATUS[400 if error.status_code < 500 else 500])
        # Starlette says the status's own phrase when nobody said more.
        is_told = error.detail and error.detail != HTTPStatus(error.status_code).phrase
        return known._replace(status=error.status_code, what=str(error.detail) if is_told else known.what)
    return _BY_STATUS[500]


def install(app: FastAPI) -> None:
    """Let the application answer errors in our words."""
    for kind in (SignInNeeded, TrueupError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer_error)


def answer_error(request: Request, error: Exception) -> Response:
    """The answer to a request that failed."""
    problem = problem_of(error)
    request.state.problem = problem
    if problem.status >= 500:
        unexpected = not isinstance(error, TrueupError | HTTPException)
        _logger.error("request_failed", path=request.url.path, error=str(error), exc_info=error if unexpected else None)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if problem.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    elif isinstance(error, TooMany):
        headers["Retry-After"] = str(error.wait_seconds)
    if request.url.path.startswith(API):
        return _problem_document(problem, headers)
    if isinstance(error, SignInNeeded):
        return _to_sign_in(request)
    is_fragment = request.headers.get("hx-request") == "true" and request.headers.get("hx-boosted") != "true"
    answer = render(
        request, "_fault.html" if is_fragment else "error.html", status_code=problem.status,
        title=problem.title, what=problem.what, where=problem.where, remedy=problem.remedy,
    )  # fmt: skip
    answer.headers.update(headers)
    return answer


def _problem_document(problem: Problem, headers: dict[str, str]) -> Response:
    """RFC 9457, with our three parts."""
    return JSONResponse(
        {
            "type": "about:blank",
            "title": problem.title,
            "status": problem.status,
            "detail": problem.what,
            "what": problem.what,
            "where": problem.where,
            "remedy": problem.remedy,
        },
        problem.status,
        headers,
        media_type="application/problem+json",
    )


def _to_sign_in(request: Request) -> Response:
    """To the sign-in, which leads back: to the page that a fragment was asked for by, else to the address asked for."""
    if request.headers.get("hx-request") == "true":
        shown = urlsplit(request.headers.get("hx-current-url", ""))
        back = local_address(shown.path + (f"?{shown.query}" if shown.query else ""))
        return Response(status_code=401, headers={"HX-Redirect": f"{SIGN_IN}?next={quote(back, safe='')}"})
    if "text/event-stream" in request.headers.get("accept", ""):
        # An event source would follow to the sign-in and find no events there.
        return Response(status_code=401)
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method not in {"GET", "HEAD"}:
        # What was sent is gone; the page that it was sent from is not.
        shown = urlsplit(request.headers.get("referer", ""))
        back = shown.path + (f"?{shown.query}" if shown.query else "")
    return RedirectResponse(f"{SIGN_IN}?next={quote(local_address(back), safe='')}", 303)


def local_address(text: str) -> str:
    """An address of this site to go on to: the text when it can lead nowhere else, otherwise the overview."""
    is_local = text.startswith("/") and not text.startswith(("//", "/\\")) and len(text) <= ADDRESS_CHARS_MAX
    return text if is_local and text.isprintable() and "\\" not in text else "/"
