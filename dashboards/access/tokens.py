"""Tokens for programs: they act for the account that made them, with its role or a lower one, until they expire."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final, NamedTuple

from sqlalchemy import Engine, delete, func, insert, select, update

from dashboards.access.account import ROLES, Account, Role
from dashboards.access.accounts import Clock, account_of
from dashboards.access.tables import ACCOUNT, TOKEN, digest
from dashboards.store import reads
from trueup.model.errors import ConfigurationError

PREFIX: Final = "trueup_"
"""By which secret scanners know them."""

NAME_CHARS_MAX: Final = 100
DAYS_MAX: Final = 366
TOKENS_MAX: Final = 50
"""Of one account."""

_DAY_US: Final = 86_400_000_000
_TOUCHED_US: Final = 60_000_000


class Token(NamedTuple):
    """A token as its owner sees it; `used_us` (to the minute) is None while it was never used."""

    token_id: str
    name: str
    role: Role
    created_us: int
    expires_us: int
    used_us: int | None


class Bearer(NamedTuple):
    """Who comes with a token: the account with the role that it has by it, and the token's id."""

    account: Account
    token_id: str


class Tokens:
    """The tokens of a store."""

    def __init__(self, store: Engine, now_us: Clock) -> None:
        self._store = store
        self._now_us = now_us

    def make(self, owner: Account, name: str, role: Role, days: int) -> str:
        """A new token; it is shown once, the store keeps a hash.

        Errors: ConfigurationError when the role is above the owner's, or name, days or number of tokens do not fit.
        """
        name = name.strip()
        if not owner.role.allows(role):
            raise ConfigurationError(f"you are {owner.role}, a token of yours cannot be {role}")
        if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
            raise ConfigurationError(
                "the token has no name", remedy=f"1 to {NAME_CHARS_MAX} characters: what it is for"
            )
        if not 1 <= days <= DAYS_MAX:
            raise ConfigurationError(f"a token lasts 1 to {DAYS_MAX} days")
        secret = PREFIX + secrets.token_urlsafe(32)
        now_us = self._now_us()
        row = {
            "token_id": secrets.token_hex(8), "token_hash": digest(secret), "login": owner.login, "name": name,
            "role": role, "created_us": now_us, "expires_us": now_us + days * _DAY_US,
        }  # fmt: skip
        with self._store.begin() as connection:
            held = connection.scalar(select(func.count()).select_from(TOKEN).where(TOKEN.c.login == owner.login))
            if (held or 0) >= TOKENS_MAX:
                raise ConfigurationError(f"you have {held} tokens", remedy="remove one that is not used any more")
            connection.execute(insert(TOKEN).values(row))
        return secret

    def of(self, login: str) -> list[Token]:
        """An account's tokens, expired ones too, the newest first."""
        query = select(TOKEN).where(TOKEN.c.login == login).order_by(TOKEN.c.created_us.desc(), TOKEN.c.token_id)
        with reads(self._store).begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            Token(
                row["token_id"], row["name"], Role(row["role"]), row["created_us"], row["expires_us"], row["used_us"]
            )
            for row in rows
        ]  # fmt: skip

    def remove(self, login: str, token_id: str) -> None:
        """It holds no longer. Errors: ConfigurationError when the account has no such token."""
        with self._store.begin() as connection:
            gone = connection.execute(delete(TOKEN).where(TOKEN.c.login == login, TOKEN.c.token_id == token_id))
        if gone.rowcount == 0:
            raise ConfigurationError("there is no such token")

    def bearer(self, secret: str) -> Bearer | None:
        """Who comes with this token; None when it is unknown or expired, or its owner is disabled.

        Its role never exceeds the one that the owner has now.
        """
        if not secret.startswith(PREFIX):
            return None
        known = digest(secret)
        query = select(
            ACCOUNT, TOKEN.c.token_id, TOKEN.c.role.label("given"), TOKEN.c.expires_us, TOKEN.c.used_us
        ).join(TOKEN, TOKEN.c.login == ACCOUNT.c.login)
        with reads(self._store).begin() as connection:
            row = connection.execute(query.where(TOKEN.c.token_hash == known)).mappings().first()
        now_us = self._now_us()
        if row is None or row["is_disabled"] or now_us >= row["expires_us"]:
            return None
        if row["used_us"] is None or now_us - row["used_us"] >= _TOUCHED_US:
            with self._store.begin() as connection:
                connection.execute(update(TOKEN).where(TOKEN.c.token_hash == known).values(used_us=now_us))
        owner = account_of(row)
        return Bearer(replace(owner, role=min(owner.role, Role(row["given"]), key=ROLES.index)), row["token_id"])
