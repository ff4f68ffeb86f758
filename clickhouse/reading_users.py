"""Users of a real ClickHouse server that can only read: the dashboard's and the analyst's, with their rights and bounds."""

from __future__ import annotations

from importlib import resources
from typing import Final

from clickhouse_connect.driver.client import Client

from clickhouse.analyst import ANALYST
from clickhouse.client import translated_errors
from clickhouse.query import literal
from trueup.model.errors import ConfigurationError

DASHBOARD: Final = "trueup_dashboard"
PASSWORD_CHARS_MIN: Final = 12

_ANALYST_USER: Final = """
CREATE USER IF NOT EXISTS analyst IDENTIFIED BY '{password}';
GRANT trueup_analyst TO analyst;
ALTER USER analyst DEFAULT ROLE trueup_analyst SETTINGS max_concurrent_queries_for_user = 20 MIN 1 MAX 20;
"""
"""One page of Grafana asks for many figures at once, more than a person does."""


def make_dashboard_user(client: Client, database: str, password: str) -> None:
    """Make the dashboard's user if absent, and give it this password.

    Errors: ConfigurationError for a short password or without the right to make users, UnavailableError.
    """
    _apply(client, _grants("dashboard.sql"), DASHBOARD, database, password)


def make_analyst(client: Client, database: str, password: str) -> None:
    """Make the analyst's role and user if absent, and give the user this password. Errors: as `make_dashboard_user`."""
    _apply(client, _grants("analyst.sql") + _ANALYST_USER, ANALYST, database, password)


def _grants(name: str) -> str:
    return (resources.files("clickhouse") / "grants" / name).read_text(encoding="utf-8")


def _apply(client: Client, script: str, user: str, database: str, password: str) -> None:
    if len(password) < PASSWORD_CHARS_MIN:
        raise ConfigurationError(
            f"the password of ClickHouse user {user} is shorter than {PASSWORD_CHARS_MIN} characters",
            where="its file",
            remedy="write a longer one, such as `openssl rand -hex 24` gives",
        )
    quoted = literal(password, "String")
    code = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
    statements = [part.strip() for part in f"{code}\n".split(";\n") if part.strip()]
    with translated_errors(f"ClickHouse user {user}"):
        for statement in [*statements, f"ALTER USER {user} IDENTIFIED BY '{{password}}'"]:
            client.command(statement.replace("{database}", database).replace("'{password}'", quoted))
