"""Reads the heartbeat topic: every worker reads all of it, from the start of its retention, outside the group."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from cdc.message_batches import poll_batch
from cdc.topics import HEARTBEAT_TOPIC, READ_PARTITION
from streams.watermark import Heartbeat, decode_heartbeat
from trueup.model.errors import InvalidRecord

POLL_SECONDS: Final = 0.5
BATCH_MAX: Final = 1000
ANSWER_SECONDS: Final = 2.0
"""How long the broker may take to tell where the topic ends, when no heartbeat comes."""

_log = structlog.get_logger()


class HeartbeatReader(threading.Thread):
    """Hands every heartbeat to `deliver`, in order, from a thread of its own."""

    def __init__(self, bootstrap: str, deliver: Callable[[list[Heartbeat]], None]) -> None:
        super().__init__(name="heartbeats", daemon=True)
        self._servers = bootstrap
        self._deliver = deliver
        self._stopping = threading.Event()
        self.refused = 0
        self.answered = True
        """Whether the broker answers; known within a few seconds."""

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping.set()

    def run(self) -> None:
        """Poll until stopped; broker outages are librdkafka's to retry."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": "trueup-heartbeats",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": 16_384,
                "allow.auto.create.topics": True,
            }
        )
        consumer.assign([TopicPartition(HEARTBEAT_TOPIC, READ_PARTITION, OFFSET_BEGINNING)])
        try:
            while not self._stopping.is_set():
                heartbeats = []
                messages = poll_batch(consumer, BATCH_MAX, POLL_SECONDS)
                # Silence may be the source's or the broker's: only the broker's makes the worker unready.
                self.answered = any(message.error() is None for message in messages) or _answers(consumer)
                for message in messages:
                    if message.error() is not None:
                        _log.debug("heartbeats_interrupted", error=str(message.error()))
                        continue
                    try:
                        heartbeats.append(decode_heartbeat(message.value()))
                    except InvalidRecord as error:
                        self.refused += 1
                        _log.warning("heartbeat_refused", error=str(error))
                if heartbeats:
                    self._deliver(heartbeats)
        except KafkaException as error:
            _log.error("heartbeats_ended", error=str(error))
            raise
        finally:
            consumer.close()


def _answers(consumer: Consumer) -> bool:
    try:
        consumer.get_watermark_offsets(TopicPartition(HEARTBEAT_TOPIC, READ_PARTITION), ANSWER_SECONDS, cached=False)
    except KafkaException:
        return False
    return True
