"""Sessions: who is signed in. The store knows only a hash of the id that the browser keeps."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final, NamedTuple

from sqlalchemy import Engine, delete, insert, select, update

from dashboards.access.account import Account
from dashboards.access.accounts import Clock, account_of
from dashboards.access.tables import ACCOUNT, SESSION, digest
from dashboards.store import reads

TOUCHED_US: Final = 60_000_000
"""How often a session in use is written: once a minute is exact enough for an idle limit."""

ADDRESS_CHARS: Final = 64
BROWSER_CHARS: Final = 200


class SessionLimits(NamedTuple):
    """How long a session lasts without a request, and at most, in µs."""

    idle_us: int
    total_us: int


class Sessions:
    """The sessions of a store."""

    def __init__(self, store: Engine, limits: SessionLimits, now_us: Clock) -> None:
        self._store = store
        self._limits = limits
        self._now_us = now_us

    def start(self, login: str, *, address: str, browser: str, instead_of: str = "") -> str:
        """Sign in: the id of a new session, for the browser's cookie.

        Every sign-in gets a new id; the session whose id the browser had before, `instead_of`, ends.
        """
        session_id = secrets.token_urlsafe(32)
        now_us = self._now_us()
        row = {
            "id_hash": digest(session_id), "login": login, "created_us": now_us, "seen_us": now_us,
            "address": address[:ADDRESS_CHARS], "browser": browser[:BROWSER_CHARS],
        }  # fmt: skip
        with self._store.begin() as connection:
            connection.execute(delete(SESSION).where(SESSION.c.id_hash == digest(instead_of)))
            connection.execute(insert(SESSION).values(row))
            connection.execute(update(ACCOUNT).where(ACCOUNT.c.login == login).values(signed_in_us=now_us))
        return session_id

    def account(self, session_id: str) -> Account | None:
        """Whose session it is; None when it ended, was never there, or its account is disabled."""
        known = digest(session_id)
        query = select(ACCOUNT, SESSION.c.created_us.label("started_us"), SESSION.c.seen_us).join(
            SESSION, SESSION.c.login == ACCOUNT.c.login
        )
        with reads(self._store).begin() as connection:
            row = connection.execute(query.where(SESSION.c.id_hash == known)).mappings().first()
        now_us = self._now_us()
        if row is None or row["is_disabled"] or self._is_over(row["started_us"], row["seen_us"], now_us):
            return None
        if now_us - row["seen_us"] >= TOUCHED_US:
            with self._store.begin() as connection:
                connection.execute(update(SESSION).where(SESSION.c.id_hash == known).values(seen_us=now_us))
        return account_of(row)

    def end(self, session_id: str) -> None:
        """Sign out."""
        with self._store.begin() as connection:
            connection.execute(delete(SESSION).where(SESSION.c.id_hash == digest(session_id)))

    def sweep(self) -> None:
        """Remove what is over."""
        now_us = self._now_us()
        with self._store.begin() as connection:
            connection.execute(
                delete(SESSION).where(
                    (SESSION.c.seen_us <= now_us - self._limits.idle_us)
                    | (SESSION.c.created_us <= now_us - self._limits.total_us)
                )
            )

    def _is_over(self, started_us: int, seen_us: int, now_us: int) -> bool:
        return now_us - seen_us >= self._limits.idle_us or now_us - started_us >= self._limits.total_us


def form_token(session_id: str) -> str:
    """What every form of a session carries, so that no other site can send one: derived, nothing is kept."""
    return hmac.digest(session_id.encode(), b"trueup form", hashlib.sha256).hex()
