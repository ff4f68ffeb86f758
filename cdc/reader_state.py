"""What a reader keeps beside its messages in `trueup.cdc-state`: one value per key, gone with the broker's data."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from cdc.delivery import DeliveryProducer
from cdc.topics import READ_PARTITION, STATE_TOPIC
from trueup.model.errors import UnavailableError

READ_STATE_SECONDS_MAX: Final = 30.0
READ_STATE_POLL_SECONDS: Final = 0.5
DELIVERY_SECONDS_MAX: Final = 120.0


def read_state(bootstrap: str, key: str) -> bytes | None:
    """The newest value of a key; None where there is none.

    Raises:
        UnavailableError: the broker does not answer.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "trueup-cdc-state",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
    )
    found: bytes | None = None
    try:
        consumer.assign([TopicPartition(STATE_TOPIC, READ_PARTITION, OFFSET_BEGINNING)])
        deadline = time.monotonic() + READ_STATE_SECONDS_MAX
        while time.monotonic() < deadline:
            message = consumer.poll(READ_STATE_POLL_SECONDS)
            if message is None:
                continue
            error = message.error()
            if error is None:
                if message.key() == key.encode():
                    found = message.value()
            elif error.code() == KafkaError._PARTITION_EOF:
                return found
        raise UnavailableError(f"topic {STATE_TOPIC} cannot be read to its end", where=bootstrap)
    except KafkaException as error:
        raise UnavailableError(f"topic {STATE_TOPIC} cannot be read: {error.args[0]}", where=bootstrap) from error
    finally:
        consumer.close()


def write_state(producer: DeliveryProducer, key: str, value: bytes) -> None:
    """Make a value durable, after everything that was sent before. Errors: UnavailableError."""
    producer.drain(DELIVERY_SECONDS_MAX)
    producer.send(STATE_TOPIC, key.encode(), value, READ_PARTITION)
    producer.drain(DELIVERY_SECONDS_MAX)
