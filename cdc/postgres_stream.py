"""Streams the changes of a slot to Kafka, confirms what is delivered, and tells the source time in heartbeats."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

from cdc.envelope import TableShape, processing_stamp, transaction_stamp
from cdc.heartbeat import SourceTime, encode_heartbeat
from cdc.pgoutput import Begin, Commit, Delete, Insert, ProtocolError, Relation, Truncate, Update, parse
from cdc.postgres_clock import ServerClock
from cdc.postgres_state import Progress, send_progress
from cdc.publishing import Publishing, TablePublisher
from cdc.replication import KEEPALIVE, PAYLOAD_AT, ReplicationConnection, read_keepalive
from cdc.topics import HEARTBEAT_TOPIC, READ_PARTITION
from trueup.model.errors import InvalidRecord

MESSAGES_BETWEEN_CHECKS_MAX: Final = 500
MARK_SECONDS: Final = 0.01
MARKS_OUTSTANDING_MAX: Final = 1000
IDLE_WAIT_SECONDS: Final = 0.02
OUTSTANDING_WAIT_SECONDS: Final = 0.002
CONFIRM_SECONDS: Final = 0.1
PROGRESS_SECONDS: Final = 10.0
"""How often the state topic is told how far this is; a gap is told from there on."""

STATUS_SECONDS: Final = 1.0
"""How often the server hears from us at least; it gives up after wal_sender_timeout, 60 s by default."""

ASK_SECONDS: Final = 0.03
FINISH_SECONDS_MAX: Final = 30.0

_log = structlog.get_logger()


class _Outstanding(NamedTuple):
    """What may be said once everything before `mark` is delivered: the position, and the time if it is not 0."""

    mark: int
    lsn: int
    time_us: int


class ChangeStream:
    """One run over a replication connection that streams.

    A transaction's changes come in commit order, each is sent once, and nothing is kept per transaction.

    Args:
        connection: streams from the slot.
        publishing: where changes go.
        clock: probes the server; None without heartbeats.
        now_us: this side's clock, µs since the epoch.
    """

    def __init__(
        self,
        connection: ReplicationConnection,
        publishing: Publishing,
        clock: ServerClock,
        now_us: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._publishing = publishing
        self._producer = publishing.producer
        self._counters = publishing.counters
        self._throttled_before_seconds = self._counters.throttled_seconds
        self._clock = clock
        self._now_us = now_us
        self._source_time = SourceTime()
        self._publishers: dict[int, TablePublisher | None] = {}
        self._transaction = b""
        self._processing = processing_stamp(now_us())
        self._in_transaction = False
        self._last_commit_lsn: int | None = None
        self._received_lsn = 0
        self._boundary_lsn = 0
        """All transactions that end at or below it were sent to the producer whole, and none of a later one is needed."""
        self._marked_lsn = 0
        self._confirmed_lsn = 0
        self._confirmed_sent_lsn = 0
        self._outstanding: deque[_Outstanding] = deque()
        self._told_us = 0
        self._marked_at = 0.0
        self._heartbeat_at = 0.0
        self._status_at = 0.0
        self._progress_at = 0.0
        self._thread = threading.get_ident()
        self._asked_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Stream until asked to stop; then deliver what was read and confirm it.

        Raises:
            UnavailableError: the source or the broker does not go on. Nothing is lost: the slot knows what was confirmed.
            ProtocolError: the source sends what this reader does not understand.
        """
        self._producer.while_waiting = self.keep_alive
        while not stop.is_set():
            self._processing = processing_stamp(self._now_us())
            arrived = 0
            for message in self._connection.pending(MESSAGES_BETWEEN_CHECKS_MAX):
                self._handle(message)
                arrived += 1
            self._advance(idle=arrived == 0)
            if arrived == 0:
                self._connection.wait(OUTSTANDING_WAIT_SECONDS if self._outstanding else IDLE_WAIT_SECONDS)
        self._finish()

    def keep_alive(self) -> None:
        """Show the server that this side lives, while the broker is slow."""
        if threading.get_ident() != self._thread:
            # A copy of a table waits for the broker in a thread of its own; the connection is not for several.
            return
        self._counters.turn()
        self._count_throttling()
        if time.monotonic() - self._status_at >= STATUS_SECONDS:
            self._send_status()

    def _handle(self, message: bytes) -> None:
        if message[0] == KEEPALIVE:
            keepalive = read_keepalive(message)
            if not self._in_transaction:
                self._boundary_lsn = max(self._boundary_lsn, keepalive.wal_end)
            self._receive(keepalive.wal_end)
            if keepalive.reply_wanted:
                self._send_status()
            return
        event = parse(message, PAYLOAD_AT)
        kind = type(event)
        if kind is Insert or kind is Update or kind is Delete:
            self._change(event, message)  # type: ignore[arg-type]  # mypy does not narrow by the exact type
        elif isinstance(event, Begin):
            # Transactions come in the order of their commit records.
            self._receive(event.commit_lsn)
            self._in_transaction = True
            self._transaction = transaction_stamp(event.commit_us, event.xid, self._last_commit_lsn)
        elif isinstance(event, Commit):
            self._commit(event)
        elif isinstance(event, Relation):
            self._learn(event)
        elif isinstance(event, Truncate):
            self._truncate(event, message)

    def _change(self, event: Insert | Update | Delete, message: bytes) -> None:
        publisher = self._publisher(event.relation_id)
        if publisher is None:
            return
        lsn = int.from_bytes(message[1:9])
        publisher.count.changes += 1
        try:
            envelopes = publisher.envelopes
            if isinstance(event, Insert):
                events = envelopes.insert(event.new, lsn, self._transaction, self._processing)
            elif isinstance(event, Update):
                old = None if event.key_only else event.old
                events = envelopes.update(old, event.new, lsn, self._transaction, self._processing)
            elif event.key_only:
                raise InvalidRecord("no-before-image", "the deleted row was not sent: set REPLICA IDENTITY FULL")
            else:
                events = envelopes.delete(event.old, lsn, self._transaction, self._processing)
            publisher.publish(events)
        except InvalidRecord as error:
            publisher.quarantine(message[PAYLOAD_AT:], lsn, error)

    def _truncate(self, event: Truncate, message: bytes) -> None:
        lsn = int.from_bytes(message[1:9])
        for relation_id in event.relation_ids:
            publisher = self._publisher(relation_id)
            if publisher is None:
                continue
            publisher.count.changes += 1
            try:
                publisher.truncate(lsn, self._transaction, self._processing)
            except InvalidRecord as error:
                publisher.quarantine(message[PAYLOAD_AT:], lsn, error)

    def _publisher(self, relation_id: int) -> TablePublisher | None:
        try:
            return self._publishers[relation_id]
        except KeyError:
            raise ProtocolError(f"a change of relation {relation_id}, which was never described") from None

    def _commit(self, event: Commit) -> None:
        self._in_transaction = False
        self._last_commit_lsn = event.commit_lsn
        self._boundary_lsn = max(self._boundary_lsn, event.end_lsn)
        self._receive(event.end_lsn)
        self._source_time.committed(event.commit_us)
        self._counters.transactions += 1
        self._counters.last_commit_us = event.commit_us

    def _learn(self, relation: Relation) -> None:
        columns = tuple((column.name, column.type_oid) for column in relation.columns)
        shape = TableShape(relation.schema, relation.table, columns)
        publisher = self._publishers[relation.relation_id] = self._publishing.table(shape)
        if publisher is None:
            return
        if publisher.stopped:
            self._publishing.stop(publisher.label, publisher.stopped)
        if relation.identity != "f":
            _log.warning("replica_identity_changed", table=relation.table, remedy="set REPLICA IDENTITY FULL again")

    def _receive(self, lsn: int) -> None:
        if lsn > self._received_lsn:
            self._received_lsn = lsn
            self._source_time.received(lsn)

    def _advance(self, *, idle: bool) -> None:
        """Mark what was sent, tell what is delivered, keep in touch with the server."""
        now = time.monotonic()
        for probe in self._clock.take():
            self._source_time.probed(probe)
            self._counters.source_answered_at = now
            self._counters.server_lsn = probe.lsn
        self._source_time.received(self._received_lsn)
        self._mark(now)
        self._tell_delivered()
        self._count(now)
        if idle and self._source_time.waiting and now - self._asked_at >= ASK_SECONDS:
            self._asked_at = now
            self._send_status(reply=True)
        elif now - self._status_at >= (
            CONFIRM_SECONDS if self._confirmed_lsn > self._confirmed_sent_lsn else STATUS_SECONDS
        ):
            self._send_status()

    def _count(self, now: float) -> None:
        counters = self._counters
        counters.turned_at = now
        counters.in_flight = self._producer.in_flight
        self._count_throttling()
        if not self._outstanding:
            counters.delivered_at = now

    def _count_throttling(self) -> None:
        self._counters.throttled_seconds = self._throttled_before_seconds + self._producer.throttled_seconds

    def _mark(self, now: float) -> None:
        if now - self._marked_at < MARK_SECONDS or len(self._outstanding) >= MARKS_OUTSTANDING_MAX:
            return
        reached_us = self._source_time.reached_us
        due = now >= self._heartbeat_at and reached_us > self._told_us
        if not due and self._boundary_lsn == self._marked_lsn:
            return
        if due:
            self._told_us = reached_us
            self._heartbeat_at = now + self._publishing.source.heartbeat_interval_seconds
        self._marked_at = now
        self._marked_lsn = self._boundary_lsn
        self._outstanding.append(_Outstanding(self._producer.mark(), self._boundary_lsn, reached_us if due else 0))

    def _tell_delivered(self) -> None:
        delivered = self._producer.delivered_mark()
        time_us = 0
        while self._outstanding and self._outstanding[0].mark <= delivered:
            done = self._outstanding.popleft()
            self._counters.delivered_at = time.monotonic()
            self._confirmed_lsn = self._counters.confirmed_lsn = done.lsn
            time_us = done.time_us or time_us
        if time_us:
            # Positions may already be newer than what the mark covered: that only makes readers wait a little longer.
            name = self._publishing.source.name
            value = encode_heartbeat(name, time_us, self._confirmed_lsn, self._producer.positions())
            self._producer.send(HEARTBEAT_TOPIC, name.encode(), value, READ_PARTITION)
            self._counters.heartbeats += 1
            self._counters.watermark_us = time_us
            self._tell_progress(time_us)

    def _tell_progress(self, time_us: int) -> None:
        now = time.monotonic()
        if now - self._progress_at >= PROGRESS_SECONDS:
            self._progress_at = now
            send_progress(self._producer, self._publishing.source.name, Progress(self._confirmed_lsn, time_us))

    def _send_status(self, *, reply: bool = False) -> None:
        self._status_at = time.monotonic()
        self._confirmed_sent_lsn = self._confirmed_lsn
        self._connection.send_status(self._received_lsn, self._confirmed_lsn, self._now_us(), reply=reply)

    def _finish(self) -> None:
        self._marked_at = 0.0
        self._mark(time.monotonic())
        self._producer.drain(FINISH_SECONDS_MAX)
        self._tell_delivered()
        self._producer.drain(FINISH_SECONDS_MAX)
        self._send_status()
        self._connection.end()
