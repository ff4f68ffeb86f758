"""Signing in at an OpenID provider: leaving for it, and coming back."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from dashboards.access.gate import Access
from dashboards.access.provider import LASTS_US, Provider
from dashboards.access.refusals import NotAllowed
from dashboards.pages.sign_in import begin_session
from dashboards.web.board import BoardDep
from dashboards.web.errors import local_address
from dashboards.web.guard import OpenToAll, is_secure, note_action, origin_of

router = APIRouter()

LEAVE: Final = "/sign-in/provider"
BACK: Final = "/sign-in/provider/back"


@router.get(LEAVE, dependencies=[OpenToAll])
def leave(request: Request, board: BoardDep, next: str = "/") -> Response:  # noqa: A002 - the name in the address
    """To the provider."""
    access = board.access
    leaving = _provider(access).leave(_redirect_uri(request, access), local_address(next))
    answer = RedirectResponse(leaving.address, 303)
    answer.set_cookie(
        _cookie(request, access), leaving.state, max_age=LASTS_US // 1_000_000, path="/", httponly=True, samesite="lax",
        secure=is_secure(request, access.serving),
    )  # fmt: skip
    return answer


@router.get(BACK, dependencies=[OpenToAll])
def come_back(request: Request, board: BoardDep) -> Response:
    """From the provider: a session, if it vouches for somebody with a role."""
    access = board.access
    provider = _provider(access)
    note_action(request, "sign in at the provider")
    vouched = provider.come_back(
        request.query_params, request.cookies.get(_cookie(request, access), ""), _redirect_uri(request, access)
    )
    account = access.accounts.of_provider(
        vouched.subject, vouched.login, vouched.role, name=vouched.name, provider=provider.name
    )
    note_action(request, "sign in at the provider", about=account.login, detail=provider.name)
    if account.is_disabled:
        raise NotAllowed(f"the account {account.login} is disabled", remedy="ask an admin")
    answer = begin_session(request, access, account, vouched.return_to)
    answer.delete_cookie(_cookie(request, access), path="/", httponly=True, secure=is_secure(request, access.serving))
    return answer


def _provider(access: Access) -> Provider:
    if access.provider is None:
        raise NotAllowed("no OpenID provider is set", where="dashboard.oidc.issuer", remedy="sign in with a password")
    return access.provider


def _redirect_uri(request: Request, access: Access) -> str:
    return origin_of(request, access.serving) + BACK


def _cookie(request: Request, access: Access) -> str:
    return "__Host-trueup-provider" if is_secure(request, access.serving) else "trueup_provider"
