"""Everything about access in one object, as the pages, the API and the command line use it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine

from dashboards.access.account import Account, Role
from dashboards.access.accounts import Accounts
from dashboards.access.action_log import ActionLog
from dashboards.access.links import Links
from dashboards.access.passwords import Passwords
from dashboards.access.provider import Provider
from dashboards.access.refusals import TooMany
from dashboards.access.serving import Serving, serving
from dashboards.access.sessions import SessionLimits, Sessions
from dashboards.access.throttle import Throttle
from dashboards.access.tokens import Tokens
from dashboards.store import open_store, store_url
from trueup.settings import Settings

FIRST_ADMIN: Final = "admin"


@dataclass(frozen=True, slots=True)
class Access:
    """Accounts and what belongs to them.

    `is_open` says that authentication is off. `provider` is None where people sign in with passwords only. `store` is closed by
    whoever opened it.
    """

    store: Engine
    serving: Serving
    is_open: bool
    accounts: Accounts
    sessions: Sessions
    tokens: Tokens
    links: Links
    actions: ActionLog
    throttle: Throttle
    provider: Provider | None

    def sign_in(self, login: str, password: str, *, address: str) -> Account | None:
        """The account of a login and its password, None when they do not fit.

        Unknown logins, wrong passwords and disabled accounts look alike, and take the same time.

        Errors: TooMany.
        """
        login = login.strip().lower()
        waits = self.throttle.sign_in_waits(login, address)
        if waits:
            raise TooMany("too many attempts to sign in", waits)
        account = self.accounts.with_password(login, password)
        if account is not None:
            self.throttle.signed_in(login)
        return account

    def sweep(self) -> None:
        """Remove sessions and actions that are over."""
        self.sessions.sweep()
        self.actions.sweep()


def open_access(
    settings: Settings,
    *,
    now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    passwords: Passwords | None = None,
) -> Access:
    """Open the store of these settings; without `passwords` they are kept as hashes of today's strength.

    Errors: ConfigurationError or UnavailableError, with the remedy.
    """
    dashboard = settings.dashboard
    where = serving(dashboard)
    store = open_store(store_url(dashboard.database_url.get_secret_value(), settings.data_dir))
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    microsecond = timedelta(microseconds=1)
    limits = SessionLimits(
        dashboard.session_idle_minutes * minute // microsecond, dashboard.session_hours * hour // microsecond
    )
    return Access(
        store=store,
        serving=where,
        is_open=not dashboard.authentication,
        accounts=Accounts(store, passwords or Passwords(), now_us),
        sessions=Sessions(store, limits, now_us),
        tokens=Tokens(store, now_us),
        links=Links(store, now_us),
        actions=ActionLog(store, now_us),
        throttle=Throttle(),
        provider=Provider(dashboard.oidc, store, now_us) if dashboard.oidc.issuer else None,
    )


def first_sign_in(settings: Settings) -> str:
    """Path and query of a one-time link for the first admin, who is made if absent.

    "" where authentication is off, or where somebody has disabled that account: others manage the accounts then.

    Errors: as `open_access`.
    """
    access = open_access(settings)
    try:
        if access.is_open:
            return ""
        admin = access.accounts.ensure(FIRST_ADMIN, Role.ADMIN)
        return "" if admin.is_disabled else access.links.make(admin)
    finally:
        access.store.dispose()
