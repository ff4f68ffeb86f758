"""Makes the settlement database: the source tables in `public`, the planted truth in `truth`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from importlib.resources import files
from typing import Final

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class, whatever its name looks like

from trueup.model.money import SCALE_DIGITS
from trueup.model.tables import TABLES, Kind, Table

_SQL_TYPES: Final[dict[Kind, str]] = {
    "id": "bigint",
    "text": "text",
    "currency": "text",
    "money": f"numeric(38, {SCALE_DIGITS})",
    "time": "timestamptz",
    "date": "date",
    "int": "integer",
    "flag": "boolean",
    "json": "jsonb",
}
_SCHEMA_LOCK: Final = 7_283_101
"""Advisory lock that lets two processes create the schema at the same time."""


def create_databases(dsn: str, names: Iterable[str]) -> None:
    """Make the databases that are missing on the server of this connection string."""
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name in names:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def create(connection: Connection) -> None:
    """Create every table, index and comment that is missing, and commit. Existing rows stay."""
    statements = [statement for table in TABLES.values() for statement in _table_statements(table)]
    extra = files("trueup.upstream").joinpath("schema.sql").read_text(encoding="utf-8")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
        cursor.execute("SET LOCAL client_min_messages = warning")
        for statement in statements:
            cursor.execute(statement)
        for table in TABLES.values():
            for column in table.columns:
                cursor.execute(f"COMMENT ON COLUMN public.{table.name}.{column.name} IS %s", (column.comment,))
        cursor.execute(extra)


def _table_statements(table: Table) -> list[str]:
    """DDL of one source table. The before-image of every change is published whole: REPLICA IDENTITY FULL."""
    columns = [
        f"{column.name} {_SQL_TYPES[column.kind]}{'' if column.nullable else ' NOT NULL'}" for column in table.columns
    ]
    return [
        f"CREATE TABLE IF NOT EXISTS public.{table.name} ({', '.join(columns)}, PRIMARY KEY ({table.primary_key}))",
        f"ALTER TABLE public.{table.name} REPLICA IDENTITY FULL",
    ]
