"""Who calls: the account behind the token of a request, with the role that it has by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dashboards.access.account import LOCAL, Account, Role
from dashboards.access.refusals import TooMany
from dashboards.web.board import BoardDep
from dashboards.web.guard import NeedsRole
from trueup.model.errors import ConfigurationError

SCHEME: Final = HTTPBearer(auto_error=False, description="a token made on the page Account, such as trueup_…")
_UNAUTHORIZED: Final = 401


class BearerNeeded(NeedsRole):
    """The dependency behind `ApiViewer` and `ApiOperator`.

    A parameter that nobody reads is refused too: a misspelt filter would give more than was asked for.
    """

    def __call__(
        self,
        request: Request,
        board: BoardDep,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(SCHEME)],
    ) -> Account:
        """Errors: HTTPException 401, TooMany, NotAllowed, ConfigurationError."""
        access = board.access
        if access.is_open:
            account = LOCAL
        else:
            bearer = access.tokens.bearer(credentials.credentials) if credentials is not None else None
            if bearer is None:
                raise HTTPException(
                    _UNAUTHORIZED, "the token is missing, unknown or expired", {"WWW-Authenticate": "Bearer"}
                )
            waits = access.throttle.call_waits(bearer.token_id)
            if waits:
                raise TooMany("too many requests with this token", waits)
            account = bearer.account
        request.state.account = account
        self.check(request, account)
        _check_names(request)
        return account


ApiViewer = Annotated[Account, Depends(BearerNeeded(Role.VIEWER))]
ApiOperator = Annotated[Account, Depends(BearerNeeded(Role.OPERATOR))]


def _check_names(request: Request) -> None:
    route: APIRoute = request.scope["route"]
    strangers = sorted(set(request.query_params) - _names_of(route))
    if strangers:
        raise ConfigurationError(
            f"{strangers[0][:80]!r} is no parameter of it",
            where=route.path,
            remedy=f"one of {', '.join(sorted(_names_of(route))) or 'none'}",
        )


def _names_of(route: APIRoute) -> frozenset[str]:
    return frozenset(_names(route.dependant))


def _names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for inner in dependant.dependencies:
        yield from _names(inner)
