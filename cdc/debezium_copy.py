"""The first copy of the tables where Debezium reads the changes: made by this side, with the slot that the connector goes on from.

A copied row has a version below every change that the slot streams, which the connector's own copy does not promise (see
docs/adr/0007-snapshot-version.md).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial

from cdc.connector_config import NO_DATA_MODES
from cdc.counters import ReaderCounters
from cdc.delivery import DeliveryProducer
from cdc.postgres import domains_of
from cdc.postgres_gap import usable_mark
from cdc.postgres_slot import Slot, find_slot
from cdc.postgres_snapshot import copy_missing, still_valid, take_snapshot
from cdc.postgres_source import Connection, address_of, conninfo_of, prepare
from cdc.postgres_state import SnapshotMark, read_postgres_state
from cdc.publishing import Publishing
from cdc.replication import ReplicationConnection
from cdc.source_tables import SourceTable
from trueup import __version__
from trueup.model.errors import ConfigurationError
from trueup.settings import Settings


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
    state = read_postgres_state(bootstrap, source.name)
    altered = prepare(connection, source, tables, state.mark.tables if state.mark else ())
    with ExitStack() as opened:
        producer = DeliveryProducer(bootstrap, [table.topic(source.name) for table in tables])
        opened.enter_context(closing(producer))
        replication = ReplicationConnection(conninfo_of(source), address_of(source))
        opened.enter_context(closing(replication))
        publishing = Publishing(source, __version__, partial(domains_of, source), producer, counters, tables)
        slot = find_slot(connection, source)
        if slot is not None and slot.active:
            _check_held(slot, state.mark, replication.system_id(), settings)
        mark = usable_mark(connection, replication, publishing, state)
        for label, reason in altered.items():
            publishing.stop(label, reason)
        if mark is not None:
            return copy_missing(connection, mark, publishing, _now_us, stop)
        if not take_snapshot(connection, replication, publishing, _now_us, stop):
            return False
        counters.repaired_gap(_now_us())
        return True


def _check_held(slot: Slot, mark: SnapshotMark | None, system_id: str, settings: Settings) -> None:
    """A slot that something reads cannot be made anew. Errors: ConfigurationError."""
    source = settings.source
    if slot.lost or not still_valid(mark, source, system_id, slot.confirmed_lsn):
        raise ConfigurationError(
            f"slot {source.slot} is in use, and no copy of the tables belongs to it",
            where=address_of(source),
            remedy="stop the connector, then start this reader again: it makes a new slot and a copy",
        )


def _now_us() -> int:
    return time.time_ns() // 1000
