"""Every route says who may use it, and that is what happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from dashboards.access.account import ROLES, Role
from dashboards.app import ROUTERS
from dashboards.web.guard import Viewer, role_of
from tests.access_stand import ORIGIN, Browser, Stand

OPEN_TO_ALL = {
    "/sign-in", "/sign-in/once", "/sign-in/provider", "/sign-in/provider/back", "/preferences", "/healthz", "/readyz",
    "/metrics", "/api/openapi.json", "/api/docs",
}  # fmt: skip
ABOVE_VIEWER = {
    ("GET", "/users"): Role.ADMIN,
    ("POST", "/users"): Role.ADMIN,
    ("POST", "/users/{login}/role"): Role.ADMIN,
    ("POST", "/users/{login}/disable"): Role.ADMIN,
    ("POST", "/users/{login}/enable"): Role.ADMIN,
    ("POST", "/users/{login}/password"): Role.ADMIN,
    ("GET", "/actions"): Role.ADMIN,
    ("POST", "/api/v1/decisions"): Role.OPERATOR,
}
SELF_SERVICE = ("/account/", "/sign-out", "/discrepancies/filters", "/discrepancies/export", "/exports")
"""What a viewer may change: their own things."""


def routes_of(router: Any) -> Iterator[APIRoute]:
    """The routes of a router and of those that it includes."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from routes_of(route.original_router)


ROUTES = [
    (method, route) for router in ROUTERS for route in routes_of(router) for method in sorted(route.methods or ())
]


def test_all_routes_are_seen(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    served = [route for route in stand.app.routes if hasattr(route, "original_router")]
    stand.close()
    assert len(served) == len(ROUTERS)
    assert {"/users", "/api/v1/decisions"} <= {route.path for _, route in ROUTES}


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=lambda part: getattr(part, "path", part))
def test_every_route_declares_its_role(method: str, route: APIRoute) -> None:
    role = role_of(route)
    assert (role is None) == (route.path in OPEN_TO_ALL)
    if (method, route.path) in ABOVE_VIEWER:
        assert role is ABOVE_VIEWER[method, route.path]
    elif method != "GET" and role is not None and not route.path.startswith(SELF_SERVICE):
        assert role.allows(Role.OPERATOR), "what changes something needs more than looking at it"


def test_a_route_without_a_role_is_noticed() -> None:
    router = APIRouter()

    @router.get("/forgotten")
    def forgotten() -> None: ...

    @router.get("/declared")
    def declared(_account: Viewer) -> None: ...

    first, second = routes_of(router)
    with pytest.raises(LookupError, match="forgotten"):
        role_of(first)
    assert role_of(second) is Role.VIEWER


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    made.add("root", Role.ADMIN)
    yield made
    made.close()


PROBES = [(method, path, role) for (method, path), role in ABOVE_VIEWER.items() if not path.startswith("/api/")]


@pytest.mark.parametrize(("method", "path", "needed"), PROBES)
def test_roles_below_are_refused_and_roles_above_are_not(stand: Stand, method: str, path: str, needed: Role) -> None:
    statuses = {role: answer_for(stand.signed_in(f"some-{role}", role), method, path) for role in ROLES}
    assert {role: status == 403 for role, status in statuses.items()} == {
        role: not role.allows(needed) for role in ROLES
    }


def answer_for(browser: Browser, method: str, path: str) -> int:
    address = path.replace("{login}", "nobody")
    if method == "GET":
        return int(browser.get(address).status_code)
    return int(browser.submit(address).status_code)


@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer trueup_x", "Basic cm9vdDpyb290", "Bearer x"])
def test_the_api_answers_nobody_without_a_token(stand: Stand, token: str) -> None:
    browser = stand.browser()
    assert browser.sign_in("root").status_code == 303, "a session is no token"
    for method, route in ROUTES:
        if route.path.startswith("/api/v1/"):
            answer = browser.request(
                method,
                route.path.format(
                    discrepancy_id="0" * 32, order_id=1, statement_id=1, topic="t", partition=1, offset=1
                ),
                headers={"Authorization": token, "Origin": ORIGIN},
                json={"id": "7b0c2f0e-5a59-4c3e-9d0c-0f6a7c1d2e3f", "kind": "acknowledge", "seen": ["x"]},
            )
            assert answer.status_code == 401, route.path
            assert answer.headers["www-authenticate"] == "Bearer"


def test_the_application_is_made_of_these_routers(stand: Stand) -> None:
    assert isinstance(stand.app, FastAPI)
    assert len(ROUTES) > 20
