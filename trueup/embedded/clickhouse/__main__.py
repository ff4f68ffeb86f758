"""`python -m trueup.embedded.clickhouse`: runs the endpoint with passwords from the environment."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from trueup.embedded.clickhouse.server import serve
from trueup.embedded.clickhouse.settings import EndpointSettings, EndpointUser
from trueup.log_setup import set_up_logging
from trueup.model.errors import ConfigurationError, TrueupError

_PASSWORD = "TRUEUP_CLICKHOUSE_PASSWORD"  # noqa: S105
_ANALYST_PASSWORD = "TRUEUP_CLICKHOUSE_ANALYST_PASSWORD"  # noqa: S105
_DASHBOARD_PASSWORD = "TRUEUP_CLICKHOUSE_DASHBOARD_PASSWORD"  # noqa: S105


def main(arguments: list[str]) -> int:
    """Runs the endpoint until it is told to stop; returns the exit status."""
    set_up_logging(service=True)
    parser = argparse.ArgumentParser(prog="python -m trueup.embedded.clickhouse", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", default="trueup", help="the name of the user who may write")
    parser.add_argument("--database", default="default", help="the database of a query that names none")
    parser.add_argument("--analyst-database", default="trueup", help="the database whose views the analyst may read")
    chosen = parser.parse_args(arguments)
    try:
        users = (
            EndpointUser(chosen.user, _secret(_PASSWORD), read_only=False),
            EndpointUser("analyst", _secret(_ANALYST_PASSWORD), read_only=True),
            EndpointUser("dashboard", _secret(_DASHBOARD_PASSWORD), read_only=False, may_write=False),
        )
        serve(
            EndpointSettings(
                chosen.data_dir,
                chosen.port,
                users,
                default_database=chosen.database,
                analyst_database=chosen.analyst_database,
            )
        )
    except TrueupError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _secret(name: str) -> str:
    """A password from the environment, which it leaves, so that no child process and no query can see it."""
    value = os.environ.pop(name, "")
    if not value:
        raise ConfigurationError(f"{name} is not set", remedy="Set it to a random password")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
