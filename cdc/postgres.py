"""Reads a Postgres database into Kafka: a snapshot first, then every change, until stopped.

Delivery is at least once: after a crash the stream goes on from the last confirmed transaction, and changes behind it come
again with the same versions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial

import psycopg
import structlog

from cdc.counters import Phase, ReaderCounters
from cdc.delivery import DeliveryProducer
from cdc.postgres_clock import ServerClock
from cdc.postgres_gap import usable_mark
from cdc.postgres_snapshot import copy_missing, take_snapshot
from cdc.postgres_source import address_of, connect, conninfo_of, domain_bases, prepare
from cdc.postgres_state import read_postgres_state
from cdc.postgres_stream import ChangeStream
from cdc.postgres_watch import TableWatch
from cdc.publishing import Publishing
from cdc.replication import ReplicationConnection
from cdc.sessions import read_in_sessions
from cdc.source_tables import SourceTable, settlement_tables
from trueup import __version__
from trueup.settings import Settings, SourceSettings

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
        (psycopg.Error,),
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
        state = read_postgres_state(bootstrap, source.name)
        altered = prepare(connection, source, tables, state.mark.tables if state.mark else ())
        producer = DeliveryProducer(bootstrap, [table.topic(source.name) for table in tables])
        session.enter_context(closing(producer))
        replication = ReplicationConnection(conninfo_of(source), address_of(source))
        session.enter_context(closing(replication))
        publishing = Publishing(source, __version__, partial(domains_of, source), producer, counters, tables)
        mark = usable_mark(connection, replication, publishing, state)
        for label, reason in altered.items():
            publishing.stop(label, reason)
        counters.phase, counters.failing = Phase.SNAPSHOT, None
        if mark is None:
            complete = take_snapshot(connection, replication, publishing, _now_us, stop)
        else:
            complete = copy_missing(connection, mark, publishing, _now_us, stop)
        if not complete:
            return
        if mark is None:
            counters.repaired_gap(_now_us())
        connection.close()
        replication.start(source.slot, source.publication)
        counters.began_streaming()
        _log.info("streaming", slot=source.slot, source=address_of(source))
        clock = ServerClock(source, source.heartbeat_interval_seconds)
        watch = TableWatch(publishing, bootstrap, _now_us)
        for thread in (clock, watch):
            thread.start()
            session.callback(thread.stop)
        ChangeStream(replication, publishing, clock, _now_us).run(stop)


def domains_of(source: SourceSettings) -> Mapping[int, int]:
    """The base types of the domains of a source, asked for over a connection of its own."""
    with connect(source) as connection:
        return domain_bases(connection)
