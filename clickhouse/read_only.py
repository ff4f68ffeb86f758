"""Makes sure that a connection can only read, before anything that people steer runs on it."""

from __future__ import annotations

from typing import Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from clickhouse.client import Code, translated_errors
from trueup.model.errors import ConfigurationError

_REFUSALS: Final = frozenset({Code.READONLY, Code.ACCESS_DENIED})


def require_read_only(client: Client, database: str) -> None:
    """Ask to write nothing at all into a table, and be refused.

    Errors: ConfigurationError when the user may write, UnavailableError when ClickHouse does not answer.
    """
    table = f"{database}.quarantine"
    with translated_errors(f"rights on {table}"):
        try:
            client.command(f"INSERT INTO {table} SELECT * FROM {table} WHERE 0")
        except ClickHouseError as error:
            if isinstance(error, Error) and error.code in _REFUSALS:
                return
            raise
    raise ConfigurationError(
        "the dashboard's ClickHouse user may write",
        where=f"the user in [clickhouse] and {table}",
        remedy="give the dashboard a user of its own, as clickhouse/grants/dashboard.sql makes it",
    )
