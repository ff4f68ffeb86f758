"""One-time links: how the first admin signs in, and whoever has lost a password."""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy import Engine, delete, insert, select

from dashboards.access.account import Account
from dashboards.access.accounts import Clock, account_of
from dashboards.access.tables import ACCOUNT, LINK, digest
from trueup.model.errors import ConfigurationError

PATH: Final = "/sign-in/once"
LASTS_US: Final = 600_000_000


class Links:
    """The one-time links of a store."""

    def __init__(self, store: Engine, now_us: Clock) -> None:
        self._store = store
        self._now_us = now_us

    def make(self, account: Account) -> str:
        """Path and query of a link that signs in once, within ten minutes; earlier links of the account end.

        Errors: ConfigurationError for a disabled account.
        """
        if account.is_disabled:
            raise ConfigurationError(f"{account.login} is disabled", remedy="enable the account first")
        secret = secrets.token_urlsafe(32)
        row = {"link_hash": digest(secret), "login": account.login, "expires_us": self._now_us() + LASTS_US}
        with self._store.begin() as connection:
            connection.execute(delete(LINK).where(LINK.c.login == account.login))
            connection.execute(insert(LINK).values(row))
        return f"{PATH}?token={secret}"

    def take(self, secret: str) -> Account | None:
        """Whose link it is; it holds no longer. None when it was used, is too old, or its account is disabled."""
        known = digest(secret)
        with self._store.begin() as connection:
            row = (
                connection.execute(
                    select(ACCOUNT, LINK.c.expires_us)
                    .join(LINK, LINK.c.login == ACCOUNT.c.login)
                    .where(LINK.c.link_hash == known)
                )
                .mappings()
                .first()
            )
            # Two requests may bring it at once: only one of them removes the row.
            taken = connection.execute(delete(LINK).where(LINK.c.link_hash == known)).rowcount
        if row is None or not taken or row["is_disabled"] or self._now_us() >= row["expires_us"]:
            return None
        return account_of(row)
