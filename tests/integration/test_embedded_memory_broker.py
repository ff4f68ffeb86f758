"""The broker in memory on a real process: topics, both clients of the stack, and its stated limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import aiokafka
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from trueup.embedded.memory_broker import LIMITS, PARTITION_BYTES_MAX, PARTITION_MESSAGES_MAX, PARTITIONS, MemoryBroker
from trueup.embedded.runtime import State
from trueup.embedded.supervisor import Supervisor
from trueup.model.errors import TrueupError, UnavailableError

pytestmark = pytest.mark.integration

WAIT_SECONDS = 180.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[MemoryBroker]:
    broker = MemoryBroker(tmp_path, topics=("orders", "statement"))
    with pytest.raises(UnavailableError, match="not ready"):
        broker.bootstrap()
    supervisor = Supervisor(tmp_path, [broker.service()])
    supervisor.start()
    yield broker
    supervisor.stop()


def test_topics_are_there_with_one_partition_count(broker: MemoryBroker) -> None:
    client = AdminClient({"bootstrap.servers": broker.bootstrap()})
    topics = client.list_topics(timeout=WAIT_SECONDS).topics
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {
        "orders": PARTITIONS,
        "statement": PARTITIONS,
    }


def test_aiokafka_reads_in_a_group_what_confluent_kafka_wrote(broker: MemoryBroker) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap()})
    for number in range(100):
        producer.produce("orders", str(number).encode(), key=str(number).encode())
    assert producer.flush(WAIT_SECONDS) == 0

    async def read() -> tuple[list[bytes], int]:
        consumer = aiokafka.AIOKafkaConsumer(
            "orders", bootstrap_servers=broker.bootstrap(), group_id="readers", auto_offset_reset="earliest"
        )
        await consumer.start()
        values = [(await consumer.getone()).value for _ in range(100)]
        await consumer.commit()
        committed = sum([await consumer.committed(partition) for partition in consumer.assignment()])
        await consumer.stop()
        return values, committed

    values, committed = asyncio.run(asyncio.wait_for(read(), WAIT_SECONDS))
    assert sorted(values, key=int) == [str(number).encode() for number in range(100)]
    assert committed == 100


def test_it_drops_the_oldest_past_its_stated_limit(broker: MemoryBroker) -> None:
    message_bytes = 10_000
    count = 2 * PARTITION_BYTES_MAX // message_bytes
    producer = Producer({"bootstrap.servers": broker.bootstrap()})
    for _ in range(count):
        producer.produce("orders", bytes(message_bytes), partition=0)
        producer.poll(0)
    assert producer.flush(WAIT_SECONDS) == 0
    consumer = Consumer({"bootstrap.servers": broker.bootstrap(), "group.id": "limits"})
    oldest, newest = consumer.get_watermark_offsets(TopicPartition("orders", 0), timeout=WAIT_SECONDS)
    consumer.close()
    assert newest == count
    assert 0.5 * PARTITION_BYTES_MAX <= (newest - oldest) * message_bytes <= 1.5 * PARTITION_BYTES_MAX
    assert "5 MB" in LIMITS
    assert f"{PARTITION_MESSAGES_MAX:,}" in LIMITS


def test_its_death_is_told_and_not_papered_over(tmp_path: Path) -> None:
    broker = MemoryBroker(tmp_path)
    supervisor = Supervisor(tmp_path, [broker.service()])
    supervisor.start()
    try:
        supervisor.kill("memory-broker")
        deadline = time.monotonic() + WAIT_SECONDS
        while supervisor.states()[0].state is not State.FAILED and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(TrueupError, match="memory-broker ended with SIGKILL"):
            supervisor.wait_ready(WAIT_SECONDS)
    finally:
        supervisor.stop()
