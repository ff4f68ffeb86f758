"""An application with real accounts in a store of its own, a clock that tests set, and browsers that sign in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.testclient import TestClient

from dashboards.access.account import Role
from dashboards.access.gate import Access, open_access
from dashboards.access.passwords import Passwords
from dashboards.app import create_app
from dashboards.web.board import Board
from dashboards.web.live import LiveHub
from trueup.settings import DashboardSettings, Settings

PASSWORD = "a long enough secret"
ORIGIN = "http://127.0.0.1:8080"
NOON_US = 1_763_726_400_000_000


class Clock:
    """A time in µs since the epoch that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_us = NOON_US

    def __call__(self) -> int:
        return self.now_us

    def pass_minutes(self, minutes: float) -> None:
        self.now_us += round(minutes * 60_000_000)


class QuietHub(LiveHub):
    """Nobody reads topics."""

    def run(self) -> None:
        self._stopping.wait()


def cheap_passwords() -> Passwords:
    """Hashes that are quick to make."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def settings_with(folder: Path, **dashboard: Any) -> Settings:
    return Settings(data_dir=folder, dashboard=DashboardSettings(**dashboard))


class Stand:
    """An application below a folder; `parts` replace what a board has (client, cases, send, live, settings)."""

    def __init__(self, folder: Path, *, parts: dict[str, Any] | None = None, **dashboard: Any) -> None:
        self.clock = Clock()
        self.settings = settings_with(folder, **dashboard)
        self.access: Access = open_access(self.settings, now_us=self.clock, passwords=cheap_passwords())
        stubs: dict[str, Any] = {
            "settings": self.settings, "access": self.access, "client": None, "cases": None, "send": None,
            "live": QuietHub("127.0.0.1:1"),
        }  # fmt: skip
        self.board = Board(**(stubs | (parts or {})))
        self.app: FastAPI = create_app(self.board)

    def add(self, login: str, role: Role) -> None:
        self.access.accounts.add(login, role, password=PASSWORD)

    def browser(self, origin: str = ORIGIN, address: str = "127.0.0.1") -> Browser:
        return Browser(self.app, origin, address)

    def signed_in(self, login: str, role: Role) -> Browser:
        """A browser in which a new account is signed in."""
        self.add(login, role)
        browser = self.browser()
        assert browser.sign_in(login).status_code == 303
        return browser

    def close(self) -> None:
        self.board.sampler.close()
        self.access.store.dispose()


class Browser(TestClient):
    """A browser: it sends the origin of the page that a form stands on."""

    def __init__(self, app: FastAPI, origin: str, address: str) -> None:
        super().__init__(app, base_url=origin, client=(address, 50_000), follow_redirects=False)
        self.origin = origin

    def sign_in(self, login: str, password: str = PASSWORD, **fields: str) -> Any:
        return self.submit("/sign-in", login=login, password=password, **fields)

    def submit(self, path: str, **fields: Any) -> Any:
        """Send a form as a page of ours does."""
        return self.post(path, data={"csrf": self.form_token(), **fields}, headers={"Origin": self.origin})

    def form_token(self) -> str:
        """The token in the forms of this session, "" before the sign-in."""
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.get("/account").text)
        return found[1] if found else ""
