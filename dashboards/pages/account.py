"""One's own account: name, language, password, tokens for programs."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from dashboards.access.account import ROLES, Account, read_role
from dashboards.access.gate import Access
from dashboards.access.passwords import CHARS_MAX, CHARS_MIN
from dashboards.access.refusals import NotAllowed
from dashboards.access.tokens import DAYS_MAX
from dashboards.pages.sign_in import begin_session, keep_language
from dashboards.web.board import BoardDep
from dashboards.web.guard import Viewer, client_address, note_action
from dashboards.web.language import LANGUAGE_COOKIE
from dashboards.web.page import render
from trueup.model.errors import ConfigurationError, TrueupError

router = APIRouter()

SAID: Final = {
    "first": "You are signed in by a link. Choose a password, so that you can sign in again.",
    "profile": "Saved.",
    "password": "The password is changed; every other session has ended.",
    "token": "The token is removed.",
}
"""What the page tells after an action, by the word in its address."""

_UNREADABLE: Final = 400
Text = Annotated[str, Form(max_length=CHARS_MAX)]


@router.get("/account")
def show(request: Request, board: BoardDep, account: Viewer, said: str = "") -> Response:
    """The account, with its tokens."""
    return _page(request, board.access, account, said=SAID.get(said, ""))


@router.post("/account/profile")
def change_profile(
    request: Request, board: BoardDep, account: Viewer, name: Text = "", language: Text = ""
) -> Response:
    """Another name or language."""
    access = _with_accounts(board.access)
    note_action(request, "change the profile", about=account.login)
    try:
        changed = access.accounts.set_profile(account.login, name=name, language=language)
    except ConfigurationError as error:
        return _page(request, access, account, refusal=error)
    answer = RedirectResponse("/account?said=profile", 303)
    if changed.language:
        keep_language(request, answer, access, changed.language)
    else:
        answer.delete_cookie(LANGUAGE_COOKIE)
    return answer


@router.post("/account/password")
def change_password(
    request: Request,
    board: BoardDep,
    account: Viewer,
    present: Text = "",
    password: Text = "",
    again: Text = "",
) -> Response:
    """Another password; the sessions of other browsers end, this one gets a new id."""
    access = _with_accounts(board.access)
    note_action(request, "change the password", about=account.login)
    try:
        if account.has_password and access.sign_in(account.login, present, address=client_address(request)) is None:
            raise ConfigurationError("the present password is another one", remedy="try again")
        if password != again:
            raise ConfigurationError("the two new passwords differ", remedy="type the same one twice")
        changed = access.accounts.set_password(account.login, password)
    except TrueupError as error:
        return _page(request, access, account, refusal=error)
    return begin_session(request, access, changed, "/account?said=password")


@router.post("/account/tokens")
def make_token(
    request: Request,
    board: BoardDep,
    account: Viewer,
    name: Text = "",
    role: Text = "viewer",
    days: Annotated[int, Form()] = 90,
) -> Response:
    """A new token, shown this once."""
    access = _with_accounts(board.access)
    note_action(request, "make a token", about=name, detail=f"{role}, {days} days")
    try:
        secret = access.tokens.make(account, name, read_role(role), days)
    except ConfigurationError as error:
        return _page(request, access, account, refusal=error)
    return _page(request, access, account, secret=secret)


@router.post("/account/tokens/{token_id}/remove")
def remove_token(request: Request, board: BoardDep, account: Viewer, token_id: str) -> Response:
    """A token that holds no longer."""
    access = _with_accounts(board.access)
    note_action(request, "remove a token", about=token_id)
    access.tokens.remove(account.login, token_id)
    return RedirectResponse("/account?said=token", 303)


def _with_accounts(access: Access) -> Access:
    """Errors: NotAllowed where authentication is off: there are no accounts then."""
    if access.is_open:
        raise NotAllowed(
            "there are no accounts while authentication is off",
            where="dashboard.authentication",
            remedy="set it to true to have accounts, passwords and tokens",
        )
    return access


def _page(
    request: Request,
    access: Access,
    account: Account,
    *,
    said: str = "",
    secret: str = "",
    refusal: TrueupError | None = None,
) -> Response:
    roles = [role for role in ROLES if account.role.allows(role)]
    return render(
        request, "account.html", status_code=200 if refusal is None else _UNREADABLE,
        tokens=access.tokens.of(account.login), roles=roles, said=said, secret=secret, refusal=refusal,
        is_open=access.is_open, chars_min=CHARS_MIN, days_max=DAYS_MAX,
    )  # fmt: skip
