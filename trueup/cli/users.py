"""`trueup users`: the accounts of the dashboard, on its store directly; it need not run."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console
from rich.table import Table

from dashboards.access.account import ROLES, Account, Role, read_login, read_role
from dashboards.access.gate import FIRST_ADMIN, Access, open_access
from dashboards.access.passwords import CHARS_MAX, CHARS_MIN
from trueup.cli.case_desk import Json, print_json
from trueup.dashboard_wiring import dashboard_address
from trueup.model.errors import ConfigurationError
from trueup.settings import Settings
from trueup.stack_files import STACK_FILE

users = typer.Typer(help="Who may sign in to the dashboard, and what they may do.", no_args_is_help=True)

FROM: Final = "command line"

DataDir = Annotated[Path, typer.Option("--data-dir", help="Data directory of the stack.")]
Login = Annotated[str, typer.Argument(help="What the person signs in with.")]
RoleName = Annotated[str, typer.Option("--role", help=f"One of {', '.join(ROLES)}.")]
PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", help="File whose first line is the password; else it is asked for.")
]


@users.callback()
def options() -> None:
    """Who may sign in to the dashboard, and what they may do."""


@users.command()
def add(
    login: Login,
    role: RoleName = "viewer",
    name: Annotated[str, typer.Option("--name", help="What people call them.")] = "",
    link: Annotated[bool, typer.Option("--link", help="No password yet: print a link that signs in once.")] = False,
    password_file: PasswordFile = None,
    data_dir: DataDir = Path(".trueup"),
) -> None:
    """Make an account."""
    with _desk(data_dir) as (settings, access):
        read_login(login)
        password = None if link else _read_password(password_file)
        account = access.accounts.add(login, read_role(role), name=name, password=password)
        _note(access, "add an account", account, account.role)
        print(f"{account.login} is {account.role}")
        if link:
            _print_link(settings, access, account)


@users.command("list")
def list_users(data_dir: DataDir = Path(".trueup"), json: Json = False) -> None:
    """Every account: role, how it signs in, when it last did."""
    with _desk(data_dir) as (_, access):
        accounts = access.accounts.every()
    if json:
        return print_json([_document(account) for account in accounts])
    table = Table("login", "name", "role", "signs in by", "last sign-in")
    for account in accounts:
        role = f"{account.role} (disabled)" if account.is_disabled else account.role
        table.add_row(account.login, account.name, role, _means(account), _shown(account.signed_in_us) or "never")
    Console(highlight=False, markup=False, emoji=False).print(table)
    return None


@users.command()
def role(login: Login, role: Annotated[str, typer.Argument()], data_dir: DataDir = Path(".trueup")) -> None:
    """Give an account another role; its sessions end."""
    with _desk(data_dir) as (_, access):
        account = access.accounts.set_role(read_login(login), read_role(role))
        _note(access, "change the role", account, account.role)
        print(f"{account.login} is {account.role}")


@users.command()
def disable(login: Login, data_dir: DataDir = Path(".trueup")) -> None:
    """Keep an account from signing in; its sessions end and its tokens hold no longer."""
    with _desk(data_dir) as (_, access):
        account = access.accounts.set_disabled(read_login(login), disabled=True)
        _note(access, "disable an account", account)
        print(f"{account.login} may not sign in any more")


@users.command()
def enable(login: Login, data_dir: DataDir = Path(".trueup")) -> None:
    """Let a disabled account sign in again."""
    with _desk(data_dir) as (_, access):
        account = access.accounts.set_disabled(read_login(login), disabled=False)
        _note(access, "enable an account", account)
        print(f"{account.login} may sign in again")


@users.command()
def reset(login: Login, password_file: PasswordFile = None, data_dir: DataDir = Path(".trueup")) -> None:
    """Set another password; the account's sessions end."""
    with _desk(data_dir) as (_, access):
        known = _present(access, read_login(login))
        account = access.accounts.set_password(known.login, _read_password(password_file))
        _note(access, "reset the password", account)
        print(f"{account.login} has another password")


@users.command()
def link(login: Annotated[str, typer.Argument()] = "admin", data_dir: DataDir = Path(".trueup")) -> None:
    """Print a link that signs an account in once, within ten minutes, in a browser on this machine."""
    with _desk(data_dir) as (settings, access):
        known = read_login(login)
        account = access.accounts.ensure(known, Role.ADMIN) if known == FIRST_ADMIN else _present(access, known)
        _print_link(settings, access, account)


@contextlib.contextmanager
def _desk(data_dir: Path) -> Iterator[tuple[Settings, Access]]:
    """The settings of the stack that runs or ran there, and its accounts."""
    held = data_dir / STACK_FILE
    settings = Settings(**orjson.loads(held.read_bytes())) if held.exists() else Settings(data_dir=data_dir.resolve())
    access = open_access(settings)
    try:
        yield settings, access
    finally:
        access.store.dispose()


def _present(access: Access, login: str) -> Account:
    account = access.accounts.find(login)
    if account is None:
        raise ConfigurationError(f"there is no account {login!r}", remedy="`trueup users list` shows them all")
    return account


def _read_password(path: Path | None) -> str:
    if path is None:
        password: str = typer.prompt(
            f"password (at least {CHARS_MIN} characters)", hide_input=True, confirmation_prompt=True
        )
        return password
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline(CHARS_MAX + 2).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the password cannot be read: {error}", where=str(path), remedy="give a text file with one line"
        ) from error


def _print_link(settings: Settings, access: Access, account: Account) -> None:
    path = access.links.make(account)
    _note(access, "make a one-time link", account)
    print(f"{dashboard_address(settings)}{path}" if settings.dashboard.port else path)


def _note(access: Access, action: str, account: Account, detail: str = "") -> None:
    access.actions.add(getpass.getuser(), FROM, action, about=account.login, detail=detail)


def _document(account: Account) -> dict[str, object]:
    return {
        "login": account.login,
        "name": account.name,
        "role": account.role,
        "is_disabled": account.is_disabled,
        "signs_in_by": _means(account),
        "created_at": _shown(account.created_us),
        "signed_in_at": _shown(account.signed_in_us),
    }


def _means(account: Account) -> str:
    return account.provider or ("password" if account.has_password else "one-time link")


def _shown(at_us: int | None) -> str | None:
    return None if at_us is None else datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat()
