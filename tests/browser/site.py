"""The dashboard of a running stack as people meet it: accounts, browsers, and everything that goes wrong in them."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request
from sqlalchemy import delete

from dashboards.access.account import Role
from dashboards.access.gate import Access
from dashboards.access.tables import SESSION
from tests.e2e.rig import Rig
from trueup.dashboard_wiring import dashboard_address

PATIENCE_SECONDS = 90.0
"""How long anything that a page waits for may take on a busy machine."""

PASSWORD = "three blind mice run"
POLL_SECONDS = 0.1
WIDE, NARROW = 1280, 390
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
ROLES = {"vera": Role.VIEWER, "olga": Role.OPERATOR, "oscar": Role.OPERATOR, "anna": Role.APPROVER, "adam": Role.ADMIN}

Theme = Literal["light", "dark"]


def wait_until(what: str, holds: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> None:
    """Fails unless it holds within that time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(POLL_SECONDS)


@dataclass
class Visit:
    """A window of a browser, and what went wrong in it: errors, refused styles, requests that leave the machine."""

    page: Page
    address: str
    faults: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    """Patterns of faults that the test brings about on purpose."""

    def __post_init__(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(f"{self.page.url}: {error}"))
        self.page.on("request", self._requested)

    def open(self, path: str) -> Page:
        """Load a page of the dashboard."""
        self.page.goto(self.address + path)
        return self.page

    def unexpected(self) -> list[str]:
        """What went wrong and was not meant to."""
        return [fault for fault in self.faults if not any(re.search(pattern, fault) for pattern in self.allowed)]

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"{self.page.url}: {message.text} ({message.location.get('url')})")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.faults.append(f"{self.page.url}: asks {request.url}")


class Site:
    """The dashboard, its accounts, and a browser to look at it with."""

    def __init__(self, rig: Rig, access: Access, chromium: Browser) -> None:
        self.rig = rig
        self.access = access
        self.address = dashboard_address(rig.settings)
        self._chromium = chromium
        for login, role in ROLES.items():
            access.accounts.add(login, role, password=PASSWORD)

    @contextlib.contextmanager
    def visit(
        self,
        login: str = "",
        *,
        language: str = "en",
        width: int = WIDE,
        theme: Theme = "light",
    ) -> Iterator[Visit]:
        """A browser of its own, in which the account is signed in; fails at the end if anything went wrong in it."""
        context = self._chromium.new_context(
            locale=LOCALES[language],
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            accept_downloads=True,
        )
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        if login:
            session = self.access.sessions.start(login, address="127.0.0.1", browser="Chromium")
            name = f"trueup_{urlsplit(self.address).port}"
            context.add_cookies([{"name": name, "value": session, "url": self.address}])
        visit = Visit(context.new_page(), self.address)
        try:
            yield visit
        finally:
            context.close()
        faults = visit.unexpected()
        assert not faults, "\n".join(faults)

    def standing(self, discrepancy: str) -> str:
        """Where a discrepancy stands by the books."""
        return str(self.value(f"SELECT standing FROM {{db}}.v_cases WHERE discrepancy_id = '{discrepancy}'"))

    def wait_for_standing(self, discrepancy: str, standing: str) -> None:
        """Fails unless it comes to stand so."""
        wait_until(f"{discrepancy} is {standing}", lambda: self.standing(discrepancy) == standing)

    def end_sessions(self, login: str) -> None:
        """Let everybody be signed out who is signed in as this."""
        with self.access.store.begin() as connection:
            connection.execute(delete(SESSION).where(SESSION.c.login == login))

    def value(self, statement: str) -> Any:
        """The one value of a query; `{db}` stands for the database."""
        ((found,),) = self.rig.query(statement)
        return found


def at_rest(page: Page) -> None:
    """Return when htmx has nothing on its way."""
    under_way = "document.querySelectorAll('.htmx-request, .htmx-swapping, .htmx-settling').length"
    wait_until("htmx has done all", lambda: page.evaluate(under_way) == 0)
