"""Reads a Postgres database into Kafka: a snapshot first, then every change, until stopped.

Delivery is at least once: after a crash the stream goes on from the last confirmed transaction, and changes behind it come
again with the same versions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing

import psycopg
import structlog

from cdc.counters import Phase, ReaderCounters
from cdc.delivery import DeliveryProducer
from cdc.postgres_clock import ServerClock
from cdc.postgres_slot import find_slot, remove_slot
from cdc.postgres_snapshot import copy_missing, read_mark, still_valid, take_snapshot
from cdc.postgres_source import address_of, connect, conninfo_of, domain_bases, prepare
from cdc.postgres_stream import ChangeStream
from cdc.publishing import Publishing
from cdc.replication import ReplicationConnection
from cdc.sessions import read_in_sessions
from cdc.source_tables import SourceTable, settlement_tables
from trueup import __version__
from trueup.settings import Settings

_log = structlog.get_logger()


def run(
    settings: Settings,
    stop: threading.Event,
    counters: ReaderCounters | None = None,
    more_tables: Sequence[SourceTable] = (),
) -> None:
    """Read until `stop` is set; then deliver, confirm and close. The topics must exist.

    When the source or the broker does not answer, everything is closed and opened again after a delay that doubles up to
    a bound; it starts anew once changes or heartbeats have gone through.

    Args:
        settings: source and broker.
        stop: ends the run.
        counters: counted in while running.
        more_tables: to be read beside those of the settlement schema.

    Raises:
        ConfigurationError: the source or the topics cannot be used as they are set up.
        ProtocolError: the source sends what this reader does not understand.
    """
    counters = counters if counters is not None else ReaderCounters()
    tables = (*settlement_tables(settings.source.schema_name), *more_tables)
    for table in tables:
        counters.table(table.label)
    read_in_sessions(
        lambda: _read(settings, stop, counters, tables),
        stop,
        counters,
        settings.kafka.bootstrap,
        (psycopg.OperationalError,),
    )


def _now_us() -> int:
    return time.time_ns() // 1000


def _read(settings: Settings, stop: threading.Event, counters: ReaderCounters, tables: Sequence[SourceTable]) -> None:
    """One session: ends when asked to stop, or with the error that ended it."""
    source, bootstrap = settings.source, settings.kafka.bootstrap
    counters.sessions += 1
    counters.turn()
    with ExitStack() as session:
        connection = session.enter_context(connect(source))
        prepare(connection, source, tables)
        producer = DeliveryProducer(bootstrap, [table.topic(source.name) for table in tables])
        session.enter_context(closing(producer))
        replication = ReplicationConnection(conninfo_of(source), address_of(source))
        session.enter_context(closing(replication))
        publishing = Publishing(source, __version__, domain_bases(connection), producer, counters, tables)
        slot = find_slot(connection, source)
        mark = read_mark(bootstrap, source.name)
        if slot is not None and (
            slot.lost or not still_valid(mark, source, replication.system_id(), slot.confirmed_lsn)
        ):
            _log.warning("slot_unusable", slot=source.slot, lost=slot.lost, snapshot_marked=mark is not None)
            remove_slot(connection, source)
            slot = None
        counters.phase, counters.failing = Phase.SNAPSHOT, None
        if slot is None or mark is None:
            complete = take_snapshot(connection, replication, publishing, _now_us, stop)
        else:
            complete = copy_missing(connection, mark, publishing, _now_us, stop)
        if not complete:
            return
        connection.close()
        replication.start(source.slot, source.publication)
        counters.began_streaming()
        _log.info("streaming", slot=source.slot, source=address_of(source))
        clock = ServerClock(source, source.heartbeat_interval_seconds)
        clock.start()
        session.callback(clock.stop)
        ChangeStream(replication, publishing, clock, _now_us).run(stop)
