"""Watches Debezium in Kafka Connect read a Postgres database, and sends the heartbeats that it does not.

Changes come from the connector alone. This side makes the slot and the first copy of the tables if nobody has, registers the
connector if it is not there, and then tells source time: a probe of the server is reached once Connect has committed a
position behind it, because Connect commits only what the broker has acknowledged.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Final

import psycopg
import structlog

from cdc.connect_offsets import ConnectorOffsets
from cdc.connect_rest import ConnectRest
from cdc.connector_config import connector_config, connector_name
from cdc.connector_watch import ConnectorWatch
from cdc.counters import Phase, ReaderCounters
from cdc.debezium_copy import copied_by_connector, copy_first
from cdc.delivery import DeliveryProducer, EndOffsets
from cdc.postgres_clock import NUDGE, ServerClock
from cdc.postgres_source import address_of, connect, prepare
from cdc.sessions import read_in_sessions
from cdc.source_tables import SourceTable, settlement_tables
from cdc.source_time_teller import SourceTimeTeller
from trueup.settings import Settings

PROBE_SECONDS_MIN: Final = 0.2
"""A connector commits its position a few times a second at most: more probes would tell nothing more."""

TURN_SECONDS: Final = 0.1

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
        teller = SourceTimeTeller(source.name, producer, ends, counters, partial(connection.execute, NUDGE))
        while not stop.is_set():
            teller.turn(clock, watch.trouble, offsets.take(TURN_SECONDS))
