"""Every worker holds the reference tables whole: a thread reads their topics from the start, outside the group.

A verdict on what was agreed needs every version up to the commit it is about; the tables have a watermark of their own,
by the same heartbeats as the stages, and a statement is judged only when it has been passed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import orjson
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from cdc.decode import ChangeDecoder
from cdc.flattened import as_envelope, is_flattened
from cdc.message_batches import poll_batch
from reconcile.reference_books import ReferenceBooks
from streams.completion import refusal
from streams.watermark import Heartbeat, SourceClock
from trueup.model.change import Change, Incomplete, Truncation
from trueup.model.errors import InvalidRecord

POLL_SECONDS: Final = 0.5
BATCH_MAX: Final = 5_000
REQUEST_SECONDS: Final = 5.0

_log = structlog.get_logger()


class ReferenceRecord(NamedTuple):
    """What one message, or the start of a log, tells: the offset that comes next, and what it said of the table's rows."""

    topic: str
    partition: int
    next_offset: int
    change: Change | Truncation | None
    copied: bool


class References:
    """The reference tables as far as they have been read, and how far in source time that is."""

    def __init__(self, topics: Sequence[str], sources: Sequence[str], partition_count: int) -> None:
        self.books = ReferenceBooks()
        self.watermark_us = 0
        self._topics = tuple(topics)
        self._clock = SourceClock(sources)
        self._ends: list[dict[str, int]] = [{} for _ in range(partition_count)]

    @property
    def partition_count(self) -> int:
        """Partitions of each topic."""
        return len(self._ends)

    def take(self, records: Iterable[ReferenceRecord]) -> None:
        """Add what was read."""
        for record in records:
            ends = self._ends[record.partition]
            ends[record.topic] = max(ends.get(record.topic, 0), record.next_offset)
            if isinstance(record.change, Truncation):
                # Whether it was sent to one partition or to all: the worker holds the table whole.
                self.books.truncate(record.change)
            elif record.change is not None:
                self.books.take(record.change, copied=record.copied)
        self._advance()

    def hear(self, heartbeats: Iterable[Heartbeat]) -> None:
        """Take heartbeats of the sources."""
        for heartbeat in heartbeats:
            self._clock.add(heartbeat)
        self._advance()

    def _advance(self) -> None:
        """To the lowest watermark of all partitions."""
        reached = (self._clock.watermark_us(number, self._topics, ends) for number, ends in enumerate(self._ends))
        self.watermark_us = max(self.watermark_us, min(reached))
        self._clock.forget_before(self.watermark_us)


class ReferenceReader(threading.Thread):
    """Hands everything on the topics to `deliver`, from a thread of its own; `fail` ends the worker.

    Args:
        decoders: topic → decoder.
    """

    def __init__(
        self,
        bootstrap: str,
        decoders: Mapping[str, ChangeDecoder],
        partition_count: int,
        deliver: Callable[[list[ReferenceRecord]], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        super().__init__(name="references", daemon=True)
        self._servers = bootstrap
        self._decoders = decoders
        self._places = [(topic, number) for topic in decoders for number in range(partition_count)]
        self._deliver = deliver
        self._fail = fail
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping.set()

    def run(self) -> None:
        """Poll until stopped; broker outages are librdkafka's to retry."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": "trueup-references",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": 16_384,
                "allow.auto.create.topics": True,
            }
        )
        try:
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in self._places])
            starts = self._starts(consumer)
            if starts:
                self._deliver(starts)
            while not self._stopping.is_set():
                records = [
                    self._record(message)
                    for message in poll_batch(consumer, BATCH_MAX, POLL_SECONDS)
                    if message.error() is None
                ]
                if records:
                    self._deliver(records)
        except Exception as error:  # noqa: BLE001 - a thread has no caller: its failure must end the worker
            self._fail(error)
        finally:
            consumer.close()

    def _starts(self, consumer: Consumer) -> list[ReferenceRecord]:
        """Where the logs start: a log that lost its beginning would otherwise never count as read."""
        starts = []
        for topic, number in self._places:
            while not self._stopping.is_set():
                try:
                    low, _high = consumer.get_watermark_offsets(TopicPartition(topic, number), REQUEST_SECONDS)
                except KafkaException as error:
                    _log.debug("references_wait", topic=topic, partition=number, error=str(error))
                    self._stopping.wait(POLL_SECONDS)
                else:
                    starts.append(ReferenceRecord(topic, number, low, None, copied=False))
                    break
        return starts

    def _record(self, message: Message) -> ReferenceRecord:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        value = message.value()
        change: Change | Truncation | None = None
        try:
            decoded = self._decoders[topic].decode(value, partition, offset)
            if isinstance(decoded, Incomplete):
                raise refusal(decoded)
            change = decoded
        except InvalidRecord as error:
            # The mirrors quarantine the same record with its bytes.
            _log.warning("reference_refused", topic=topic, partition=partition, offset=offset, error=str(error))
        copied = isinstance(change, Change) and is_copied(value or b"")
        return ReferenceRecord(topic, partition, offset + 1, change, copied)


def is_copied(envelope: bytes) -> bool:
    """Whether a change event that can be decoded comes from a first copy of its source (op `r`)."""
    fields = orjson.loads(envelope)
    fields = fields.get("payload", fields)
    return bool((as_envelope(fields) if is_flattened(fields) else fields)["op"] == "r")
