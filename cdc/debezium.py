"""Watches Debezium in Kafka Connect read a Postgres database, and sends the heartbeats that it does not.

Changes come from the connector alone. This side makes the slot and the first copy of the tables if nobody has, registers the
connector if it is not there, and then tells source time: a probe of the server is reached once Connect has committed a
position behind it, because Connect commits only what the broker has acknowledged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Final

import psycopg
import structlog

from cdc.connect_offsets import Committed, ConnectorOffsets
from cdc.connect_rest import ConnectRest
from cdc.connector_config import connector_config, connector_name
from cdc.connector_watch import ConnectorWatch
from cdc.counters import Phase, ReaderCounters
from cdc.debezium_copy import copied_by_connector, copy_first
from cdc.delivery import DeliveryProducer, EndOffsets
from cdc.heartbeat import SourceTime, encode_heartbeat
from cdc.postgres_clock import NUDGE, ServerClock
from cdc.postgres_source import Connection, address_of, connect, prepare
from cdc.sessions import read_in_sessions
from cdc.source_tables import SourceTable, settlement_tables
from cdc.topics import HEARTBEAT_TOPIC, READ_PARTITION
from trueup.settings import Settings

PROBE_SECONDS_MIN: Final = 0.2
"""A connector commits its position a few times a second at most: more probes would tell nothing more."""

TURN_SECONDS: Final = 0.1
NUDGE_SECONDS: Final = 0.3
DELIVERY_SECONDS_MAX: Final = 30.0

_log = structlog.get_logger()


def run(
    settings: Settings,
    stop: threading.Event,
    counters: ReaderCounters | None = None,
    more_tables: Sequence[SourceTable] = (),
) -> None:
    """Watch until `stop` is set. The topics must exist. Arguments and errors are those of `cdc.postgres.run`."""
    counters = counters if counters is not None else ReaderCounters()
    counters.watches_connector = True
    tables = (*settlement_tables(settings.source.schema_name), *more_tables)
    read_in_sessions(
        lambda: _watch(settings, stop, counters, tables),
        stop,
        counters,
        settings.kafka.bootstrap,
        (psycopg.Error,),
    )


def _watch(settings: Settings, stop: threading.Event, counters: ReaderCounters, tables: Sequence[SourceTable]) -> None:
    """One session: ends when asked to stop, or with the error that ended it."""
    source, bootstrap = settings.source, settings.kafka.bootstrap
    name = connector_name(settings)
    counters.sessions += 1
    counters.turn()
    with ExitStack() as session:
        connection = session.enter_context(connect(source))
        rest = session.enter_context(closing(ConnectRest(settings.connect.url)))
        registered = rest.config(name)
        counters.phase, counters.failing = Phase.SNAPSHOT, None
        if copied_by_connector(registered):
            prepare(connection, source, tables)
        elif not copy_first(connection, settings, tables, counters, stop):
            return
        elif registered is None:
            rest.register(name, connector_config(settings, tables))
            _log.info("connector_registered", connector=name, url=settings.connect.url)
        ends = EndOffsets(bootstrap, [table.topic(source.name) for table in tables])
        producer = session.enter_context(closing(DeliveryProducer(bootstrap)))
        topic = settings.connect.offsets_topic
        offsets = session.enter_context(closing(ConnectorOffsets(bootstrap, topic, name, source.name)))
        clock = ServerClock(source, max(PROBE_SECONDS_MIN, source.heartbeat_interval_seconds))
        watch = ConnectorWatch(settings.connect.url, name)
        for thread in (clock, watch):
            thread.start()
            session.callback(thread.stop)
        counters.began_streaming()
        _log.info("watching", connector=name, source=address_of(source))
        teller = SourceTimeTeller(settings, connection, producer, ends, counters)
        while not stop.is_set():
            teller.turn(clock, watch.trouble, offsets.take(TURN_SECONDS))


class SourceTimeTeller:
    """Turns probes and the connector's commits into heartbeats.

    Args:
        settings: source and broker.
        connection: to the source, ordinary, in autocommit mode.
        producer: takes the heartbeats.
        ends: of the source's topics.
        counters: counted in.
    """

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        producer: DeliveryProducer,
        ends: EndOffsets,
        counters: ReaderCounters,
    ) -> None:
        self._source_name = settings.source.name
        self._connection = connection
        self._producer = producer
        self._ends = ends
        self._counters = counters
        self._source_time = SourceTime()
        self._told_us = 0
        self._moved_at = 0.0

    def turn(self, clock: ServerClock, trouble: str, committed: Committed | None) -> None:
        """Take in what is new, and tell the time that was reached.

        Args:
            clock: probes the source.
            trouble: why the connector does not run; then time stands still.
            committed: a new commit of the connector, if there is one.
        """
        counters = self._counters
        counters.turn()
        for probe in clock.take():
            self._source_time.probed(probe)
            counters.source_answered_at = time.monotonic()
            counters.server_lsn = probe.lsn
        counters.connector_trouble(trouble)
        counters.delivered_at = time.monotonic()
        if trouble:
            return
        if committed is not None:
            counters.phase = Phase.SNAPSHOT if committed.copying else Phase.STREAMING
            if committed.lsn > counters.confirmed_lsn:
                self._moved_at = time.monotonic()
            counters.confirmed_lsn = committed.lsn
            self._source_time.received(committed.lsn)
        if self._source_time.reached_us > self._told_us:
            self._tell(self._source_time.reached_us)
        if self._source_time.waiting and time.monotonic() - self._moved_at >= NUDGE_SECONDS:
            # While the tables rest nothing reaches the connector: this record gives its position something to move to.
            self._moved_at = time.monotonic()
            self._connection.execute(NUDGE)

    def _tell(self, time_us: int) -> None:
        """Send the heartbeat. The ends are asked for after the commit was seen, so what it covers stands below them."""
        counters = self._counters
        value = encode_heartbeat(self._source_name, time_us, counters.confirmed_lsn, self._ends.now())
        self._producer.send(HEARTBEAT_TOPIC, self._source_name.encode(), value, READ_PARTITION)
        self._producer.drain(DELIVERY_SECONDS_MAX)
        self._told_us = counters.watermark_us = time_us
        counters.heartbeats += 1
