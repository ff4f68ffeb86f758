"""The source database: how to connect, whether it can be read, and its publication, which is made or completed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cdc.credentials import password_of
from cdc.fitting import misfit
from cdc.replication import unavailable
from cdc.source_tables import SourceTable
from trueup.model.errors import ConfigurationError
from trueup.settings import SourceSettings

CONNECT_TIMEOUT_SECONDS: Final = 10
LOCK_TIMEOUT_MS: Final = 5000
UNPUBLISHED_SCHEMA: Final = "truth"
"""Holds what must be found, not what is read."""

PUBLISHED: Final = sql.Literal("insert, update, delete, truncate")

# cdc/values.py reads the text of values in exactly this form.
_SESSION: Final = (
    "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres -c bytea_output=hex -c extra_float_digits=1 "
    "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
)

_log = structlog.get_logger()

Connection = psycopg.Connection[tuple[object, ...]]


def address_of(source: SourceSettings) -> str:
    """Host, port and database, for errors."""
    return f"{source.host}:{source.port}/{source.database}"


def conninfo_of(source: SourceSettings) -> str:
    """The libpq connection string, password included: not for logs. Errors: ConfigurationError, see `password_of`."""
    # A file that is named but not there is told by libpq.
    files = {name: getattr(source, name) for name in ("sslrootcert", "sslcert", "sslkey") if getattr(source, name)}
    return make_conninfo(
        host=source.host,
        port=source.port,
        user=source.user,
        password=password_of(source),
        sslmode=source.sslmode,
        **files,
        dbname=source.database,
        application_name=f"trueup-cdc {source.slot}",
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        client_encoding="UTF8",
        options=_SESSION,
    )


def connect(source: SourceSettings) -> Connection:
    """An ordinary connection in autocommit mode.

    Raises:
        ConfigurationError: the server refuses the role or the database.
        UnavailableError: it does not answer.
    """
    try:
        return psycopg.connect(conninfo_of(source), autocommit=True)
    except psycopg.OperationalError as error:
        raise unavailable(str(error), address_of(source)) from error


def prepare(
    connection: Connection, source: SourceSettings, tables: Sequence[SourceTable], streamed: Collection[str] = ()
) -> dict[str, str]:
    """Check all that reading these tables needs; set their replica identity and the publication where that is allowed.

    Args:
        connection: ordinary, in autocommit mode.
        source: settings of the source.
        tables: to be read.
        streamed: labels of those that are read already. One of them that was altered is passed over, not refused.

    Returns:
        Label → reason, of the tables that are passed over.

    Raises:
        ConfigurationError: something is missing and cannot be set from here; the remedy names the statement.
    """
    where = address_of(source)
    if any(table.schema == UNPUBLISHED_SCHEMA for table in tables):
        raise ConfigurationError(f"the schema {UNPUBLISHED_SCHEMA} is never read", where="source.schema_name")
    _check_server(connection, source, where)
    connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
    altered = misfits(connection, tables)
    for table in tables:
        if table.label in altered and table.label not in streamed:
            raise _unreadable(altered[table.label], where)
    fitting = [table for table in tables if table.label not in altered]
    for table in fitting:
        _check_readable(connection, source, table, where)
    _set_replica_identity(connection, fitting, where)
    _publish(connection, source, fitting, where)
    return altered


def misfits(connection: Connection, tables: Sequence[SourceTable]) -> dict[str, str]:
    """Label → reason, of the tables that cannot be read as they are now."""
    domains = domain_bases(connection)
    found = {}
    for table in tables:
        columns = {name: domains.get(oid, oid) for name, oid in columns_of(connection, table.schema, table.name)}
        error = misfit(table, columns)
        if error is not None:
            found[table.label] = error.what if columns else f"table {table.label} does not exist"
    return found


def check_columns(connection: Connection, source: SourceSettings, table: SourceTable, where: str) -> None:
    """Whether a table can be read and has the columns that are needed. Errors: ConfigurationError."""
    for reason in misfits(connection, [table]).values():
        raise _unreadable(reason, where)
    _check_readable(connection, source, table, where)


def _unreadable(reason: str, where: str) -> ConfigurationError:
    return ConfigurationError(
        reason,
        where=where,
        remedy="set source.schema_name to the schema that holds the source tables, see the specs in `specs`, and run "
        "`trueup check`",
    )


def domain_bases(connection: Connection) -> Mapping[int, int]:
    """The OID of the type that each domain is made of; values of a domain look like those of its base type."""
    found = connection.execute(
        "WITH RECURSIVE base AS ("
        " SELECT oid, typbasetype FROM pg_catalog.pg_type WHERE typtype = 'd'"
        " UNION ALL SELECT base.oid, inner_type.typbasetype FROM base"
        " JOIN pg_catalog.pg_type AS inner_type ON inner_type.oid = base.typbasetype AND inner_type.typtype = 'd')"
        " SELECT base.oid::int8, base.typbasetype::int8 FROM base"
        " JOIN pg_catalog.pg_type AS plain ON plain.oid = base.typbasetype AND plain.typtype <> 'd'"
    ).fetchall()
    return {_int(oid): _int(base) for oid, base in found}


def columns_of(connection: Connection, schema: str, table: str) -> tuple[tuple[str, int], ...]:
    """The columns of a table that logical decoding sends, as (name, OID of the type), in their order."""
    found = connection.execute(
        "SELECT attname, atttypid::int8 FROM pg_catalog.pg_attribute AS attribute"
        " JOIN pg_catalog.pg_class AS class ON class.oid = attribute.attrelid"
        " JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace"
        " WHERE nspname = %s AND relname = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
        " ORDER BY attnum",
        (schema, table),
    ).fetchall()
    return tuple((str(name), _int(oid)) for name, oid in found)


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _check_server(connection: Connection, source: SourceSettings, where: str) -> None:
    row = connection.execute(
        "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('wal_level'),"
        " (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)"
    ).fetchone()
    assert row is not None
    standby, wal_level, may_replicate = row
    if standby:
        raise ConfigurationError("the source is a standby", where=where, remedy="read the primary")
    if wal_level != "logical":
        raise ConfigurationError(
            f"wal_level of the source is {wal_level}, not logical",
            where=where,
            remedy="ALTER SYSTEM SET wal_level = 'logical'; then restart the server",
        )
    if not may_replicate:
        raise ConfigurationError(
            f"the role {source.user} may not replicate",
            where=where,
            remedy=f'ALTER ROLE "{source.user}" REPLICATION',
        )


def _check_readable(connection: Connection, source: SourceSettings, table: SourceTable, where: str) -> None:
    readable = connection.execute(
        "SELECT pg_catalog.has_table_privilege(%s, 'SELECT')", (f'"{table.schema}"."{table.name}"',)
    ).fetchone()
    if readable != (True,):
        raise ConfigurationError(
            f"the role {source.user} may not read table {table.label}",
            where=where,
            remedy=f'GRANT SELECT ON "{table.schema}"."{table.name}" TO "{source.user}"',
        )


def _set_replica_identity(connection: Connection, tables: Sequence[SourceTable], where: str) -> None:
    """The row before a change is needed whole: for the order a deleted row belonged to, and for what a change did."""
    found = connection.execute(
        "SELECT nspname, relname FROM pg_catalog.pg_class AS class"
        " JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace"
        " JOIN unnest(%s::text[], %s::text[]) AS wanted (wanted_schema, wanted_name)"
        " ON nspname = wanted_schema AND relname = wanted_name"
        " WHERE relreplident <> 'f' ORDER BY nspname, relname",
        ([table.schema for table in tables], [table.name for table in tables]),
    ).fetchall()
    for schema, name in found:
        statement = sql.SQL("ALTER TABLE {}.{} REPLICA IDENTITY FULL").format(
            sql.Identifier(str(schema)), sql.Identifier(str(name))
        )
        _change(connection, statement, f"table {schema}.{name} does not have REPLICA IDENTITY FULL", where)


def _publish(connection: Connection, source: SourceSettings, tables: Sequence[SourceTable], where: str) -> None:
    """A publication made after the slot would break the stream, so this comes first."""
    publication = sql.Identifier(source.publication)
    row = connection.execute(
        "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate FROM pg_catalog.pg_publication WHERE pubname = %s",
        (source.publication,),
    ).fetchone()
    if row is None:
        statement = sql.SQL(
            "CREATE PUBLICATION {} FOR TABLE {} WITH (publish = {}, publish_via_partition_root)"
        ).format(publication, _identifiers(tables), PUBLISHED)
        _change(connection, statement, f"the publication {source.publication} does not exist", where)
        return
    if row != (True,):
        statement = sql.SQL("ALTER PUBLICATION {} SET (publish = {})").format(publication, PUBLISHED)
        _change(connection, statement, f"the publication {source.publication} does not publish all changes", where)
    found = connection.execute(
        "SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname = %s", (source.publication,)
    ).fetchall()
    published = {(str(schema), str(name)) for schema, name in found}
    missing = sorted(table for table in tables if table.place not in published)
    if missing:
        statement = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(publication, _identifiers(missing))
        names = ", ".join(table.name for table in missing)
        _change(connection, statement, f"the publication {source.publication} lacks {names}", where)


def _identifiers(tables: Sequence[SourceTable]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(*table.place) for table in tables)


def _change(connection: Connection, statement: sql.Composed, what: str, where: str) -> None:
    """Set what is missing, or say how."""
    text = statement.as_string(connection)
    try:
        connection.execute(statement)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.LockNotAvailable) as error:
        raise ConfigurationError(what, where=where, remedy=f"let its owner run: {text}") from error
    _log.info("source_prepared", statement=text)
