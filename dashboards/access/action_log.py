"""The log of actions: who did what, when, from where, and what came of it; refusals too."""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import Engine, delete, insert, select

from dashboards.access.accounts import Clock
from dashboards.access.tables import ACTION
from dashboards.store import reads

DONE: Final = "done"
REFUSED: Final = "refused"
FAILED: Final = "failed"

KEPT_DAYS: Final = 730
_DAY_US: Final = 86_400_000_000
_CHARS: Final = {"login": 64, "address": 64, "action": 100, "about": 300, "detail": 2_000}


class Action(NamedTuple):
    """One action. `about` names what was acted on; `result` is done, refused or failed."""

    number: int
    at_us: int
    login: str
    address: str
    action: str
    about: str
    result: str
    detail: str


class ActionLog:
    """The actions of a store."""

    def __init__(self, store: Engine, now_us: Clock) -> None:
        self._store = store
        self._now_us = now_us

    def add(
        self, login: str, address: str, action: str, *, about: str = "", result: str = DONE, detail: str = ""
    ) -> None:
        """Write down an action; texts that are too long are cut."""
        texts = {"login": login, "address": address, "action": action, "about": about, "detail": detail}
        row = {name: _plain(text)[: _CHARS[name]] for name, text in texts.items()}
        with self._store.begin() as connection:
            connection.execute(insert(ACTION).values({**row, "result": result, "at_us": self._now_us()}))

    def page(self, rows_max: int, *, before: int | None = None, login: str = "") -> list[Action]:
        """The newest actions, those before a number, of everybody or of one login."""
        query = select(ACTION).order_by(ACTION.c.number.desc()).limit(rows_max)
        if before is not None:
            query = query.where(ACTION.c.number < before)
        if login:
            query = query.where(ACTION.c.login == login)
        with reads(self._store).begin() as connection:
            return [Action(**row) for row in connection.execute(query).mappings()]

    def sweep(self) -> None:
        """Remove what is older than two years."""
        with self._store.begin() as connection:
            connection.execute(delete(ACTION).where(ACTION.c.at_us < self._now_us() - KEPT_DAYS * _DAY_US))


def _plain(text: str) -> str:
    """Without characters that no database keeps, or that make a log lie."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
