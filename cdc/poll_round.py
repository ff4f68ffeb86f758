"""One poll of all tables: what changed since the former one becomes messages, then a heartbeat says how far that is.

Source time is the server's clock as a poll begins. All changes that the poll finds are told as committed then: when each of
them was, a table does not tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import orjson
import structlog

from cdc.delivery import DeliveryProducer
from cdc.envelope import Event, TableEnvelopes, TableShape, processing_stamp, transaction_stamp
from cdc.heartbeat import encode_heartbeat
from cdc.poll_memory import Polled, PollMemory, RowChange
from cdc.polled_database import PolledDatabase, Since
from cdc.publishing import Publishing, TablePublisher
from cdc.source_tables import SourceTable
from cdc.topics import HEARTBEAT_TOPIC, READ_PARTITION
from trueup.model.errors import ConfigurationError, InvalidRecord

DELIVERY_SECONDS_MAX: Final = 120.0
CHANGES_NOTED_MAX: Final = 50_000
"""So many changes wait for their delivery before what was read becomes what is remembered."""

_TIME_OIDS: Final = frozenset({1114, 1184})
_POLLED: Final = b'"polled":true,'
_log = structlog.get_logger()


class Poller:
    """Polls the tables of one database into their topics.

    Args:
        database: is asked.
        memory: of what was told.
        publishing: where changes go.
        stopping: whether to give up.
    """

    def __init__(
        self, database: PolledDatabase, memory: PollMemory, publishing: Publishing, stopping: Callable[[], bool]
    ) -> None:
        self._database = database
        self._memory = memory
        self._publishing = publishing
        self._producer: DeliveryProducer = publishing.producer
        self._counters = publishing.counters
        self._options = publishing.source.poll
        self._stopping = stopping
        self._publishers: dict[TableShape, TablePublisher] = {}
        self._noted = 0

    def resume(self) -> None:
        """Tell again what a former process noted and may have told. Errors: UnavailableError for the broker.

        Of a table that nothing is remembered of, rows may stand in its topic that are gone since: they are told to be.
        """
        for change in self._memory.noted():
            self._tell([change])
        self._settle()
        at_us = self._memory.begin(self._database.now_us())
        for table in self._publishing.tables:
            if not self._memory.knows(table) and self._publishing.is_written(table):
                publisher = self._publisher(table, self._database.shape(table))
                publisher.truncate(at_us, _transaction(at_us, "true"), processing_stamp(at_us))
        self._settle()

    def poll(self) -> bool:
        """Read all tables as of one moment and tell what changed; False when asked to stop before the end.

        Raises:
            ConfigurationError: a table has lost a column that is needed.
            UnavailableError: the broker does not take the changes.
        """
        at_us = self._memory.begin(self._database.now_us())
        self.turn()
        reached: dict[SourceTable, Polled] = {}
        with self._database.reading():
            for table in self._publishing.tables:
                polled = self._read(table, at_us)
                if polled is None:
                    return False
                reached[table] = polled
        self._memory.note_polled(reached)
        self._settle()
        name = self._publishing.source.name
        value = encode_heartbeat(name, at_us, at_us, self._producer.positions())
        self._producer.send(HEARTBEAT_TOPIC, name.encode(), value, READ_PARTITION)
        self._producer.drain(DELIVERY_SECONDS_MAX)
        self._counters.heartbeats += 1
        self._counters.watermark_us = at_us
        self.turn()
        return True

    def turn(self) -> None:
        """Source and broker have answered just now."""
        now = time.monotonic()
        self._counters.turned_at = self._counters.source_answered_at = now
        self._counters.in_flight = self._producer.in_flight
        if not self._counters.in_flight:
            self._counters.delivered_at = now

    def _read(self, table: SourceTable, at_us: int) -> Polled | None:
        """Tell the changes of one table, and how far it is then; None when asked to stop."""
        shape = self._database.shape(table)
        self._publisher(table, shape)
        held = self._memory.polled(table)
        column = self._options.time_column
        is_timed = any(name == column and type_oid in _TIME_OIDS for name, type_oid in shape.columns)
        since = self._since(held, at_us) if is_timed else None
        if since is None:
            self._memory.start_seeing()
        for rows in self._database.pages(table, shape, since, self._options.page_rows):
            self.turn()
            if self._stopping():
                return None
            self._take(self._memory.note_rows(table, shape, rows, at_us, is_first=held is None))
        if since is None:
            for gone in self._memory.note_gone(table, shape, at_us, self._options.page_rows):
                self._take(gone)
        newest_us = self._database.newest_us(table, column) if is_timed else None
        # A time in the future must not hide what is written until then.
        high_us = None if newest_us is None else min(newest_us, at_us)
        compared_us = held.compared_us if held is not None and since is not None else at_us
        return Polled(high_us, compared_us)

    def _since(self, held: Polled | None, at_us: int) -> Since | None:
        """From where on a table with times is read; None where it has to be compared whole."""
        if held is None or held.high_us is None:
            return None
        if at_us - held.compared_us >= self._options.compare_interval_seconds * 1_000_000:
            return None
        return Since(self._options.time_column, held.high_us - round(self._options.overlap_seconds * 1_000_000))

    def _take(self, changes: Sequence[RowChange]) -> None:
        """Tell changes that are noted; now and then wait until they are delivered, so that what is noted stays small."""
        self._tell(changes)
        if self._noted >= CHANGES_NOTED_MAX:
            self._settle()

    def _tell(self, changes: Sequence[RowChange]) -> None:
        self._noted += len(changes)
        for change in changes:
            publisher = self._publishers.get(change.shape) or self._publishing.table(change.shape)
            assert publisher is not None, "the memory holds tables that are read, and no others"
            if change.op == "r":
                publisher.count.snapshot_rows += 1
            else:
                publisher.count.changes += 1
            try:
                publisher.publish(events_of(publisher.envelopes, change))
            except InvalidRecord as error:
                row = change.before if change.after is None else change.after
                raw = orjson.dumps([None if value is None else value.decode() for value in row or ()])
                publisher.quarantine(raw, change.at_us, error)

    def _settle(self) -> None:
        """Wait until everything is delivered, then remember it."""
        self._producer.drain(DELIVERY_SECONDS_MAX)
        if self._noted:
            self._memory.delivered()
        self._noted = 0
        self.turn()

    def _publisher(self, table: SourceTable, shape: TableShape) -> TablePublisher:
        """The publisher of a table as it is now. Errors: ConfigurationError when it cannot be read like that."""
        publisher = self._publishers.get(shape)
        if publisher is None:
            publisher = self._publishing.table(shape)
            assert publisher is not None, "it is one of ours"
            if publisher.stopped:
                raise ConfigurationError(
                    publisher.stopped,
                    where=f"the source, table {table.label}",
                    remedy="put it back as it was; what changes meanwhile is found afterwards",
                )
            self._publishers[shape] = publisher
        return publisher


def events_of(envelopes: TableEnvelopes, change: RowChange) -> list[Event]:
    """The messages of a change, byte for byte the same each time. Errors: InvalidRecord."""
    at_us = change.at_us
    transaction = _transaction(at_us, "true" if change.op == "r" else "false")
    processing = processing_stamp(at_us)
    if change.after is None:
        assert change.before is not None
        return envelopes.delete(change.before, at_us, transaction, processing)
    if change.before is None:
        return envelopes.insert(change.after, at_us, transaction, processing, change.op)
    return envelopes.update(change.before, change.after, at_us, transaction, processing)


def _transaction(at_us: int, snapshot: str) -> bytes:
    return _POLLED + transaction_stamp(at_us, None, None, snapshot)
