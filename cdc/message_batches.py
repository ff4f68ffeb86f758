"""Reading Kafka in batches without waiting for a batch to fill."""

from __future__ import annotations

from confluent_kafka import Consumer, Message


def poll_batch(consumer: Consumer, messages_max: int, timeout_seconds: float) -> list[Message]:
    """Messages that are there, or the first ones that come within the timeout; empty after it.

    `Consumer.consume` alone returns only when it has as many as asked for or the time is over.
    """
    first = consumer.poll(timeout_seconds)
    return [] if first is None else [first, *consumer.consume(messages_max - 1, 0)]
