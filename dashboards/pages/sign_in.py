"""Signing in, by password or one-time link, and signing out."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from dashboards.access.account import Account
from dashboards.access.gate import Access
from dashboards.access.links import PATH as ONCE
from dashboards.access.refusals import NotAllowed, TooMany
from dashboards.pages.preferences import KEPT_SECONDS
from dashboards.web.board import BoardDep
from dashboards.web.errors import SIGN_IN, local_address
from dashboards.web.guard import (
    OpenToAll,
    Viewer,
    clear_session,
    client_address,
    is_from_this_machine,
    is_secure,
    note_action,
    set_session,
)
from dashboards.web.language import LANGUAGE_COOKIE
from dashboards.web.page import render

router = APIRouter()

TEXT_CHARS_MAX: Final = 1_000
_UNAUTHORIZED: Final = 401
_TOO_MANY: Final = 429

Text = Annotated[str, Form(max_length=TEXT_CHARS_MAX)]


@router.get(SIGN_IN, dependencies=[OpenToAll])
def ask(request: Request, board: BoardDep, next: str = "/") -> Response:  # noqa: A002 - the name in the address
    """The form; whoever is signed in goes on."""
    if request.state.account is not None:
        return RedirectResponse(local_address(next), 303)
    return _form(request, board.access, next)


@router.post(SIGN_IN, dependencies=[OpenToAll])
def sign_in(
    request: Request,
    board: BoardDep,
    login: Text = "",
    password: Text = "",
    next: Text = "/",  # noqa: A002
) -> Response:
    """Sign in with login and password."""
    access = board.access
    note_action(request, "sign in", about=login)
    try:
        account = access.sign_in(login, password, address=client_address(request))
    except TooMany as error:
        answer = _form(request, access, next, login, status_code=_TOO_MANY, refusal=error.what, remedy=error.remedy)
        answer.headers["Retry-After"] = str(error.wait_seconds)
        return answer
    if account is None:
        return _form(
            request, access, next, login, status_code=_UNAUTHORIZED,
            refusal="Login and password do not fit.", remedy="Try again, or ask an admin to reset the password.",
        )  # fmt: skip
    return begin_session(request, access, account, next)


@router.get(ONCE, dependencies=[OpenToAll])
def sign_in_once(request: Request, board: BoardDep, token: str = "") -> Response:
    """Sign in by a one-time link; only a browser on the same machine may."""
    access = board.access
    note_action(request, "sign in by a link")
    if not is_from_this_machine(request):
        raise NotAllowed(
            "a one-time link works only on the machine that the dashboard runs on",
            remedy="open it there, or sign in with a password",
        )
    account = access.links.take(token)
    if account is None:
        return _form(
            request, access, "/", status_code=_UNAUTHORIZED,
            refusal="This link was used already, or is older than ten minutes.",
            remedy="Make another one: trueup users link",
        )  # fmt: skip
    return begin_session(request, access, account, "/" if account.has_password else "/account?said=first")


@router.post("/sign-out")
def sign_out(request: Request, board: BoardDep, account: Viewer) -> Response:
    """End the session."""
    note_action(request, "sign out", about=account.login)
    board.access.sessions.end(request.state.session_id)
    answer = RedirectResponse(SIGN_IN, 303)
    clear_session(request, answer)
    return answer


def begin_session(request: Request, access: Access, account: Account, back: str) -> Response:
    """A new session for an account that has shown who it is, and on to where it wanted to go."""
    access.sweep()
    session_id = access.sessions.start(
        account.login,
        address=client_address(request),
        browser=request.headers.get("user-agent", ""),
        instead_of=request.state.session_id,
    )
    request.state.account = account
    answer = RedirectResponse(local_address(back), 303)
    set_session(request, answer, session_id)
    if account.language:
        keep_language(request, answer, access, account.language)
    return answer


def keep_language(request: Request, answer: Response, access: Access, language: str) -> None:
    """Let the browser keep the language that the account has chosen."""
    answer.set_cookie(
        LANGUAGE_COOKIE, language, max_age=KEPT_SECONDS, httponly=True, samesite="lax",
        secure=is_secure(request, access.serving),
    )  # fmt: skip


def _form(
    request: Request,
    access: Access,
    back: str,
    login: str = "",
    *,
    status_code: int = 200,
    refusal: str = "",
    remedy: str = "",
) -> Response:
    return render(
        request, "sign_in.html", status_code=status_code,
        provider=access.provider.name if access.provider is not None else "",
        back=local_address(back), login=login[:TEXT_CHARS_MAX], refusal=refusal, remedy=remedy,
    )  # fmt: skip
