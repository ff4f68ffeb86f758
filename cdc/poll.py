"""Polls a database into Kafka until stopped: for databases without replication.

Delivery is at least once: after a crash, what was noted but is not known to be delivered comes again with the same versions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Final, NamedTuple

import psycopg
import pymysql
import structlog

from cdc import mysql_source, postgres_source
from cdc.counters import Phase, ReaderCounters
from cdc.delivery import DeliveryProducer
from cdc.poll_memory import PollMemory
from cdc.poll_mysql import PolledMysql
from cdc.poll_postgres import PolledPostgres
from cdc.poll_round import Poller
from cdc.polled_database import PolledDatabase
from cdc.publishing import Publishing
from cdc.reader_state import read_state, write_state
from cdc.sessions import read_in_sessions
from cdc.source_tables import SourceTable, settlement_tables
from trueup import __version__
from trueup.model.errors import ConfigurationError
from trueup.settings import Settings, SourceSettings

ASK_SECONDS: Final = 1.0
"""How often the source is asked for its clock between two polls, so that an outage is told before the next one."""

_log = structlog.get_logger()


def run(
    settings: Settings,
    stop: threading.Event,
    counters: ReaderCounters | None = None,
    more_tables: Sequence[SourceTable] = (),
) -> None:
    """Poll until `stop` is set. The topics must exist; arguments as in `cdc.postgres.run`.

    Raises:
        ConfigurationError: the source or the topics cannot be used as they are set up.
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
        (psycopg.OperationalError, pymysql.OperationalError, pymysql.InterfaceError),
    )


Opened = tuple[PolledDatabase, Mapping[int, int]]
"""A database, and the OID of each domain → that of its base type."""


@contextmanager
def _open_postgres(source: SourceSettings, tables: Sequence[SourceTable]) -> Iterator[Opened]:
    with postgres_source.connect(source) as connection:
        for table in tables:
            postgres_source.check_columns(connection, source, table, postgres_source.address_of(source))
        yield PolledPostgres(connection), postgres_source.domain_bases(connection)


@contextmanager
def _open_mysql(source: SourceSettings, tables: Sequence[SourceTable]) -> Iterator[Opened]:
    with closing(mysql_source.connect(source)) as asking, closing(mysql_source.connect(source, raw=True)) as reading:
        unfit = mysql_source.unfit_tables(asking, tables)
        for reason in unfit.values():
            raise ConfigurationError(reason, where=mysql_source.address_of(source), remedy="see docs/cdc.md")
        yield PolledMysql(asking, reading), {}


_OPENERS: Final = {"postgres": _open_postgres, "mysql": _open_mysql}


class PollSession(NamedTuple):
    """A poller and the database that it polls."""

    poller: Poller
    database: PolledDatabase


@contextmanager
def open_session(
    settings: Settings, counters: ReaderCounters, tables: Sequence[SourceTable], stopping: Callable[[], bool]
) -> Iterator[PollSession]:
    """Open source, memory and producer; what a former process noted is told first.

    Raises:
        ConfigurationError: as `run`.
        UnavailableError: source or broker do not answer, or another reader polls the source.
    """
    source, bootstrap = settings.source, settings.kafka.bootstrap
    with ExitStack() as session:
        database, domains = session.enter_context(_OPENERS[source.kind](source, tables))
        producer = DeliveryProducer(bootstrap, [table.topic(source.name) for table in tables])
        session.enter_context(closing(producer))
        producer.while_waiting = counters.turn
        memory = session.enter_context(closing(PollMemory(settings.data_dir / f"poll-{source.name}.sqlite")))
        memory.keep_only(tables)
        _claim_topics(memory, producer, bootstrap, source.name)
        if source.kind == "mysql":
            # Their types are told in those of PostgreSQL; whether they fit was looked at already.
            tables = [table._replace(kinds=()) for table in tables]
        publishing = Publishing(source, __version__, lambda: domains, producer, counters, tables)
        poller = Poller(database, memory, publishing, stopping)
        poller.resume()
        yield PollSession(poller, database)


def _read(settings: Settings, stop: threading.Event, counters: ReaderCounters, tables: Sequence[SourceTable]) -> None:
    """One session: ends when asked to stop, or with the error that ended it."""
    counters.sessions += 1
    counters.turn()
    with open_session(settings, counters, tables, stop.is_set) as session:
        counters.phase, counters.failing = Phase.SNAPSHOT, None
        interval_seconds = settings.source.poll.interval_seconds
        while not stop.is_set():
            due_at = time.monotonic() + interval_seconds
            if not session.poller.poll():
                return
            if counters.phase is not Phase.STREAMING:
                counters.began_streaming()
                _log.info("polling", source=settings.source.name, interval_seconds=interval_seconds)
            while time.monotonic() < due_at and not stop.wait(min(ASK_SECONDS, max(0.0, due_at - time.monotonic()))):
                session.database.now_us()
                session.poller.turn()


def _claim_topics(memory: PollMemory, producer: DeliveryProducer, bootstrap: str, source_name: str) -> None:
    """Forget what was told if it was told to other topics: the broker's data may have been replaced, or the memory.

    The mark is written before anything is told, so that a crash cannot leave rows told that no memory knows of.
    """
    key, mine = f"poll:{source_name}", memory.identity.encode()
    held = read_state(bootstrap, key)
    if held == mine:
        return
    if held is not None:
        _log.warning("poll_starts_anew", source=source_name, reason="the topics were written from another memory")
    memory.forget()
    write_state(producer, key, mine)
