"""Source time where Debezium reads: what the server's clock said is reached once Connect has committed a position behind it.

Connect commits only what the broker has acknowledged, so everything below a committed position stands in Kafka.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from cdc.connect_offsets import Committed
from cdc.counters import Phase, ReaderCounters
from cdc.delivery import DeliveryProducer, EndOffsets
from cdc.heartbeat import SourceTime, encode_heartbeat
from cdc.probe_clock import ProbeClock
from cdc.topics import HEARTBEAT_TOPIC, READ_PARTITION

NUDGE_SECONDS: Final = 0.3
DELIVERY_SECONDS_MAX: Final = 30.0


class SourceTimeTeller:
    """Turns probes and the connector's commits into heartbeats.

    Args:
        source_name: tells the source's heartbeats.
        producer: takes the heartbeats.
        ends: of the source's topics.
        counters: counted in.
        nudge: gives the connector something to read.
        position_bits: how many low bits of a position count less than a byte of the log.
    """

    def __init__(
        self,
        source_name: str,
        producer: DeliveryProducer,
        ends: EndOffsets,
        counters: ReaderCounters,
        nudge: Callable[[], object],
        position_bits: int = 0,
    ) -> None:
        self._source_name = source_name
        self._nudge = nudge
        self._position_bits = position_bits
        self._committed = 0
        self._producer = producer
        self._ends = ends
        self._counters = counters
        self._source_time = SourceTime()
        self._told_us = 0
        self._moved_at = 0.0

    def turn(self, clock: ProbeClock, trouble: str, committed: Committed | None) -> None:
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
            counters.server_lsn = probe.lsn >> self._position_bits
        counters.connector_trouble(trouble)
        counters.delivered_at = time.monotonic()
        if trouble:
            return
        if committed is not None:
            counters.phase = Phase.SNAPSHOT if committed.copying else Phase.STREAMING
            if committed.lsn > self._committed:
                self._moved_at = time.monotonic()
            self._committed = committed.lsn
            counters.confirmed_lsn = committed.lsn >> self._position_bits
            self._source_time.received(committed.lsn)
        if self._source_time.reached_us > self._told_us:
            self._tell(self._source_time.reached_us)
        if self._source_time.waiting and time.monotonic() - self._moved_at >= NUDGE_SECONDS:
            # While the tables rest nothing reaches the connector: this gives its position something to move to.
            self._moved_at = time.monotonic()
            self._nudge()

    def _tell(self, time_us: int) -> None:
        """Send the heartbeat. The ends are asked for after the commit was seen, so what it covers stands below them."""
        counters = self._counters
        value = encode_heartbeat(self._source_name, time_us, self._committed, self._ends.now())
        self._producer.send(HEARTBEAT_TOPIC, self._source_name.encode(), value, READ_PARTITION)
        self._producer.drain(DELIVERY_SECONDS_MAX)
        self._told_us = counters.watermark_us = time_us
        counters.heartbeats += 1
