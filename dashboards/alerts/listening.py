"""Reads the discrepancy topics for alerts. How far is kept beside what followed from it, and told to Kafka afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog
from confluent_kafka import OFFSET_STORED, Consumer, KafkaError, KafkaException, Message, TopicPartition

from dashboards.alerts.intake import Incoming
from reconcile.cases.verdicts import CLASSES
from streams.messages import DISCREPANCY_PREFIX
from trueup.model.errors import UnavailableError

GROUP: Final = "trueup-alerts"
TOPICS: Final = tuple(DISCREPANCY_PREFIX + kind for kind in sorted(CLASSES))
RECORDS_MAX: Final = 500
LAG_SECONDS_MAX: Final = 2.0
METADATA_SECONDS_MAX: Final = 10.0

_log = structlog.get_logger()

Offsets = Callable[[], dict[tuple[str, int], int]]


class Listener:
    """A consumer of all partitions of the discrepancy topics, which tells its group how far it is; for one thread.

    Only one process sends alerts, so it takes the partitions itself: a process that is started again after a crash does not
    wait until the group has noticed. It goes on from where the small database says; a partition that is not known there starts
    at what was told to Kafka, or at the beginning, so that the first start tells what stands open.

    Args:
        bootstrap: address of the broker.
        offsets: (topic, partition) → where to go on, read when the partitions are taken.
    """

    def __init__(self, bootstrap: str, offsets: Offsets) -> None:
        self._bootstrap = bootstrap
        self._offsets = offsets
        self._is_assigned = False
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": GROUP,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "error_cb": self._on_error,
                "log_level": 0,  # what goes wrong comes to error_cb
            }
        )

    def poll(self, wait_seconds: float) -> list[Incoming]:
        """The next messages. Errors: UnavailableError."""
        try:
            if not self._is_assigned:
                self._take_partitions()
            messages = self._consumer.consume(RECORDS_MAX, wait_seconds)
        except KafkaException as error:
            raise UnavailableError(f"the topics cannot be read: {error.args[0]}", where=self._bootstrap) from error
        return [_incoming(message) for message in messages if not self._is_error(message)]

    def told(self, messages: Sequence[Incoming]) -> None:
        """Tell Kafka that these were taken in; whether that arrives matters only to who watches the lag."""
        ends: dict[tuple[str, int], int] = {}
        for one in messages:
            ends[(one.topic, one.partition)] = max(ends.get((one.topic, one.partition), 0), one.offset + 1)
        if ends:
            offsets = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def lag_records(self) -> int:
        """Records that wait, as far as the broker has told their ends."""
        lag = 0
        for place in self._consumer.position(self._consumer.assignment()):
            _, end = self._consumer.get_watermark_offsets(place, timeout=LAG_SECONDS_MAX, cached=True)
            if place.offset >= 0 and end >= 0:
                lag += max(0, end - place.offset)
        return lag

    def close(self) -> None:
        """Free the connections."""
        self._consumer.close()

    def _take_partitions(self) -> None:
        known = self._offsets()
        places = []
        for topic in TOPICS:
            found = self._consumer.list_topics(topic, timeout=METADATA_SECONDS_MAX).topics[topic]
            if found.error is not None or not found.partitions:
                raise UnavailableError(f"the topic {topic} is not there yet", where=self._bootstrap)
            places += [
                TopicPartition(topic, partition, known.get((topic, partition), OFFSET_STORED))
                for partition in found.partitions
            ]
        self._consumer.assign(places)
        self._is_assigned = True

    def _is_error(self, message: Message) -> bool:
        error: KafkaError | None = message.error()
        if error is None:
            return False
        if error.fatal() or not (error.retriable() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART):
            raise UnavailableError(f"the topics cannot be read: {error.str()}", where=self._bootstrap)
        return True

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            _log.warning("broker_unreachable", where=self._bootstrap)


def _incoming(message: Message) -> Incoming:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Incoming(topic, partition, offset, message.key(), message.value())
