"""The first copy of the tables where Debezium reads the changes: made by this side, with the slot that the connector goes on from.

A copied row has a version below every change that the slot streams, which the connector's own copy does not promise (see
docs/adr/0007-snapshot-version.md).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing

import structlog

from cdc.connector_config import NO_DATA_MODES
from cdc.counters import ReaderCounters
from cdc.delivery import DeliveryProducer
from cdc.postgres_slot import find_slot, remove_slot
from cdc.postgres_snapshot import copy_missing, read_mark, still_valid, take_snapshot
from cdc.postgres_source import Connection, address_of, conninfo_of, domain_bases
from cdc.publishing import Publishing
from cdc.replication import ReplicationConnection
from cdc.source_tables import SourceTable
from trueup import __version__
from trueup.model.errors import ConfigurationError
from trueup.settings import Settings

_log = structlog.get_logger()


def copied_by_connector(config: Mapping[str, str] | None) -> bool:
    """Whether the connector, if it is registered, copies the tables itself."""
    return config is not None and config.get("snapshot.mode", "initial") not in NO_DATA_MODES


def copy_first(
    connection: Connection,
    settings: Settings,
    tables: Sequence[SourceTable],
    counters: ReaderCounters,
    stop: threading.Event,
) -> bool:
    """Make the slot and copy the tables, or those that are not copied yet. False when asked to stop before.

    Raises:
        ConfigurationError: a connector holds a slot that cannot be used: it must be stopped first.
    """
    source, bootstrap = settings.source, settings.kafka.bootstrap
    with ExitStack() as opened:
        producer = DeliveryProducer(bootstrap, [table.topic(source.name) for table in tables])
        opened.enter_context(closing(producer))
        replication = ReplicationConnection(conninfo_of(source), address_of(source))
        opened.enter_context(closing(replication))
        publishing = Publishing(source, __version__, domain_bases(connection), producer, counters, tables)
        slot = find_slot(connection, source)
        mark = read_mark(bootstrap, source.name)
        if slot is not None and (
            slot.lost or not still_valid(mark, source, replication.system_id(), slot.confirmed_lsn)
        ):
            _log.warning("slot_unusable", slot=source.slot, lost=slot.lost, snapshot_marked=mark is not None)
            if slot.active:
                raise ConfigurationError(
                    f"slot {source.slot} is in use, and no copy of the tables belongs to it",
                    where=address_of(source),
                    remedy="stop the connector, then start this reader again: it makes a new slot and a copy",
                )
            remove_slot(connection, source)
            slot = None
        if slot is None or mark is None:
            return take_snapshot(connection, replication, publishing, _now_us, stop)
        return copy_missing(connection, mark, publishing, _now_us, stop)


def _now_us() -> int:
    return time.time_ns() // 1000
