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

import psycopg
import structlog

from cdc.connect_rest import ConnectRest
from cdc.connector_config import connector_config, connector_name
from cdc.connector_session import PROBE_SECONDS_MIN, Followed, follow
from cdc.counters import Phase, ReaderCounters
from cdc.debezium_copy import copied_by_connector, copy_first
from cdc.postgres_clock import NUDGE, ServerClock
from cdc.postgres_source import connect, prepare
from cdc.sessions import read_in_sessions
from cdc.source_tables import SourceTable, settlement_tables
from trueup.settings import Settings

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
    source = settings.source
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
        clock = ServerClock(source, max(PROBE_SECONDS_MIN, source.heartbeat_interval_seconds))
        follow(settings, tables, counters, stop, Followed(clock, partial(connection.execute, NUDGE)))
