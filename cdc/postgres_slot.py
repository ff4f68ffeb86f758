"""The replication slot: what it is, how much log it holds back, and its end."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from cdc.postgres_source import Connection, address_of, connect
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.settings import SourceSettings


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as the server sees it.

    `confirmed_lsn` is the position up to which all was confirmed; `lost` says that the server has thrown away log that
    the slot still needs.
    """

    confirmed_lsn: int
    active: bool
    lost: bool


def find_slot(connection: Connection, source: SourceSettings) -> Slot | None:
    """The slot, if it exists.

    Raises:
        ConfigurationError: the name is taken by a slot of another database or plugin.
    """
    row = connection.execute(
        "SELECT plugin, database, (confirmed_flush_lsn - '0/0')::int8, active, wal_status"
        " FROM pg_catalog.pg_replication_slots WHERE slot_name = %s",
        (source.slot,),
    ).fetchone()
    if row is None:
        return None
    plugin, database, confirmed, active, wal_status = row
    if plugin != "pgoutput" or database != source.database:
        raise ConfigurationError(
            f"the slot {source.slot} is of plugin {plugin} in database {database}",
            where=address_of(source),
            remedy="set source.slot to a name of its own",
        )
    # Without a confirmed position the slot was never finished.
    return Slot(confirmed if isinstance(confirmed, int) else 0, bool(active), wal_status == "lost")


def drop_slot(source: SourceSettings) -> bool:
    """Drop the slot; the next start of the reader takes a snapshot. False when there is none.

    Raises:
        UnavailableError: a reader holds it, or the server does not answer.
    """
    with connect(source) as connection:
        return remove_slot(connection, source)


def remove_slot(connection: Connection, source: SourceSettings) -> bool:
    """Drop the slot over this connection, see drop_slot."""
    try:
        found = connection.execute(
            "SELECT pg_catalog.pg_drop_replication_slot(slot_name)"
            " FROM pg_catalog.pg_replication_slots WHERE slot_name = %s",
            (source.slot,),
        ).fetchall()
    except psycopg.errors.ObjectInUse as error:
        raise UnavailableError(
            f"the slot {source.slot} is held by a reader", where=address_of(source), remedy="stop the reader first"
        ) from error
    return bool(found)


def slot_lag_bytes(source: SourceSettings) -> int | None:
    """How much log the server keeps beyond what the reader confirmed; None without a slot."""
    with connect(source) as connection:
        row = connection.execute(
            "SELECT (pg_catalog.pg_current_wal_lsn() - confirmed_flush_lsn)::int8"
            " FROM pg_catalog.pg_replication_slots WHERE slot_name = %s",
            (source.slot,),
        ).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else None
