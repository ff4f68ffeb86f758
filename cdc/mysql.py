"""Reads a MySQL or MariaDB database into Kafka: a copy first, then every change of its binlog, until stopped.

Delivery is at least once: after a crash the stream goes on from the last place that was kept, and changes behind it come again
with the same versions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing

import pymysql
import structlog
from pymysql.connections import Connection

from cdc.counters import Gap, Phase, ReaderCounters
from cdc.delivery import DeliveryProducer
from cdc.mysql_binlog import Binlog
from cdc.mysql_clock import MysqlClock
from cdc.mysql_envelope import Identity
from cdc.mysql_progress import Progress
from cdc.mysql_publishing import BinlogPublishing
from cdc.mysql_snapshot import copy_tables
from cdc.mysql_source import Server, address_of, check_server, connect, master_status, unfit_tables, unusable
from cdc.mysql_state import ReadMark, broken, check_order, encode_mark, gtids_at, mark_key, read_mark
from cdc.mysql_stream import BinlogStream
from cdc.mysql_watch import BinlogWatch
from cdc.reader_state import write_state
from cdc.sessions import read_in_sessions
from cdc.source_tables import SourceTable, labels, settlement_tables
from trueup import __version__
from trueup.settings import Settings, SourceSettings

_log = structlog.get_logger()


def run(
    settings: Settings,
    stop: threading.Event,
    counters: ReaderCounters | None = None,
    more_tables: Sequence[SourceTable] = (),
) -> None:
    """Read until `stop` is set; then deliver, keep the place and close. The topics must exist; as `cdc.postgres.run`.

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
        (pymysql.MySQLError, OSError),
    )


def _read(settings: Settings, stop: threading.Event, counters: ReaderCounters, tables: Sequence[SourceTable]) -> None:
    """One session: ends when asked to stop, or with the error that ended it."""
    source, bootstrap = settings.source, settings.kafka.bootstrap
    counters.sessions += 1
    counters.turn()
    with ExitStack() as session:
        producer = DeliveryProducer(bootstrap, [table.topic(source.name) for table in tables])
        session.enter_context(closing(producer))
        with closing(connect(source)) as connection:
            server = check_server(connection, source)
            publishing = BinlogPublishing(
                Identity(__version__, server.connector, source.name), producer, counters, tables
            )
            mark = _ready_to_stream(connection, server, settings, publishing, stop)
        if mark is None:
            return
        clock = MysqlClock(source, source.heartbeat_interval_seconds)
        watch = BinlogWatch(settings, server, publishing)
        for thread in (clock, watch):
            thread.start()
            session.callback(thread.stop)
        binlog = Binlog(source, mark.place, tables)
        session.callback(binlog.close)
        counters.began_streaming()
        publishing.began_streaming()
        _log.info("streaming", source=address_of(source), file=mark.file, pos=mark.pos)
        BinlogStream(binlog, publishing, clock, Progress(source, producer, counters, mark)).run(stop)


def _ready_to_stream(
    connection: Connection, server: Server, settings: Settings, publishing: BinlogPublishing, stop: threading.Event
) -> ReadMark | None:
    """Look at the tables and copy what must be; where to stream from, None when asked to stop before."""
    source, counters = settings.source, publishing.counters
    mark = read_mark(settings.kafka.bootstrap, source.name)
    unfit = unfit_tables(connection, publishing.tables)
    if unfit and mark is None:
        raise unusable(unfit, source)
    counters.stopped = dict(unfit)
    for label, reason in unfit.items():
        _log.error("table_stopped", table=label, reason=reason)
    counters.phase, counters.failing = Phase.SNAPSHOT, None
    return _copied(connection, server, source, publishing, mark, stop)


def _copied(
    connection: Connection,
    server: Server,
    source: SourceSettings,
    publishing: BinlogPublishing,
    mark: ReadMark | None,
    stop: threading.Event,
) -> ReadMark | None:
    """Copy all tables, or those that the mark lacks; where to stream from, None when asked to stop before."""
    counters = publishing.counters
    fault = "" if mark is None else broken(connection, server, mark)
    if mark is not None and fault:
        check_order(mark, master_status(connection), source)
        counters.found_gap(Gap(fault, mark.place.version, 0))
        _log.error("binlog_gap", reason=fault, remedy="all tables are copied; rows deleted meanwhile stay: compare")
    known = () if mark is None or fault else mark.tables
    readable = [table for table in publishing.tables if table.label not in counters.stopped]
    missing = [table for table in readable if table.label not in known]
    if mark is not None and not fault and not missing and known == labels(readable):
        return mark
    begin = mark.place if mark is not None and not fault else None
    if missing:

        def stopping() -> bool:
            counters.turn()
            return stop.is_set()

        place = copy_tables(source, server, publishing, missing, stopping)
        if place is None:
            return None
        begin = begin or place
    assert begin is not None, "there is always a table to copy before the first mark"
    # A table that is read no more is forgotten: should it come back, it must be copied again.
    made = ReadMark(server.identity, begin.file, begin.pos, gtids_at(connection, begin), labels(readable))
    write_state(publishing.producer, mark_key(source.name), encode_mark(made))
    if fault:
        counters.repaired_gap(time.time_ns() // 1000)
    return made
