"""The store of accounts in PostgreSQL: the same tables, the same rules, several services at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import Engine, text

from dashboards.access.account import Role
from dashboards.access.accounts import Accounts
from dashboards.access.action_log import ActionLog
from dashboards.access.links import Links
from dashboards.access.sessions import SessionLimits, Sessions
from dashboards.access.tokens import Tokens
from dashboards.store import VERSION, open_store
from tests.access_stand import PASSWORD, Clock, cheap_passwords
from trueup.embedded.ports import LOOPBACK, free_port
from trueup.embedded.postgres import ROLE, Postgres
from trueup.embedded.supervisor import Supervisor
from trueup.model.errors import ConfigurationError

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of its own on a server that is started for these tests."""
    folder: Path = tmp_path_factory.mktemp("postgres")
    postgres = Postgres(folder, free_port())
    supervisor = Supervisor(folder)
    supervisor.start()
    try:
        supervisor.add(postgres.service())
        supervisor.wait_ready(90)
        connection = psycopg2.connect(postgres.dsn())
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE dashboard")
        connection.close()
        yield f"postgresql://{ROLE}:{postgres.password()}@{LOOPBACK}:{postgres.port}/dashboard"
    finally:
        supervisor.stop()


@pytest.fixture
def store(url: str) -> Iterator[Engine]:
    engine = open_store(url)
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE account, session, token, sign_in_link, action CASCADE"))
    yield engine
    engine.dispose()


def test_services_that_start_at_once_make_the_tables_once(url: str) -> None:
    with open_store(url).begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    versions: list[int] = []

    def work() -> None:
        engine = open_store(url)
        with engine.begin() as connection:
            versions.extend(connection.scalars(text("SELECT version FROM store_version")))
        engine.dispose()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions == [VERSION] * 6


def test_accounts_sessions_tokens_and_links_work_as_in_a_file(store: Engine) -> None:
    clock = Clock()
    accounts = Accounts(store, cheap_passwords(), clock)
    accounts.add("root", Role.ADMIN, password=PASSWORD)
    ann = accounts.add("ann", Role.OPERATOR, password=PASSWORD)
    with pytest.raises(ConfigurationError, match="taken"):
        accounts.add("ann", Role.VIEWER)
    with pytest.raises(ConfigurationError, match="last admin"):
        accounts.set_role("root", Role.VIEWER)
    assert accounts.with_password("ann", PASSWORD) == ann
    sessions = Sessions(store, SessionLimits(10**9, 10**10), clock)
    session_id = sessions.start("ann", address="::1", browser="x" * 500)
    assert sessions.account(session_id) is not None
    tokens = Tokens(store, clock)
    secret = tokens.make(ann, "script", Role.VIEWER, 1)
    bearer = tokens.bearer(secret)
    assert bearer is not None
    assert bearer.account.role is Role.VIEWER
    accounts.set_disabled("ann", disabled=True)
    assert sessions.account(session_id) is None
    assert tokens.bearer(secret) is None


def test_a_link_is_taken_by_one_of_many(store: Engine) -> None:
    clock = Clock()
    root = Accounts(store, cheap_passwords(), clock).add("root", Role.ADMIN)
    links = Links(store, clock)
    secret = links.make(root).partition("token=")[2]
    taken: list[bool] = []
    threads = [threading.Thread(target=lambda: taken.append(links.take(secret) is not None)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 5 + [True]


def test_two_admins_cannot_take_each_other_away_at_once(store: Engine) -> None:
    clock = Clock()
    accounts = Accounts(store, cheap_passwords(), clock)
    for login in ("ann", "bob"):
        accounts.add(login, Role.ADMIN)
    refused: list[str] = []

    def disable(login: str) -> None:
        try:
            accounts.set_disabled(login, disabled=True)
        except ConfigurationError:
            refused.append(login)

    threads = [threading.Thread(target=disable, args=(login,)) for login in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert [account.is_disabled for account in accounts.every()].count(False) == 1


def test_actions_keep_their_order_and_no_byte_stops_them(store: Engine) -> None:
    actions = ActionLog(store, Clock())
    actions.add("ann", "10.0.0.1", "first", detail="a\0b\ud800c")
    actions.add("ann", "10.0.0.1", "second")
    assert [action.action for action in actions.page(10)] == ["second", "first"]
