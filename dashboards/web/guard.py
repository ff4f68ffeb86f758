"""Who sends a request, and whether they may: accounts by cookie, roles of routes, forged requests, and the log of actions.

A route says who may use it by the type of a parameter:

    @router.post("/quarantine/replay")
    def replay(request: Request, account: Operator, …): …

A route that needs no account says so by `dependencies=[OpenToAll]`. Requests that change something are written to the log of
actions by themselves; `note_action` says more about what was done. Templates have `account.may("operator")`.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection
from starlette.responses import Response

from dashboards.access.account import LOCAL, Account, Role
from dashboards.access.gate import Access
from dashboards.access.refusals import NotAllowed
from dashboards.access.serving import Serving, host_name, is_loopback
from dashboards.access.sessions import form_token
from dashboards.web.errors import SignInNeeded
from dashboards.web.page import CSRF_FIELD, CSRF_HEADER
from trueup.model.errors import UnavailableError

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SECURE_COOKIE: Final = "__Host-trueup"


@dataclass(frozen=True, slots=True)
class NeedsRole:
    """A dependency that gives the account of a request, if it has the role."""

    role: Role

    def check(self, request: Request, account: Account) -> None:
        """Errors: NotAllowed."""
        if not account.role.allows(self.role):
            raise NotAllowed(
                f"this needs the role {self.role}, you are {account.role}",
                where=f"{request.method} {request.url.path}",
                remedy="ask an admin for another role",
            )


class RoleNeeded(NeedsRole):
    """The dependency behind `Viewer` … `Admin`: the account of the session, if it means what it sends."""

    async def __call__(self, request: Request) -> Account:
        """Errors: SignInNeeded, NotAllowed."""
        account: Account | None = request.state.account
        if account is None:
            raise SignInNeeded
        self.check(request, account)
        if request.method not in SAFE_METHODS:
            await _check_form_token(request)
        return account


async def open_to_all() -> None:
    """Marks a route that needs no account."""


OpenToAll: Final = Depends(open_to_all)

Viewer = Annotated[Account, Depends(RoleNeeded(Role.VIEWER))]
Operator = Annotated[Account, Depends(RoleNeeded(Role.OPERATOR))]
Admin = Annotated[Account, Depends(RoleNeeded(Role.ADMIN))]


def role_of(route: APIRoute) -> Role | None:
    """The highest role that a route needs, None when it is open to all. Errors: LookupError when it declares neither."""
    calls = list(_calls(route.dependant))
    roles = [call.role for call in calls if isinstance(call, NeedsRole)]
    if roles:
        return max(roles, key=list(Role).index)
    if open_to_all in calls:
        return None
    raise LookupError(f"{route.path} declares no role")


def note_action(request: Request, action: str, *, about: str = "", detail: str = "") -> None:
    """Say for the log of actions what a request does, in words such as `waive` and the discrepancy's id."""
    request.state.noted = (action, about, detail)


def client_address(connection: HTTPConnection) -> str:
    """The address that a request comes from, as trusted proxies tell it."""
    return connection.client.host if connection.client is not None else ""


def is_from_this_machine(connection: HTTPConnection) -> bool:
    """Whether it came directly from this machine, through no proxy."""
    forwarded = {"forwarded", "x-forwarded-for", "x-real-ip"} & set(connection.headers.keys())
    return not forwarded and is_loopback(client_address(connection))


def is_secure(connection: HTTPConnection, where: Serving) -> bool:
    """Whether the browser sees https: here, or at the declared proxy."""
    # A proxy that says nothing of the scheme may still name its host.
    header = connection.headers.get("host", "").lower()
    return connection.url.scheme == "https" or (bool(where.proxy_origin) and header == where.proxy_host)


def origin_of(connection: HTTPConnection, where: Serving) -> str:
    """The origin that the browser shows for this request."""
    header = connection.headers.get("host", "").lower()
    if where.proxy_origin and not is_from_this_machine(connection):
        return where.proxy_origin
    return f"{'https' if is_secure(connection, where) else 'http'}://{header}"


def session_cookie(connection: HTTPConnection, where: Serving) -> str:
    """The name of the cookie that holds the session's id.

    Cookies of an address are shared by its ports, so where no `__Host-` cookie is possible the port is in the name: two
    dashboards on one machine do not sign each other out.
    """
    if is_secure(connection, where):
        return _SECURE_COOKIE
    port = connection.headers.get("host", "").rpartition(":")[2]
    return f"trueup_{port}" if port.isdigit() else "trueup"


def set_session(request: Request, response: Response, session_id: str) -> None:
    """Let the browser keep a session's id, as long as the browser itself runs."""
    where: Serving = request.app.state.board.access.serving
    response.set_cookie(
        session_cookie(request, where), session_id, path="/", httponly=True, samesite="lax",
        secure=is_secure(request, where),
    )  # fmt: skip


def clear_session(request: Request, response: Response) -> None:
    """Let the browser forget it."""
    where: Serving = request.app.state.board.access.serving
    response.delete_cookie(
        session_cookie(request, where), path="/", httponly=True, samesite="lax", secure=is_secure(request, where)
    )


def session_id_of(connection: HTTPConnection, where: Serving) -> str:
    """The id that the browser sends, "" without one."""
    return connection.cookies.get(session_cookie(connection, where), "")


def identify(request: Request, access: Access) -> None:
    """Put `account` (None when nobody is signed in), `session_id` and `csrf` into the state of a request.

    Errors: UnavailableError when the store does not answer.
    """
    state = request.state
    state.account, state.session_id, state.csrf = (LOCAL if access.is_open else None), "", ""
    if access.is_open:
        # Nobody signs in, but forms of other sites are refused all the same, by their origin.
        return
    session_id = session_id_of(request, access.serving)
    if session_id:
        try:
            state.account = access.sessions.account(session_id)
        except SQLAlchemyError as error:
            raise UnavailableError(
                "the dashboard's database does not answer", where="dashboard.database_url"
            ) from error
    if state.account is not None:
        state.session_id, state.csrf = session_id, form_token(session_id)


def check_host(request: Request, where: Serving) -> None:
    """Errors: NotAllowed when the service has no such name: another name leads here by somebody else's DNS."""
    host = request.headers.get("host", "")
    if not where.knows(host):
        raise NotAllowed(
            f"the dashboard is not called {host_name(host)[:100]!r}",
            where="header Host",
            remedy="name the host in dashboard.public_names, if it is yours",
        )


def check_origin(request: Request, where: Serving) -> None:
    """Errors: NotAllowed when another site's page sends a change."""
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("origin", "")
    if request.headers.get("sec-fetch-site") == "same-origin" or origin.lower() == origin_of(request, where):
        return
    # Older browsers send no Origin with a form, but the address of the page that holds it.
    referrer = urlsplit(request.headers.get("referer", ""))
    if not origin and f"{referrer.scheme}://{referrer.netloc}".lower() == origin_of(request, where):
        return
    raise NotAllowed(
        "the request was not sent by a page of this dashboard",
        where=f"header Origin: {origin[:100] or 'none'}",
        remedy="open the page again; behind a proxy, check dashboard.proxy_origin and that the proxy passes Host on",
    )


async def _check_form_token(request: Request) -> None:
    """Errors: NotAllowed unless the form, or the header that htmx sends, has the token of the session."""
    expected: str = request.state.csrf
    if not expected and request.app.state.board.access.is_open:
        return
    given: Any = request.headers.get(CSRF_HEADER, "")
    if not given:
        given = (await request.form()).get(CSRF_FIELD, "")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
        raise NotAllowed(
            "the form belongs to another session",
            where=f"{request.method} {request.url.path}",
            remedy="open the page again and repeat it",
        )


def _calls(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)
