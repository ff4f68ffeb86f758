"""The small database, and what is kept in it of accounts, sessions, tokens and links."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine, select, update

from dashboards.access.account import Role, read_login
from dashboards.access.accounts import Accounts
from dashboards.access.action_log import KEPT_DAYS, ActionLog
from dashboards.access.gate import FIRST_ADMIN, first_sign_in, open_access
from dashboards.access.links import Links
from dashboards.access.passwords import Passwords, check_new_password
from dashboards.access.sessions import SessionLimits, Sessions, form_token
from dashboards.access.tables import ACCOUNT
from dashboards.access.tokens import Tokens
from dashboards.store import FILE_NAME, METADATA, VERSION, open_store, store_url
from tests.access_stand import PASSWORD, Clock, cheap_passwords
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.settings import DashboardSettings, Settings

LIMITS = SessionLimits(idle_us=120 * 60_000_000, total_us=720 * 60_000_000)


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return open_store(store_url("", tmp_path))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(store: Engine, clock: Clock) -> Accounts:
    made = Accounts(store, cheap_passwords(), clock)
    made.add("root", Role.ADMIN, password=PASSWORD)
    made.add("ann", Role.OPERATOR, password=PASSWORD)
    return made


def test_the_file_is_for_its_owner_alone(store: Engine, tmp_path: Path) -> None:
    with store.begin() as connection:
        connection.execute(select(ACCOUNT))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}
    assert FILE_NAME in modes


def test_a_store_of_a_newer_version_is_refused_in_words(store: Engine, tmp_path: Path) -> None:
    store.dispose()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("UPDATE store_version SET version = ?", (VERSION + 1,))
    with pytest.raises(ConfigurationError, match=f"version {VERSION + 1}, this trueup knows {VERSION}"):
        open_store(store_url("", tmp_path))


def test_opening_at_once_makes_the_tables_once(tmp_path: Path) -> None:
    found: list[int] = []

    def work() -> None:
        engine = open_store(store_url("", tmp_path))
        with engine.connect() as connection:
            found.append(len(connection.execute(select(ACCOUNT)).all()))
        engine.dispose()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [0] * 8


def test_opening_waits_for_somebody_who_is_writing_before_there_is_a_log(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.3, other.execute, ["COMMIT"])
    end.start()
    store = open_store(store_url("", tmp_path))
    with store.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    store.dispose()
    end.join()
    other.close()


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "no address", "sqlite://", "oracle+x://h"])
def test_other_databases_are_refused_without_telling_their_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_store(url)
    assert "secret" not in str(refused.value)


def test_a_postgres_that_is_away_is_told_without_its_password() -> None:
    with pytest.raises(UnavailableError) as refused:
        open_store("postgresql://someone:hidden-word@127.0.0.1:1/none?connect_timeout=2")
    assert "hidden-word" not in str(refused.value)


def test_every_secret_column_is_a_hash(store: Engine, accounts: Accounts, clock: Clock) -> None:
    session_id = Sessions(store, LIMITS, clock).start("ann", address="127.0.0.1", browser="")
    ann = accounts.find("ann")
    assert ann is not None
    token = Tokens(store, clock).make(ann, "script", Role.VIEWER, 1)
    link = Links(store, clock).make(ann).partition("token=")[2]
    with store.connect() as connection:
        kept = "\n".join(str(row) for table in METADATA.sorted_tables for row in connection.execute(select(table)))
    for secret in (session_id, token, link, PASSWORD, form_token(session_id)):
        assert secret not in kept


@pytest.mark.parametrize(
    ("password", "login"),
    [
        ("short", "ann"),
        ("x" * 1_001, "ann"),
        ("annannannann", "ann"),
        ("ANNETTE-annette", "annette"),
        ("aaaaaaaaaaaaaa", "ann"),
    ],
)
def test_weak_passwords_are_refused(password: str, login: str) -> None:
    with pytest.raises(ConfigurationError):
        check_new_password(password, login)


def test_only_the_right_password_opens_an_account(accounts: Accounts) -> None:
    found = accounts.with_password(" ANN ", PASSWORD)
    assert found is not None
    assert found.login == "ann"
    assert accounts.with_password("ann", PASSWORD + "x") is None
    assert accounts.with_password("nobody", PASSWORD) is None
    accounts.set_disabled("ann", disabled=True)
    assert accounts.with_password("ann", PASSWORD) is None


def test_unknown_logins_cost_as_many_hashes_as_known_ones(store: Engine, clock: Clock) -> None:
    verified: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - its name above
            verified.append(str(hash))
            return super().verify(hash, password)

    accounts = Accounts(store, Passwords(Counting(time_cost=1, memory_cost=8, parallelism=1)), clock)
    accounts.add("ann", Role.VIEWER, password=PASSWORD)
    accounts.add("link-only", Role.VIEWER)
    for login in ("ann", "link-only", "nobody"):
        assert accounts.with_password(login, "the wrong one") is None
    assert len(verified) == 3
    assert len({hashed.rsplit("$", 2)[0] for hashed in verified}) == 1, "the same parameters each time"


def test_a_hash_of_old_parameters_is_made_anew_at_the_sign_in(store: Engine, clock: Clock) -> None:
    old = Accounts(store, Passwords(PasswordHasher(time_cost=1, memory_cost=16, parallelism=1)), clock)
    old.add("ann", Role.VIEWER, password=PASSWORD)
    accounts = Accounts(store, cheap_passwords(), clock)
    assert accounts.with_password("ann", PASSWORD) is not None
    with store.connect() as connection:
        held = connection.scalar(select(ACCOUNT.c.password_hash))
    assert not cheap_passwords().is_outdated(str(held))
    assert accounts.with_password("ann", PASSWORD) is not None


@pytest.mark.parametrize("login", ["", "a b", "Ünal", "-x", "x" * 65, "a\nb", "<b>"])
def test_logins_are_plain(login: str) -> None:
    with pytest.raises(ConfigurationError):
        read_login(login)


def test_a_login_is_given_once(accounts: Accounts) -> None:
    with pytest.raises(ConfigurationError, match="taken"):
        accounts.add("Ann", Role.VIEWER)


def test_the_last_admin_stays(accounts: Accounts) -> None:
    changes: list[Callable[[], object]] = [
        lambda: accounts.set_role("root", Role.VIEWER),
        lambda: accounts.set_disabled("root", disabled=True),
    ]
    for change in changes:
        with pytest.raises(ConfigurationError, match="last admin"):
            change()
    root = accounts.find("root")
    assert root is not None
    assert (root.role, root.is_disabled) == (Role.ADMIN, False)


def test_sessions_end_by_idling_by_age_and_by_signing_out(store: Engine, accounts: Accounts, clock: Clock) -> None:
    sessions = Sessions(store, LIMITS, clock)
    idle = sessions.start("ann", address="", browser="")
    clock.pass_minutes(119)
    assert sessions.account(idle) is not None
    clock.pass_minutes(120)
    assert sessions.account(idle) is None

    used = sessions.start("ann", address="", browser="")
    for _ in range(8):
        clock.pass_minutes(89)
        assert sessions.account(used) is not None
    clock.pass_minutes(10)
    assert sessions.account(used) is None, "720 minutes after the sign-in"

    left = sessions.start("ann", address="", browser="")
    sessions.end(left)
    assert sessions.account(left) is None


def test_a_sign_in_gets_a_new_id_and_ends_the_one_before(store: Engine, accounts: Accounts, clock: Clock) -> None:
    sessions = Sessions(store, LIMITS, clock)
    before = sessions.start("ann", address="", browser="")
    after = sessions.start("ann", address="", browser="", instead_of=before)
    assert before != after
    assert sessions.account(before) is None
    assert sessions.account(after) is not None


def test_whatever_takes_rights_away_ends_the_sessions(store: Engine, accounts: Accounts, clock: Clock) -> None:
    sessions = Sessions(store, LIMITS, clock)
    changes: list[Callable[[], object]] = [
        lambda: accounts.set_role("ann", Role.VIEWER),
        lambda: accounts.set_password("ann", "another long secret"),
        lambda: accounts.set_disabled("ann", disabled=True),
    ]
    for change in changes:
        accounts.set_disabled("ann", disabled=False)
        held, other = (sessions.start(login, address="", browser="") for login in ("ann", "root"))
        change()
        assert sessions.account(held) is None
        assert sessions.account(other) is not None


def test_sweeping_keeps_what_still_holds(store: Engine, accounts: Accounts, clock: Clock) -> None:
    sessions = Sessions(store, LIMITS, clock)
    actions = ActionLog(store, clock)
    actions.add("ann", "", "an old action")
    sessions.start("ann", address="", browser="")
    clock.pass_minutes(KEPT_DAYS * 1_440 + 1)
    held = sessions.start("ann", address="", browser="")
    actions.add("ann", "", "a new action")
    sessions.sweep()
    actions.sweep()
    assert sessions.account(held) is not None
    assert [action.action for action in actions.page(10)] == ["a new action"]


def test_a_token_has_at_most_the_role_that_its_owner_has_now(store: Engine, accounts: Accounts, clock: Clock) -> None:
    tokens = Tokens(store, clock)
    root = accounts.find("root")
    assert root is not None
    secret = tokens.make(root, "script", Role.APPROVER, 30)
    assert secret.startswith("trueup_")
    bearer = tokens.bearer(secret)
    assert bearer is not None
    assert bearer.account.role is Role.APPROVER
    accounts.set_role("ann", Role.ADMIN)
    accounts.set_role("root", Role.VIEWER)
    bearer = tokens.bearer(secret)
    assert bearer is not None
    assert bearer.account.role is Role.VIEWER
    accounts.set_disabled("root", disabled=True)
    assert tokens.bearer(secret) is None


def test_a_token_ends_by_time_and_by_removal(store: Engine, accounts: Accounts, clock: Clock) -> None:
    tokens = Tokens(store, clock)
    ann = accounts.find("ann")
    assert ann is not None
    first, second = tokens.make(ann, "one", Role.VIEWER, 1), tokens.make(ann, "two", Role.VIEWER, 2)
    clock.pass_minutes(1_440)
    assert tokens.bearer(first) is None
    assert tokens.bearer(second) is not None
    used = {token.name: token.used_us for token in tokens.of("ann")}
    assert used == {"one": None, "two": clock.now_us}
    (held,) = [token.token_id for token in tokens.of("ann") if token.name == "two"]
    with pytest.raises(ConfigurationError):
        tokens.remove("root", held)
    tokens.remove("ann", held)
    assert tokens.bearer(second) is None
    assert tokens.bearer("trueup_" + "x" * 43) is None


@pytest.mark.parametrize(
    ("name", "role", "days"),
    [("x", Role.ADMIN, 1), ("", Role.VIEWER, 1), ("x", Role.VIEWER, 0), ("x", Role.VIEWER, 367)],
)
def test_tokens_have_bounds(store: Engine, accounts: Accounts, clock: Clock, name: str, role: Role, days: int) -> None:
    ann = accounts.find("ann")
    assert ann is not None
    with pytest.raises(ConfigurationError):
        Tokens(store, clock).make(ann, name, role, days)


def test_a_link_holds_once_and_ten_minutes(store: Engine, accounts: Accounts, clock: Clock) -> None:
    links = Links(store, clock)
    ann = accounts.find("ann")
    assert ann is not None
    first = links.make(ann).partition("token=")[2]
    second = links.make(ann).partition("token=")[2]
    assert links.take(first) is None, "a newer link ends the one before"
    taken = links.take(second)
    assert taken is not None
    assert taken.login == "ann"
    assert links.take(second) is None
    third = links.make(ann).partition("token=")[2]
    clock.pass_minutes(10)
    assert links.take(third) is None


def test_a_link_is_taken_by_one_of_many(store: Engine, accounts: Accounts, clock: Clock) -> None:
    links = Links(store, clock)
    ann = accounts.find("ann")
    assert ann is not None
    secret = links.make(ann).partition("token=")[2]
    taken: list[bool] = []
    threads = [threading.Thread(target=lambda: taken.append(links.take(secret) is not None)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]


def test_actions_are_paged_and_cannot_forge_lines(store: Engine, clock: Clock) -> None:
    actions = ActionLog(store, clock)
    for number in range(5):
        actions.add("ann" if number % 2 else "bob", "10.0.0.1", f"action {number}", detail="a\nb\0c" + "x" * 5_000)
    first = actions.page(2)
    assert [action.action for action in first] == ["action 4", "action 3"]
    assert [action.action for action in actions.page(9, before=first[-1].number)] == [
        "action 2",
        "action 1",
        "action 0",
    ]
    assert [action.login for action in actions.page(9, login="ann")] == ["ann", "ann"]
    assert all(action.detail.isprintable() and len(action.detail) <= 2_000 for action in actions.page(9))


def test_a_password_set_meanwhile_is_not_undone_by_an_old_hash(store: Engine, accounts: Accounts) -> None:
    with store.begin() as connection:
        connection.execute(update(ACCOUNT).where(ACCOUNT.c.login == "ann").values(password_hash=""))
    assert accounts.with_password("ann", PASSWORD) is None
    assert accounts.with_password("ann", "") is None


def test_the_first_link_is_for_an_admin_whom_nobody_has_disabled(tmp_path: Path) -> None:
    made = Settings(data_dir=tmp_path)
    assert first_sign_in(made).startswith("/sign-in/once?token=")
    access = open_access(made, passwords=cheap_passwords())
    access.accounts.add("root", Role.ADMIN)
    access.accounts.set_disabled(FIRST_ADMIN, disabled=True)
    access.store.dispose()
    assert first_sign_in(made) == ""
    assert first_sign_in(Settings(data_dir=tmp_path, dashboard=DashboardSettings(authentication=False))) == ""
