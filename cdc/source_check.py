"""Whether the source database can be read as settings and specs ask: every fault at once, and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import psycopg

from cdc.fitting import fits
from cdc.postgres_source import Connection, address_of, connect, domain_bases
from cdc.source_tables import SourceTable
from trueup.model.errors import TrueupError
from trueup.model.faults import Checked, Fault, fault_of
from trueup.model.tables import Column
from trueup.settings import SourceSettings

_USUAL: Final = {
    "id": "bigint or text",
    "text": "text",
    "currency": "text",
    "money": "numeric",
    "time": "timestamp with time zone",
    "date": "date",
    "int": "integer",
    "flag": "boolean",
    "json": "jsonb",
}


class NeededTable(NamedTuple):
    """A table that is read, with what is declared of its columns; `needed_by` names who declares it, for people."""

    table: SourceTable
    columns: tuple[Column, ...]
    needed_by: str


class HeldColumn(NamedTuple):
    """A column as the database has it: the OID of its type, or of the type its domain is made of, and the type's name."""

    type_oid: int
    type_name: str
    is_nullable: bool


class HeldTable(NamedTuple):
    """A table as the database has it."""

    columns: dict[str, HeldColumn]
    primary_key: frozenset[str]
    has_whole_before: bool
    is_readable: bool


def check_source(source: SourceSettings, needed: Sequence[NeededTable]) -> Checked:
    """Compare the database with what is needed of it. Reads catalogues only; a source that is away is one fault."""
    where = address_of(source)
    facts: list[str] = []
    faults: list[Fault] = []
    try:
        with connect(source) as connection:
            connection.execute("SET default_transaction_read_only = on")
            facts.append(f"PostgreSQL {connection.info.server_version // 10_000} at {where}")
            polled = source.reader == "poll"
            faults += [] if polled else _server_faults(connection, source)
            held = _held_tables(connection, [one.table for one in needed])
            facts.append(f"{len(held)} tables")
            for one in needed:
                found = held.get(one.table.place)
                if polled and found is not None:
                    # Polling remembers the row before.
                    found = found._replace(has_whole_before=True)
                faults += table_faults(one, found, where, source.user)
            if not polled:
                faults += _publication_faults(connection, source, [one.table for one in needed])
                slot_facts, slot_faults = _check_slot(connection, source)
                facts += slot_facts
                faults += slot_faults
    except TrueupError as error:
        remedy = error.remedy or "start the database, or correct source.host and source.port"
        faults.append(fault_of(error)._replace(remedy=remedy))
    except psycopg.Error as error:
        what = f"the source stopped answering: {' '.join(str(error).split())}"
        faults.append(Fault(what, where, "see the log of the source database"))
    return Checked(facts, list(dict.fromkeys(faults)))


def table_faults(needed: NeededTable, held: HeldTable | None, where: str, user: str) -> list[Fault]:
    """What one table lacks. Pure."""
    table = needed.table
    name = f'"{table.schema}"."{table.name}"'
    place = f"{where}, table {table.label}"
    if held is None:
        remedy = f"create it, or correct what names it: {needed.needed_by}"
        return [Fault(f"table {table.label} does not exist", place, remedy)]
    faults = []
    if not held.is_readable:
        faults.append(Fault(f"the role {user} may not read it", place, f'GRANT SELECT ON {name} TO "{user}"'))
    for column in needed.columns:
        faults += _column_faults(column, held.columns.get(column.name), place, needed)
    if held.primary_key != frozenset(table.primary_key):
        has = ", ".join(sorted(held.primary_key)) or "none"
        what = f"its primary key is {has}, not {', '.join(table.primary_key)}"
        faults.append(Fault(what, place, f"change the primary key, or what declares it: {needed.needed_by}"))
    if not held.has_whole_before:
        what = "it does not have REPLICA IDENTITY FULL, so that changes do not tell the row before them"
        faults.append(Fault(what, place, f"ALTER TABLE {name} REPLICA IDENTITY FULL"))
    return faults


def _column_faults(column: Column, held: HeldColumn | None, place: str, needed: NeededTable) -> list[Fault]:
    table = f'"{needed.table.schema}"."{needed.table.name}"'
    if held is None:
        what = f"there is no column {column.name}"
        return [Fault(what, place, f"add it, or correct what names it: {needed.needed_by}")]
    faults = []
    if not fits(column.kind, held.type_oid):
        what = f"column {column.name} has the type {held.type_name}, which cannot be read as {column.kind}"
        remedy = f"make it {_USUAL[column.kind]}, or declare another kind: {needed.needed_by}"
        faults.append(Fault(what, place, remedy))
    if held.is_nullable and not column.nullable:
        what = f"column {column.name} allows NULL, which would send its rows to quarantine"
        remedy = f'ALTER TABLE {table} ALTER "{column.name}" SET NOT NULL, or declare NULL: {needed.needed_by}'
        faults.append(Fault(what, place, remedy))
    return faults


def _server_faults(connection: Connection, source: SourceSettings) -> list[Fault]:
    where = address_of(source)
    row = connection.execute(
        "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('wal_level'),"
        " (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)"
    ).fetchone()
    assert row is not None
    standby, wal_level, may_replicate = row
    faults = []
    if standby:
        faults.append(Fault("the source is a standby", where, "read the primary"))
    if wal_level != "logical":
        remedy = "ALTER SYSTEM SET wal_level = 'logical'; then restart the server"
        faults.append(Fault(f"wal_level is {wal_level}, not logical", where, remedy))
    if not may_replicate:
        faults.append(
            Fault(f"the role {source.user} may not replicate", where, f'ALTER ROLE "{source.user}" REPLICATION')
        )
    return faults


def _held_tables(connection: Connection, tables: Iterable[SourceTable]) -> dict[tuple[str, str], HeldTable]:
    places = sorted({table.place for table in tables})
    wanted = ([schema for schema, _ in places], [name for _, name in places])
    bases = domain_bases(connection)
    columns: dict[tuple[str, str], dict[str, HeldColumn]] = {}
    for schema, name, column, oid, type_name, is_nullable in connection.execute(
        "SELECT nspname, relname, attname, atttypid::int8, pg_catalog.format_type(atttypid, NULL),"
        " NOT (attnotnull OR typnotnull)"
        " FROM pg_catalog.pg_attribute AS attribute"
        " JOIN pg_catalog.pg_type AS type ON type.oid = atttypid"
        " JOIN pg_catalog.pg_class AS class ON class.oid = attrelid"
        " JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relnamespace"
        " JOIN unnest(%s::text[], %s::text[]) AS wanted (wanted_schema, wanted_name)"
        " ON nspname = wanted_schema AND relname = wanted_name"
        " WHERE attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        wanted,
    ).fetchall():
        assert isinstance(oid, int)
        held = HeldColumn(bases.get(oid, oid), str(type_name), bool(is_nullable))
        columns.setdefault((str(schema), str(name)), {})[str(column)] = held
    return {
        (str(schema), str(name)): HeldTable(
            columns.get((str(schema), str(name)), {}),
            frozenset(keys if isinstance(keys, list) else ()),
            bool(whole),
            bool(readable),
        )
        for schema, name, whole, readable, keys in connection.execute(
            "SELECT nspname, relname, relreplident = 'f', pg_catalog.has_table_privilege(class.oid, 'SELECT'),"
            " (SELECT array_agg(attname::text) FROM pg_catalog.pg_index"
            "  JOIN pg_catalog.pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)"
            "  WHERE indrelid = class.oid AND indisprimary)"
            " FROM pg_catalog.pg_class AS class"
            " JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relnamespace"
            " JOIN unnest(%s::text[], %s::text[]) AS wanted (wanted_schema, wanted_name)"
            " ON nspname = wanted_schema AND relname = wanted_name WHERE relkind IN ('r', 'p')",
            wanted,
        ).fetchall()
    }


def _publication_faults(connection: Connection, source: SourceSettings, tables: Iterable[SourceTable]) -> list[Fault]:
    name = source.publication
    where = f"{address_of(source)}, publication {name}"
    row = connection.execute(
        "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate FROM pg_catalog.pg_publication WHERE pubname = %s",
        (name,),
    ).fetchone()
    if row is None:
        return [Fault(f"the publication {name} does not exist", where, "start the reader: it makes it where it may")]
    faults = []
    if row != (True,):
        remedy = f"ALTER PUBLICATION \"{name}\" SET (publish = 'insert, update, delete, truncate')"
        faults.append(Fault("it does not publish inserts, updates, deletes and truncates", where, remedy))
    published = {
        (str(schema), str(table))
        for schema, table in connection.execute(
            "SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname = %s", (name,)
        ).fetchall()
    }
    for table in sorted({table.place: table for table in tables}.values()):
        if table.place not in published:
            remedy = f'restart the reader, or ALTER PUBLICATION "{name}" ADD TABLE "{table.schema}"."{table.name}"'
            faults.append(Fault(f"it lacks table {table.label}", where, remedy))
    return faults


def _check_slot(connection: Connection, source: SourceSettings) -> tuple[list[str], list[Fault]]:
    where = f"{address_of(source)}, slot {source.slot}"
    row = connection.execute(
        "SELECT plugin, database, active, coalesce(wal_status, 'lost'),"
        " coalesce((pg_catalog.pg_current_wal_lsn() - confirmed_flush_lsn)::int8, 0)"
        " FROM pg_catalog.pg_replication_slots WHERE slot_name = %s",
        (source.slot,),
    ).fetchone()
    if row is None:
        remedy = "start the reader: it makes the slot and takes a snapshot"
        return [], [Fault(f"the slot {source.slot} does not exist", where, remedy)]
    plugin, database, active, wal_status, behind_bytes = row
    if plugin != "pgoutput" or database != source.database:
        what = f"the slot is of plugin {plugin} in database {database}"
        return [], [Fault(what, where, "set source.slot to a name of its own")]
    if wal_status == "lost":
        what = "the server has thrown away log that the slot needs"
        return [], [Fault(what, where, "start the reader: it takes a new snapshot; see docs/operations.md")]
    faults = []
    if not active:
        what = f"no reader holds the slot; it keeps {behind_bytes:,} bytes of log"
        faults.append(Fault(what, where, "start the reader, or drop the slot if it is not needed any more"))
    if wal_status == "unreserved":
        what = f"the slot is {behind_bytes:,} bytes behind, and the server may throw away log that it needs"
        faults.append(Fault(what, where, "let the reader run, and raise max_slot_wal_keep_size"))
    return [f"slot {source.slot} is {behind_bytes:,} bytes behind, its log is {wal_status}"], faults
