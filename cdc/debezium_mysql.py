"""Watches Debezium in Kafka Connect read a MySQL database, and sends the heartbeats that it does not.

Changes come from the connector alone, and so does the first copy of the tables, unless our own reader made one: then it goes on
where that stopped. This side registers it if it is not there, tells source time from the server's clock and the places in the
binlog that Connect has committed, and keeps those moving (`cdc.mysql_nudge`).
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

from cdc.connect_rest import ConnectRest
from cdc.connector_config import connector_config, connector_name
from cdc.connector_session import PROBE_SECONDS_MIN, Followed, follow
from cdc.counters import Gap, Phase, ReaderCounters
from cdc.mysql_clock import MysqlClock
from cdc.mysql_envelope import Place
from cdc.mysql_nudge import nudge
from cdc.mysql_source import Server, check_server, connect, unfit_tables, unusable
from cdc.mysql_state import broken, read_mark
from cdc.position import ROW_BITS
from cdc.sessions import read_in_sessions
from cdc.source_tables import SourceTable, labels, settlement_tables
from trueup.settings import Settings

MODE: Final = "snapshot.mode"
USUAL: Final = "initial"
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
    source = settings.source
    counters.sessions += 1
    counters.turn()
    with ExitStack() as session:
        connection = session.enter_context(closing(connect(source)))
        server = check_server(connection, source)
        unfit = unfit_tables(connection, tables)
        if unfit:
            raise unusable(unfit, source)
        nudge(connection, source)
        rest = session.enter_context(closing(ConnectRest(settings.connect.url)))
        counters.phase, counters.failing = Phase.SNAPSHOT, None
        if not _is_placed(rest, connector_name(settings)):
            _register(rest, settings, tables, _place_of_ours(connection, server, settings, tables, counters))
        clock = MysqlClock(source, max(PROBE_SECONDS_MIN, source.heartbeat_interval_seconds))
        moving, usual = partial(nudge, connection, source), partial(_to_usual_mode, rest, connector_name(settings))
        follow(settings, tables, counters, stop, Followed(clock, moving, ROW_BITS, usual))


def _is_placed(rest: ConnectRest, name: str) -> bool:
    """Whether the connector is there, and was not left without the place that it should go on from."""
    held = rest.config(name)
    return held is not None and (held.get(MODE) != SCHEMA_ONLY or rest.has_offsets(name))


def _place_of_ours(
    connection: Connection, server: Server, settings: Settings, tables: Sequence[SourceTable], counters: ReaderCounters
) -> Place | None:
    """Where our own reader stopped; None where it never was, or where nothing can go on from there: that is a gap."""
    mark = read_mark(settings.kafka.bootstrap, settings.source.name)
    if mark is None:
        return None
    missing = sorted(set(labels(tables)) - set(mark.tables))
    fault = f"{', '.join(missing)} had not been copied" if missing else broken(connection, server, mark)
    if not fault:
        return mark.place
    counters.found_gap(Gap(fault, mark.place.version, 0))
    _log.error(
        "binlog_gap", reason=fault, remedy="the connector copies all tables; rows deleted meanwhile stay: compare"
    )
    return None


def _register(rest: ConnectRest, settings: Settings, tables: Sequence[SourceTable], place: Place | None) -> None:
    """Let the connector go on where our reader stopped; without such a place it copies the tables itself."""
    name, config = connector_name(settings), connector_config(settings, tables)
    if place is None:
        rest.register(name, config)
        rest.resume(name)
    else:
        offset = {"file": place.file, "pos": place.pos}
        rest.register_at(name, {**config, MODE: SCHEMA_ONLY}, settings.source.name, offset)
    _log.info("connector_registered", connector=name, url=settings.connect.url, place=place)


def _to_usual_mode(rest: ConnectRest, name: str) -> None:
    """Once it has its place and knows the tables: at a later start they may have been altered, which it must read in the log."""
    held = rest.config(name)
    if held is not None and held.get(MODE) == SCHEMA_ONLY:
        rest.register(name, {**held, MODE: USUAL})
