"""How far the reader of a binlog is: what Kafka has acknowledged is told in heartbeats and kept as the place to go on from."""

from __future__ import annotations

import time
from collections import deque
from typing import Final, NamedTuple

from cdc.counters import ReaderCounters
from cdc.delivery import DeliveryProducer
from cdc.heartbeat import Probe, SourceTime, encode_heartbeat
from cdc.mysql_state import ReadMark, encode_mark, mark_key
from cdc.position import ROW_BITS
from cdc.topics import HEARTBEAT_TOPIC, READ_PARTITION, STATE_TOPIC
from trueup.settings import SourceSettings

MARK_SECONDS: Final = 0.01
MARKS_OUTSTANDING_MAX: Final = 1000
SAVE_SECONDS: Final = 0.5
"""How often the place is kept: after a crash, changes of about so long come again."""

FINISH_SECONDS_MAX: Final = 30.0


class _Outstanding(NamedTuple):
    """What holds once everything before `mark` is delivered: the place, and the time if it is not 0."""

    mark: int
    place: ReadMark
    time_us: int


class Progress:
    """Watches the delivery of what was sent.

    Args:
        source: that is read.
        producer: that everything is sent with.
        counters: that it is told to.
        at: the place that reading began at.
    """

    def __init__(
        self, source: SourceSettings, producer: DeliveryProducer, counters: ReaderCounters, at: ReadMark
    ) -> None:
        self._source = source
        self._producer = producer
        self._counters = counters
        self._throttled_before_seconds = counters.throttled_seconds
        self._source_time = SourceTime()
        self._outstanding: deque[_Outstanding] = deque()
        self.boundary = at
        """All transactions that end at or before it were sent whole."""

        self._marked = at
        self._confirmed = at
        self._saved = at
        self._told_us = 0
        self._marked_at = 0.0
        self._heartbeat_at = 0.0
        self._saved_at = 0.0

    def probed(self, probes: list[Probe]) -> None:
        """Take probes of the server."""
        for probe in probes:
            self._source_time.probed(probe)
            self._counters.source_answered_at = time.monotonic()
            self._counters.server_lsn = probe.lsn >> ROW_BITS

    def received(self, version: int) -> None:
        """Everything in the binlog before this position was received."""
        self._source_time.received(version)

    @property
    def reached_us(self) -> int:
        """Source time that was reached; 0 while nothing is known."""
        return self._source_time.reached_us

    def advance(self) -> None:
        """Mark what was sent, and tell what is delivered. Errors: UnavailableError when something was not."""
        now = time.monotonic()
        self._mark(now)
        self._tell_delivered()
        if self._confirmed is not self._saved and now - self._saved_at >= SAVE_SECONDS:
            self._save(now)
        counters = self._counters
        counters.turned_at = now
        counters.in_flight = self._producer.in_flight
        counters.throttled_seconds = self._throttled_before_seconds + self._producer.throttled_seconds
        if not self._outstanding:
            counters.delivered_at = now

    def finish(self) -> None:
        """Deliver what was sent and keep the place. Errors: UnavailableError."""
        self._marked_at = 0.0
        self._mark(time.monotonic())
        self._producer.drain(FINISH_SECONDS_MAX)
        self._tell_delivered()
        self._save(time.monotonic())
        self._producer.drain(FINISH_SECONDS_MAX)

    def _mark(self, now: float) -> None:
        if now - self._marked_at < MARK_SECONDS or len(self._outstanding) >= MARKS_OUTSTANDING_MAX:
            return
        reached_us = self._source_time.reached_us
        due = now >= self._heartbeat_at and reached_us > self._told_us
        if not due and self.boundary is self._marked:
            return
        if due:
            self._told_us = reached_us
            self._heartbeat_at = now + self._source.heartbeat_interval_seconds
        self._marked_at = now
        self._marked = self.boundary
        self._outstanding.append(_Outstanding(self._producer.mark(), self.boundary, reached_us if due else 0))

    def _tell_delivered(self) -> None:
        delivered = self._producer.delivered_mark()
        time_us = 0
        while self._outstanding and self._outstanding[0].mark <= delivered:
            done = self._outstanding.popleft()
            self._counters.delivered_at = time.monotonic()
            self._confirmed = done.place
            time_us = done.time_us or time_us
        version = self._confirmed.place.version
        self._counters.confirmed_lsn = version >> ROW_BITS
        if time_us:
            # Positions may already be newer than what the mark covered: that only makes readers wait a little longer.
            value = encode_heartbeat(self._source.name, time_us, version, self._producer.positions())
            self._producer.send(HEARTBEAT_TOPIC, self._source.name.encode(), value, READ_PARTITION)
            self._counters.heartbeats += 1
            self._counters.watermark_us = time_us

    def _save(self, now: float) -> None:
        self._saved_at = now
        self._saved = self._confirmed
        key = mark_key(self._source.name).encode()
        self._producer.send(STATE_TOPIC, key, encode_mark(self._confirmed), READ_PARTITION)
