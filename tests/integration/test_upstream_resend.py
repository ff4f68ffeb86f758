"""Events that are sent again on a real broker: the same bytes, in the same partitions, in another order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from trueup.embedded.kafka.broker import Kafka
from trueup.embedded.ports import free_port
from trueup.embedded.supervisor import Supervisor
from trueup.model.errors import UnavailableError
from trueup.upstream.traps import resend

pytestmark = pytest.mark.integration

WAIT_SECONDS = 180.0
ROWS = 40
VERSIONS = 5


class Event(NamedTuple):
    partition: int
    key: bytes
    value: bytes
    header: bytes


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    broker = Kafka(tmp_path_factory.mktemp("kafka"), free_port(), free_port())
    supervisor = Supervisor(broker.data_dir, [broker.service()])
    supervisor.start()
    yield broker.bootstrap
    supervisor.stop()


def fill(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, 2, 1)]).values():
        future.result(WAIT_SECONDS)
    producer = Producer({"bootstrap.servers": bootstrap})
    for version in range(VERSIONS):
        for row in range(ROWS):
            producer.produce(topic, f"{version:03}", f"{row}", row % 2, headers=[("source", b"settlement")])
    assert producer.flush(WAIT_SECONDS) == 0


def read(bootstrap: str, topic: str) -> list[Event]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"})
    expected = 0
    for partition in range(2):
        offsets = consumer.get_watermark_offsets(TopicPartition(topic, partition), WAIT_SECONDS)
        assert offsets is not None
        expected += offsets[1]
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(2)])
    events: list[Event] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while len(events) < expected and time.monotonic() < deadline:
        for message in consumer.consume(500, 0.5):
            assert message.error() is None
            headers = dict(message.headers() or [])
            header, key, value, place = headers["source"], message.key(), message.value(), message.partition()
            assert isinstance(header, bytes)
            assert isinstance(key, bytes)
            assert isinstance(value, bytes)
            assert place is not None
            events.append(Event(place, key, value, header))
    consumer.close()
    return events


def test_copies_follow_their_originals_in_another_order(bootstrap: str) -> None:
    fill(bootstrap, "orders")
    originals = Counter(read(bootstrap, "orders"))
    assert resend(bootstrap, ["orders"], seed=4, count=10_000) == ROWS * VERSIONS
    everything = read(bootstrap, "orders")
    assert Counter(everything) == originals + originals
    older_after_newer = 0
    for row in range(ROWS):
        versions = [event.value for event in everything if event.key == str(row).encode()]
        assert versions[:VERSIONS] == sorted(versions[:VERSIONS])
        older_after_newer += versions[VERSIONS:] != sorted(versions[VERSIONS:])
    assert older_after_newer > ROWS / 2


def test_a_seed_decides_the_sample(bootstrap: str) -> None:
    samples = []
    for topic in ("first", "second"):
        fill(bootstrap, topic)
        assert resend(bootstrap, [topic], seed=4, count=50) == 50
        events = read(bootstrap, topic)
        assert len(events) == ROWS * VERSIONS + 50
        samples.append(Counter(events) - Counter(set(events)))
    assert samples[0] == samples[1]
    assert samples[0].total() == 50


def test_what_cannot_be_read_is_told(bootstrap: str) -> None:
    with pytest.raises(UnavailableError, match="cannot be read"):
        resend(bootstrap, ["no-such-topic"], seed=1, count=1)
