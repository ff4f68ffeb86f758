"""The embedded Kafka on a real process: the three clients, kill -9, restart on another port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import aiokafka
import aiokafka.admin
import kafka
import kafka.admin
import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from trueup.embedded.kafka.broker import Kafka
from trueup.embedded.ports import free_port
from trueup.embedded.service import Backoff
from trueup.embedded.supervisor import Supervisor

pytestmark = pytest.mark.integration

MESSAGES = [str(number).encode() for number in range(50)]
WAIT_SECONDS = 180.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Kafka:
    return Kafka(tmp_path_factory.mktemp("kafka"), free_port(), free_port())


@pytest.fixture(scope="module")
def supervisor(broker: Kafka) -> Iterator[Supervisor]:
    supervisor = Supervisor(broker.data_dir, [broker.service()], backoff=Backoff(first_seconds=0.1))
    supervisor.start()
    yield supervisor
    supervisor.stop()


def create_topic(broker: Kafka, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.create_topics([NewTopic(topic, 2, 1)]).values():
        future.result(WAIT_SECONDS)


def produce(broker: Kafka, topic: str) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": "all", "enable.idempotence": True})
    for message in MESSAGES:
        producer.produce(topic, message, key=message)
    assert producer.flush(WAIT_SECONDS) == 0


def consume(broker: Kafka, topic: str, group: str) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    values: list[bytes] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while len(values) < len(MESSAGES) and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            value = message.value()
            assert isinstance(value, bytes)
            values.append(value)
    consumer.commit(asynchronous=False)
    consumer.close()
    return sorted(values, key=int)


def test_confluent_kafka(broker: Kafka, supervisor: Supervisor) -> None:
    create_topic(broker, "confluent")
    produce(broker, "confluent")
    assert consume(broker, "confluent", "confluent") == MESSAGES


def test_kafka_python(broker: Kafka, supervisor: Supervisor) -> None:
    admin = kafka.admin.KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.create_topics([kafka.admin.NewTopic("python", 2, 1)])
    admin.close()
    producer = kafka.KafkaProducer(bootstrap_servers=broker.bootstrap)
    for future in [producer.send("python", message) for message in MESSAGES]:
        future.get(WAIT_SECONDS)
    producer.close()
    consumer = kafka.KafkaConsumer(
        "python",
        bootstrap_servers=broker.bootstrap,
        group_id="python",
        auto_offset_reset="earliest",
        consumer_timeout_ms=WAIT_SECONDS * 1000,
    )
    values = [message.value for _, message in zip(MESSAGES, consumer, strict=False)]
    consumer.commit()
    consumer.close()
    assert sorted(values, key=int) == MESSAGES


def test_aiokafka(broker: Kafka, supervisor: Supervisor) -> None:
    async def round_trip() -> list[bytes]:
        admin = aiokafka.admin.AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_topics([aiokafka.admin.NewTopic("aio", 2, 1)])
        await admin.close()
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
        await producer.start()
        for message in MESSAGES:
            await producer.send_and_wait("aio", message)
        await producer.stop()
        consumer = aiokafka.AIOKafkaConsumer(
            "aio", bootstrap_servers=broker.bootstrap, group_id="aio", auto_offset_reset="earliest"
        )
        await consumer.start()
        values = [(await consumer.getone()).value for _ in MESSAGES]
        await consumer.commit()
        await consumer.stop()
        return values

    values = asyncio.run(asyncio.wait_for(round_trip(), WAIT_SECONDS))
    assert sorted(values, key=int) == MESSAGES


def test_topics_are_not_made_by_asking_for_them(broker: Kafka, supervisor: Supervisor) -> None:
    client = AdminClient({"bootstrap.servers": broker.bootstrap})
    assert client.list_topics("absent", timeout=WAIT_SECONDS).topics["absent"].error is not None
    with pytest.raises(KafkaException, match="UNKNOWN_TOPIC_OR_PART"):
        client.delete_topics(["absent"])["absent"].result(WAIT_SECONDS)


def test_it_listens_on_loopback_only(broker: Kafka, supervisor: Supervisor) -> None:
    pid = supervisor.states()[0].pid
    assert pid is not None
    listeners = {
        each.laddr.port: each.laddr.ip.removeprefix("::ffff:")
        for each in psutil.Process(pid).net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    }
    assert listeners == {broker.port: "127.0.0.1", broker.controller_port: "127.0.0.1"}


def test_acknowledged_messages_survive_a_kill_and_a_move_to_another_port(tmp_path: Path) -> None:
    broker = Kafka(tmp_path, free_port(), free_port())
    supervisor = Supervisor(tmp_path, [broker.service()], backoff=Backoff(first_seconds=0.1))
    supervisor.start()
    try:
        create_topic(broker, "kept")
        produce(broker, "kept")
        first = supervisor.states()[0].pid
        supervisor.kill("kafka")
        deadline = time.monotonic() + WAIT_SECONDS
        while supervisor.states()[0].pid in (None, first) and time.monotonic() < deadline:
            time.sleep(0.05)
        supervisor.wait_ready(WAIT_SECONDS)
        assert consume(broker, "kept", "first") == MESSAGES
    finally:
        supervisor.stop()
    moved = Kafka(tmp_path, free_port(), free_port())
    supervisor = Supervisor(tmp_path, [moved.service()])
    supervisor.start()
    try:
        assert consume(moved, "kept", "second") == MESSAGES
    finally:
        supervisor.stop()
