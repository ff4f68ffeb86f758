"""Numbered SQL files, applied once each in order, and the record of what was applied.

A file `NNNN_name.sql` holds statements that each end with `;` at the end of a line, with `{database}` for the database.
Every statement must be repeatable (IF NOT EXISTS, CREATE OR REPLACE): two workers that start at once may both run it,
and a file that broke off half-way is run again from its beginning.
"""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from typing import Final, NamedTuple

import structlog
from clickhouse_connect.driver.client import Client

from clickhouse.client import translated_errors
from trueup.model.errors import ConfigurationError

_FILE: Final = re.compile(r"(\d{4})_(\w+)\.sql")
_RECORD: Final = """
CREATE TABLE IF NOT EXISTS {database}.schema_migration
(
    `number` UInt16 COMMENT 'number of the file',
    `name` String COMMENT 'name of the file',
    `checksum` String COMMENT 'SHA-256 of the file',
    `applied_at` DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'when it was applied'
)
ENGINE = ReplacingMergeTree ORDER BY number
COMMENT 'migrations that were applied'
"""
_log = structlog.get_logger()


class Migration(NamedTuple):
    """One numbered SQL file."""

    number: int
    name: str
    checksum: str
    statements: tuple[str, ...]


def parse(file_name: str, text: str) -> Migration:
    """The migration in a file; ConfigurationError when its name has no number or it holds no statement."""
    match = _FILE.fullmatch(file_name)
    statements = tuple(part.strip() for part in re.split(r";[ \t]*(?:\n|\Z)", _without_comments(text)) if part.strip())
    if match is None or not statements:
        raise ConfigurationError(
            "not a migration", where=file_name, remedy="name it NNNN_what_it_does.sql and end every statement with ;"
        )
    return Migration(int(match[1]), file_name, hashlib.sha256(text.encode()).hexdigest(), statements)


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))


def migrations() -> tuple[Migration, ...]:
    """All migrations of this version of trueup, by number; ConfigurationError when a number is missing or double."""
    folder = resources.files("clickhouse").joinpath("migrations")
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    found = tuple(parse(entry.name, entry.read_text(encoding="utf-8")) for entry in files)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ConfigurationError("migration numbers must run 1, 2, 3, …", where="clickhouse/migrations")
    return found


def pending(known: tuple[Migration, ...], applied: dict[int, tuple[str, str]]) -> tuple[Migration, ...]:
    """The migrations that are not in `applied` (number → name, checksum).

    Errors: ConfigurationError when an applied file has changed, or the database is ahead of this version of trueup.
    """
    for migration in known:
        recorded = applied.get(migration.number)
        if recorded is not None and recorded != (migration.name, migration.checksum):
            raise ConfigurationError(
                f"migration {migration.name} was applied as {recorded[0]} with another content",
                where="clickhouse/migrations",
                remedy="restore the file and put the change into a new migration",
            )
    ahead = sorted(applied.keys() - {migration.number for migration in known})
    if ahead:
        raise ConfigurationError(
            f"the database has migration {applied[ahead[0]][0]}, which this version of trueup does not know",
            where="clickhouse/migrations",
            remedy="run the newer version",
        )
    return tuple(migration for migration in known if migration.number not in applied)


def migrate(client: Client, database: str, *, dry_run: bool = False) -> tuple[Migration, ...]:
    """Applies what is pending and returns it; a dry run only returns it and writes nothing.

    Errors: ConfigurationError as `pending`, UnavailableError when ClickHouse does not answer.
    """
    with translated_errors(f"migrations of ClickHouse database {database}"):
        waiting = pending(migrations(), applied_migrations(client, database))
        if dry_run or not waiting:
            return waiting
        client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
        client.command(_RECORD.replace("{database}", database))
        for migration in waiting:
            for statement in migration.statements:
                client.command(statement.replace("{database}", database))
            client.command(
                f"INSERT INTO {database}.schema_migration (number, name, checksum) "
                "SELECT {number:UInt16}, {name:String}, {checksum:String}",
                parameters={"number": migration.number, "name": migration.name, "checksum": migration.checksum},
            )
            _log.info("migration_applied", name=migration.name, database=database)
        return waiting


def applied_migrations(client: Client, database: str) -> dict[int, tuple[str, str]]:
    """What the database says of itself: number → name, checksum. The driver's errors pass."""
    exists = client.query(
        "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'schema_migration'",
        parameters={"database": database},
    )
    if exists.result_rows[0][0] == 0:
        return {}
    rows = client.query(f"SELECT number, name, checksum FROM {database}.schema_migration FINAL").result_rows
    return {number: (name, checksum) for number, name, checksum in rows}
