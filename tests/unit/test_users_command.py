"""`trueup users`: accounts from the command line, on the store alone."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from dashboards.access.account import Role
from dashboards.access.gate import open_access
from trueup.cli import app
from trueup.model.errors import ConfigurationError, TrueupError
from trueup.settings import Settings

PASSWORD = "a long enough secret"


class Desk:
    """The command on a data directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.password_file = folder / "password"
        self.password_file.write_text(f"{PASSWORD}\nsecond line\n")

    def run(self, *words: str, typed: str = "") -> str:
        done = CliRunner().invoke(
            app, ["users", *words, "--data-dir", str(self.folder)], input=typed, catch_exceptions=True
        )
        if isinstance(done.exception, TrueupError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    def add(self, login: str, role: str = "viewer") -> str:
        return self.run("add", login, "--role", role, "--password-file", str(self.password_file))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.add("root", "admin")
    return made


def test_accounts_are_made_and_listed(desk: Desk) -> None:
    assert desk.add("Bob", "operator") == "bob is operator\n"
    listed = orjson.loads(desk.run("list", "--json"))
    assert [(account["login"], account["role"], account["signs_in_by"]) for account in listed] == [
        ("bob", "operator", "password"), ("root", "admin", "password"),
    ]  # fmt: skip
    assert "bob" in desk.run("list")


def test_a_password_is_asked_for_twice(desk: Desk) -> None:
    desk.run("add", "eve", typed=f"{PASSWORD}\n{PASSWORD}\n")
    access = open_access(Settings(data_dir=desk.folder))
    assert access.accounts.with_password("eve", PASSWORD) is not None
    assert access.accounts.with_password("root", PASSWORD) is not None, "the first line alone"
    access.store.dispose()


def test_no_option_takes_a_password_itself() -> None:
    helped = CliRunner().invoke(app, ["users", "add", "--help"]).output
    assert "--password-file" in helped
    assert "--password " not in helped


def test_links_sign_in_once_and_make_the_first_admin(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    path = desk.run("link").strip()
    assert path.startswith("/sign-in/once?token=")
    access = open_access(Settings(data_dir=desk.folder))
    taken = access.links.take(path.partition("token=")[2])
    access.store.dispose()
    assert taken is not None
    assert (taken.login, taken.role) == ("admin", Role.ADMIN)
    assert "/sign-in/once?token=" in desk.run("add", "eve", "--link")


def test_roles_passwords_and_disabling(desk: Desk) -> None:
    desk.add("bob")
    assert desk.run("role", "bob", "approver") == "bob is approver\n"
    desk.password_file.write_text("another long secret")
    desk.run("reset", "bob", "--password-file", str(desk.password_file))
    desk.run("disable", "bob")
    access = open_access(Settings(data_dir=desk.folder))
    assert access.accounts.with_password("bob", "another long secret") is None
    desk.run("enable", "bob")
    assert access.accounts.with_password("bob", "another long secret") is not None
    said = [(action.action, action.about, action.address) for action in access.actions.page(3)]
    access.store.dispose()
    assert said == [
        ("enable an account", "bob", "command line"),
        ("disable an account", "bob", "command line"),
        ("reset the password", "bob", "command line"),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["disable", "root"], "last admin"),
        (["role", "root", "viewer"], "last admin"),
        (["role", "root", "king"], "is no role"),
        (["disable", "nobody"], "no account"),
        (["reset", "nobody"], "no account"),
        (["link", "nobody"], "no account"),
        (["add", "a b"], "is no login"),
        (["add", "eve", "--password-file", "/nowhere/x"], "cannot be read"),
    ],
)
def test_mistakes_are_told(desk: Desk, words: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        desk.run(*words)


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        CliRunner().invoke(
            app, ["users", "list", "--data-dir", str(tmp_path / "none")], catch_exceptions=False
        )  # fmt: skip
