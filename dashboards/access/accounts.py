"""Accounts in the store: making, changing, and checking a password. Whatever takes rights away ends the sessions as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, Engine, RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from dashboards.access.account import Account, Role, read_login
from dashboards.access.passwords import Passwords, check_new_password
from dashboards.access.tables import ACCOUNT, SESSION
from dashboards.store import reads
from trueup.model.errors import ConfigurationError

NAME_CHARS_MAX: Final = 200
LANGUAGES: Final = ("", "en", "zh")

Clock = Callable[[], int]
"""Tells the time in µs since the epoch."""


class Accounts:
    """The accounts of a store.

    Errors of every method that names an account: ConfigurationError when there is none.
    """

    def __init__(self, store: Engine, passwords: Passwords, now_us: Clock) -> None:
        self._store = store
        self._passwords = passwords
        self._now_us = now_us

    def find(self, login: str) -> Account | None:
        """The account of this login."""
        with reads(self._store).begin() as connection:
            row = connection.execute(select(ACCOUNT).where(ACCOUNT.c.login == login)).mappings().first()
        return None if row is None else account_of(row)

    def every(self) -> list[Account]:
        """All accounts by login."""
        with reads(self._store).begin() as connection:
            rows = connection.execute(select(ACCOUNT).order_by(ACCOUNT.c.login)).mappings().all()
        return [account_of(row) for row in rows]

    def add(self, login: str, role: Role, *, name: str = "", password: str | None = None) -> Account:
        """A new account; without a password it can sign in by a one-time link only.

        Errors: ConfigurationError when the login is taken or not one, or the password is not good enough.
        """
        login = read_login(login)
        held = "" if password is None else self._hash_of(login, password)
        values = {
            "login": login,
            "name": _read_name(name) or login,
            "role": role,
            "password_hash": held,
            "created_us": self._now_us(),
        }
        try:
            with self._store.begin() as connection:
                connection.execute(insert(ACCOUNT).values(values))
        except IntegrityError:
            raise ConfigurationError(f"the login {login} is taken", remedy="choose another one") from None
        return self._present(login)

    def ensure(self, login: str, role: Role) -> Account:
        """The account of this login, made with the role if there is none."""
        found = self.find(login)
        return found or self.add(login, role)

    def set_role(self, login: str, role: Role) -> Account:
        """Give another role; its sessions end. Errors: ConfigurationError for the last admin."""
        return self._change(login, ends_sessions=True, role=role)

    def set_disabled(self, login: str, *, disabled: bool) -> Account:
        """Keep from signing in, or allow it again; its sessions end. Errors: ConfigurationError for the last admin."""
        return self._change(login, ends_sessions=True, is_disabled=disabled)

    def set_password(self, login: str, password: str) -> Account:
        """Another password; its sessions end. Errors: ConfigurationError when it is not good enough."""
        return self._change(login, ends_sessions=True, password_hash=self._hash_of(login, password))

    def set_profile(self, login: str, *, name: str, language: str) -> Account:
        """Another name for people to read, another language ("" for the browser's)."""
        if language not in LANGUAGES:
            raise ConfigurationError(f"{language[:20]!r} is no language of the dashboard", remedy="en, zh or nothing")
        return self._change(login, ends_sessions=False, name=_read_name(name) or login, language=language)

    def with_password(self, login: str, password: str) -> Account | None:
        """The account, if it may sign in with this password; unknown logins take the same time.

        A hash made with other parameters is made anew.
        """
        with reads(self._store).begin() as connection:
            row = connection.execute(select(ACCOUNT).where(ACCOUNT.c.login == login.strip().lower())).mappings().first()
        fits = self._passwords.fits(password, row["password_hash"] if row is not None else "")
        if row is None or not fits or row["is_disabled"]:
            return None
        if self._passwords.is_outdated(row["password_hash"]):
            renewed = self._passwords.hashed(password)
            with self._store.begin() as connection:
                connection.execute(
                    update(ACCOUNT)
                    # Somebody may have set another password meanwhile.
                    .where(ACCOUNT.c.login == row["login"], ACCOUNT.c.password_hash == row["password_hash"])
                    .values(password_hash=renewed)
                )
        return account_of(row)

    def of_provider(self, subject: str, login: str, role: Role, *, name: str, provider: str) -> Account:
        """The account of a person whom an OpenID provider vouches for, made at the first sign-in.

        Args:
            subject: issuer and subject, what the account is known by.
            login: what to call it if it is new.
            role: by the provider's claims; it replaces the one held, and a change of it ends the other sessions.
            name: for people to read.
            provider: name of the provider.

        Raises:
            ConfigurationError: the login belongs to an account of another origin.
        """
        with reads(self._store).begin() as connection:
            row = connection.execute(select(ACCOUNT).where(ACCOUNT.c.subject == subject)).mappings().first()
        if row is not None:
            held = account_of(row)
            return held if held.role is role else self.set_role(held.login, role)
        login = read_login(login)
        values = {"login": login, "name": _read_name(name) or login, "role": role, "created_us": self._now_us()}
        try:
            with self._store.begin() as connection:
                connection.execute(insert(ACCOUNT).values({**values, "provider": provider, "subject": subject}))
        except IntegrityError:
            raise ConfigurationError(
                f"the login {login} belongs to another account", remedy="ask an admin to rename one of the two"
            ) from None
        return self._present(login)

    def _present(self, login: str) -> Account:
        found = self.find(login)
        if found is None:
            raise _unknown(login)
        return found

    def _hash_of(self, login: str, password: str) -> str:
        check_new_password(password, login)
        return self._passwords.hashed(password)

    def _change(self, login: str, *, ends_sessions: bool, **values: Any) -> Account:
        takes_rights = "role" in values or "is_disabled" in values
        with self._store.begin() as connection:
            if takes_rights:
                # One at a time, or two admins could take each other away at once.
                connection.execute(select(ACCOUNT.c.login).where(ACCOUNT.c.role == Role.ADMIN).with_for_update()).all()
            if connection.execute(update(ACCOUNT).where(ACCOUNT.c.login == login).values(values)).rowcount == 0:
                raise _unknown(login)
            if takes_rights:
                _check_admin_left(connection)
            if ends_sessions:
                connection.execute(delete(SESSION).where(SESSION.c.login == login))
        return self._present(login)


def account_of(row: RowMapping) -> Account:
    """The account in a row of its table."""
    return Account(
        login=row["login"],
        name=row["name"],
        role=Role(row["role"]),
        language=row["language"],
        is_disabled=row["is_disabled"],
        has_password=bool(row["password_hash"]),
        provider=row["provider"],
        created_us=row["created_us"],
        signed_in_us=row["signed_in_us"],
    )


def _check_admin_left(connection: Connection) -> None:
    """Errors: ConfigurationError, which undoes the change, when nobody could manage accounts after it."""
    admins = (
        select(func.count()).select_from(ACCOUNT).where(ACCOUNT.c.role == Role.ADMIN, ACCOUNT.c.is_disabled.is_(False))
    )
    if not connection.scalar(admins):
        raise ConfigurationError("this is the last admin", remedy="make another account an admin first")


def _read_name(name: str) -> str:
    name = name.strip()
    if len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise ConfigurationError("the name is too long, or holds control characters", remedy="shorten it")
    return name


def _unknown(login: str) -> ConfigurationError:
    return ConfigurationError(f"there is no account {login[:80]!r}", remedy="`trueup users list` shows them all")
