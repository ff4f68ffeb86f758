"""ClickHouse sessions: a session_id whose statements made state keeps one connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from trueup.embedded.clickhouse.engine import Engine, quote_name, quote_text
from trueup.embedded.clickhouse.errors import (
    SESSION_IS_LOCKED,
    SESSION_NOT_FOUND,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    EngineError,
    from_engine,
)
from trueup.embedded.clickhouse.request import SessionWish


class Session:
    """One kept connection with its temporary tables, its database and its SET settings."""

    def __init__(self, connection: Any, expires_at_seconds: float) -> None:
        self.connection = connection
        self.expires_at_seconds = expires_at_seconds
        self.lock = threading.Lock()

    def borrow(self, database: str | None, settings: Mapping[str, str]) -> Callable[[], None]:
        """Lays a request's own database and settings over the session; returns what takes them off again.

        Raises:
            EngineError: for a setting or database that the engine refuses.
        """
        undo: list[str] = []
        try:
            if database:
                undo.append(f"USE {quote_name(self._text('SELECT currentDatabase()'))}")
                self.connection.query(f"USE {quote_name(database)}", "Null")
            for name, value in settings.items():
                found = self._text(f"SELECT value FROM system.settings WHERE name = {quote_text(name)} AND changed")
                undo.append(f"SET {name} = {quote_text(found) if found else 'DEFAULT'}")
                self.connection.query(f"SET {name} = {quote_text(value)}", "Null")
        except RuntimeError as error:
            self._run(undo)
            raise from_engine(error) from error
        return lambda: self._run(undo)

    def _run(self, statements: list[str]) -> None:
        for statement in reversed(statements):
            self.connection.query(statement, "Null")

    def _text(self, sql: str) -> str:
        return bytes(self.connection.query(sql, "TabSeparatedRaw").bytes()).decode().rstrip("\n")


class Sessions:
    """The sessions with state, by user and session_id; at most `sessions_max`, each until its timeout.

    Every stock client sends a session_id, and almost none uses it: a session costs a
    connection only from its first SET, USE or temporary table on.
    """

    def __init__(self, engine: Engine, sessions_max: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._sessions_max = sessions_max
        self._clock = clock
        self._sessions: dict[tuple[str, str], Session] = {}
        self._lock = threading.Lock()

    def take(self, user: str, wish: SessionWish, defaults: Mapping[str, str], *, makes_state: bool) -> Session | None:
        """The session, locked for the caller until `give_back`; None while it has no state and makes none.

        Raises:
            EngineError: SESSION_NOT_FOUND, SESSION_IS_LOCKED, or TOO_MANY_SIMULTANEOUS_QUERIES when all are in use.
        """
        key = (user, wish.session_id)
        with self._lock:
            self._drop_expired()
            session = self._sessions.get(key)
            if session is None:
                if wish.must_exist:
                    raise EngineError(SESSION_NOT_FOUND, "Session not found")
                if not makes_state:
                    return None
                self._make_room()
                connection = self._engine.connect(None, defaults, read_only=False)
                session = self._sessions[key] = Session(connection, 0.0)
            if not session.lock.acquire(blocking=False):
                raise EngineError(SESSION_IS_LOCKED, f"Session {wish.session_id} is locked by a concurrent client")
            session.expires_at_seconds = self._clock() + wish.timeout_seconds
            return session

    def give_back(self, session: Session, *, broken: bool) -> None:
        """Ends the caller's use; a broken session is closed and forgotten."""
        with self._lock:
            if broken:
                self._sessions = {key: kept for key, kept in self._sessions.items() if kept is not session}
                session.connection.close()
            session.lock.release()

    def close(self) -> None:
        """Closes every session."""
        with self._lock:
            for session in self._sessions.values():
                session.connection.close()
            self._sessions.clear()

    def _drop_expired(self) -> None:
        now = self._clock()
        for key, session in list(self._sessions.items()):
            if session.expires_at_seconds <= now and session.lock.acquire(blocking=False):
                session.connection.close()
                del self._sessions[key]

    def _make_room(self) -> None:
        if len(self._sessions) < self._sessions_max:
            return
        idle = [(s.expires_at_seconds, key) for key, s in self._sessions.items() if not s.lock.locked()]
        if not idle:
            raise EngineError(TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many sessions: {self._sessions_max} are in use")
        _, key = min(idle)
        self._sessions.pop(key).connection.close()
