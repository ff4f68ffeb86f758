"""Watches Debezium in Kafka Connect read a MySQL database, and sends the heartbeats that it does not.

Changes come from the connector alone, and so does the first copy of the tables, unless our own reader made one: then it goes on
where that stopped. This side registers it if it is not there, tells source time from the server's clock and the places in the binlog that Connect has committed, and keeps those moving (`cdc.mysql_nudge`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Final

import pymysql
import structlog
from pymysql.connections import Connection

from cdc.connect_offsets import ConnectorOffsets
from cdc.connect_rest import ConnectRest
from cdc.connector_config import connector_config, connector_name
from cdc.connector_watch import ConnectorWatch
from cdc.counters import Phase, ReaderCounters
from cdc.debezium import PROBE_SECONDS_MIN, TURN_SECONDS
from cdc.delivery import DeliveryProducer, EndOffsets
from cdc.mysql_clock import MysqlClock
from cdc.mysql_envelope import Place
from cdc.mysql_nudge import nudge
from cdc.mysql_source import address_of, check_server, connect, unfit_tables, unusable
from cdc.mysql_state import broken, read_mark
from cdc.sessions import read_in_sessions
from cdc.source_tables import SourceTable, labels, settlement_tables
from cdc.source_time_teller import SourceTimeTeller
from trueup.settings import Settings

SCHEMA_ONLY: Final = "recovery"
"""The snapshot mode in which the connector reads the definitions of the tables anew, and no rows."""

_log = structlog.get_logger()


def run(
    settings: Settings,
    stop: threading.Event,
    counters: ReaderCounters | None = None,
    more_tables: Sequence[SourceTable] = (),
) -> None:
    """Watch until `stop` is set. The topics must exist. Arguments and errors are those of `cdc.mysql.run`."""
    counters = counters if counters is not None else ReaderCounters()
    counters.watches_connector = True
    tables = (*settlement_tables(settings.source.schema_name), *more_tables)
    read_in_sessions(
        lambda: _watch(settings, stop, counters, tables),
        stop,
        counters,
        settings.kafka.bootstrap,
        (pymysql.MySQLError, OSError),
    )


def _watch(settings: Settings, stop: threading.Event, counters: ReaderCounters, tables: Sequence[SourceTable]) -> None:
    """One session: ends when asked to stop, or with the error that ended it."""
    source, bootstrap = settings.source, settings.kafka.bootstrap
    name = connector_name(settings)
    counters.sessions += 1
    counters.turn()
    with ExitStack() as session:
        connection = session.enter_context(closing(connect(source)))
        check_server(connection, source)
        unfit = unfit_tables(connection, tables)
        if unfit:
            raise unusable(unfit, source)
        nudge(connection, source)
        rest = session.enter_context(closing(ConnectRest(settings.connect.url)))
        ends = EndOffsets(bootstrap, [table.topic(source.name) for table in tables])
        producer = session.enter_context(closing(DeliveryProducer(bootstrap)))
        # Before the connector begins, so that none of its commits is missed.
        topic = settings.connect.offsets_topic
        offsets = session.enter_context(closing(ConnectorOffsets(bootstrap, topic, name, source.name)))
        counters.began_streaming()
        if rest.config(name) is None:
            counters.phase = Phase.SNAPSHOT
            _register(rest, settings, tables, _place_of_ours(connection, settings, tables))
        clock = MysqlClock(source, max(PROBE_SECONDS_MIN, source.heartbeat_interval_seconds))
        watch = ConnectorWatch(settings.connect.url, name)
        for thread in (clock, watch):
            thread.start()
            session.callback(thread.stop)
        _log.info("watching", connector=name, source=address_of(source))
        teller = SourceTimeTeller(source.name, producer, ends, counters, partial(nudge, connection, source))
        while not stop.is_set():
            teller.turn(clock, watch.trouble, offsets.take(TURN_SECONDS))


def _place_of_ours(connection: Connection, settings: Settings, tables: Sequence[SourceTable]) -> Place | None:
    """Where our own reader stopped, if it had copied all tables and the server still has what follows."""
    mark = read_mark(settings.kafka.bootstrap, settings.source.name)
    if mark is None or not set(labels(tables)) <= set(mark.tables):
        return None
    fault = broken(connection, check_server(connection, settings.source), mark)
    if fault:
        _log.warning("tables_copied_anew", reason=fault, remedy="rows deleted meanwhile stay: compare")
    return None if fault else mark.place


def _register(rest: ConnectRest, settings: Settings, tables: Sequence[SourceTable], place: Place | None) -> None:
    """Let the connector go on where our reader stopped; without such a place it copies the tables itself."""
    name, config = connector_name(settings), connector_config(settings, tables)
    if place is None:
        rest.register(name, config)
    else:
        config["snapshot.mode"] = SCHEMA_ONLY
        rest.register_at(name, config, settings.source.name, {"file": place.file, "pos": place.pos})
    _log.info("connector_registered", connector=name, url=settings.connect.url, place=place)
