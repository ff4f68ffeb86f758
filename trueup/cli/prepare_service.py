"""`trueup service prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup.installation import prepare_reference_schema, prepare_services
from trueup.model.errors import ConfigurationError
from trueup.settings import Settings

PasswordFile = Annotated[Path | None, typer.Option(help="Make this read-only ClickHouse user, with this password.")]


def prepare(
    dashboard_password_file: PasswordFile = None,
    analyst_password_file: PasswordFile = None,
    reference_schema: Annotated[
        bool, typer.Option("--reference-schema", help="Make the tables of the reference system in the source too.")
    ] = False,
) -> None:
    """Make topics, ClickHouse tables and users that are missing on the services of the settings, and end."""
    settings = Settings()
    if reference_schema:
        prepare_reference_schema(settings.source)
    prepare_services(settings, _password(dashboard_password_file), _password(analyst_password_file))


def _password(path: Path | None) -> str:
    """What the file says, "" without one. Errors: ConfigurationError."""
    if path is None:
        return ""
    try:
        password = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("the password cannot be read", where=str(path), remedy="make it readable") from error
    if not password:
        raise ConfigurationError("the password is empty", where=str(path), remedy="write one into the file")
    return password
