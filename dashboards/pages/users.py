"""Managing accounts, and the log of actions: for admins."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from dashboards.access.account import ROLES, read_role
from dashboards.access.accounts import Accounts
from dashboards.access.passwords import CHARS_MAX, CHARS_MIN
from dashboards.web.board import BoardDep
from dashboards.web.guard import Admin, note_action
from dashboards.web.page import render
from trueup.model.errors import ConfigurationError

router = APIRouter()

ACTIONS_SHOWN: Final = 100
SAID: Final = {
    "added": "The account is there.",
    "role": "The role is changed; the account has to sign in again.",
    "disabled": "The account is disabled; its sessions have ended, its tokens hold no longer.",
    "enabled": "The account may sign in again.",
    "password": "The password is set; the account's sessions have ended.",
}
_UNREADABLE: Final = 400
Text = Annotated[str, Form(max_length=CHARS_MAX)]


@router.get("/users")
def show(request: Request, board: BoardDep, _admin: Admin, said: str = "") -> Response:
    """Every account."""
    return _page(request, board.access.accounts, said=SAID.get(said, ""))


@router.post("/users")
def add(
    request: Request,
    board: BoardDep,
    _admin: Admin,
    login: Text = "",
    name: Text = "",
    role: Text = "viewer",
    password: Text = "",
) -> Response:
    """A new account."""
    note_action(request, "add an account", about=login, detail=role)
    try:
        board.access.accounts.add(login, read_role(role), name=name, password=password)
    except ConfigurationError as error:
        return _page(request, board.access.accounts, refusal=error)
    return RedirectResponse("/users?said=added", 303)


@router.post("/users/{login}/role")
def change_role(request: Request, board: BoardDep, _admin: Admin, login: str, role: Text = "") -> Response:
    """Another role."""
    note_action(request, "change the role", about=login, detail=role)
    try:
        board.access.accounts.set_role(login, read_role(role))
    except ConfigurationError as error:
        return _page(request, board.access.accounts, refusal=error)
    return RedirectResponse("/users?said=role", 303)


@router.post("/users/{login}/disable")
def disable(request: Request, board: BoardDep, _admin: Admin, login: str) -> Response:
    """Keep an account from signing in."""
    return _set_disabled(request, board.access.accounts, login, disabled=True)


@router.post("/users/{login}/enable")
def enable(request: Request, board: BoardDep, _admin: Admin, login: str) -> Response:
    """Let an account sign in again."""
    return _set_disabled(request, board.access.accounts, login, disabled=False)


@router.post("/users/{login}/password")
def reset_password(request: Request, board: BoardDep, _admin: Admin, login: str, password: Text = "") -> Response:
    """Another password for somebody who has lost theirs."""
    note_action(request, "reset the password", about=login)
    try:
        board.access.accounts.set_password(login, password)
    except ConfigurationError as error:
        return _page(request, board.access.accounts, refusal=error)
    return RedirectResponse("/users?said=password", 303)


@router.get("/actions")
def show_actions(
    request: Request, board: BoardDep, _admin: Admin, before: int | None = None, login: str = ""
) -> Response:
    """Who did what, the newest first."""
    actions = board.access.actions.page(ACTIONS_SHOWN + 1, before=before, login=login.strip().lower())
    has_more = len(actions) > ACTIONS_SHOWN
    del actions[ACTIONS_SHOWN:]
    return render(
        request, "actions.html", actions=actions, login=login, before=before,
        older=actions[-1].number if has_more else None,
    )  # fmt: skip


def _set_disabled(request: Request, accounts: Accounts, login: str, *, disabled: bool) -> Response:
    word = "disable" if disabled else "enable"
    note_action(request, f"{word} an account", about=login)
    try:
        accounts.set_disabled(login, disabled=disabled)
    except ConfigurationError as error:
        return _page(request, accounts, refusal=error)
    return RedirectResponse(f"/users?said={word}d", 303)


def _page(
    request: Request, accounts: Accounts, *, said: str = "", refusal: ConfigurationError | None = None
) -> Response:
    return render(
        request, "users.html", status_code=200 if refusal is None else _UNREADABLE,
        accounts=accounts.every(), roles=ROLES, said=said, refusal=refusal, chars_min=CHARS_MIN,
    )  # fmt: skip
