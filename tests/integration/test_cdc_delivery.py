"""Topics and the producer on a real broker, and on the one in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import kafka.partitioner
import pytest

from cdc.delivery import QUEUED_MESSAGES_MAX, DeliveryProducer, end_offsets
from cdc.topics import TopicPlan, TopicSpec, ensure_topics
from tests.integration.cdc_stack import read_topics
from trueup.embedded.kafka.broker import Kafka
from trueup.embedded.memory_broker import PARTITIONS, MemoryBroker
from trueup.embedded.ports import free_port
from trueup.embedded.supervisor import Supervisor
from trueup.model.errors import ConfigurationError, InvalidRecord, UnavailableError

pytestmark = pytest.mark.integration

DRAIN_SECONDS = 180.0


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Supervisor, str]]:
    broker = Kafka(tmp_path_factory.mktemp("delivery"), free_port(), free_port())
    supervisor = Supervisor(broker.data_dir, [broker.service()])
    supervisor.start()
    yield supervisor, broker.bootstrap
    supervisor.stop()


@pytest.fixture
def bootstrap(supervisor: tuple[Supervisor, str]) -> str:
    return supervisor[1]


def fill(producer: DeliveryProducer, topic: str) -> None:
    """Send more than the queue holds."""
    for _ in range(2 * QUEUED_MESSAGES_MAX):
        producer.send(topic, b"key", bytes(1000))


def make(bootstrap: str, *names: str, partitions: int = 3) -> None:
    ensure_topics(bootstrap, TopicPlan(tuple(TopicSpec(name, partitions) for name in names)))


def test_topics_are_made_once(bootstrap: str) -> None:
    plan = TopicPlan((TopicSpec("made-a", 3, {"retention.ms": "1000"}), TopicSpec("made-b", 1)))
    assert ensure_topics(bootstrap, plan) == {"made-a": 3, "made-b": 1}
    assert ensure_topics(bootstrap, plan) == {"made-a": 3, "made-b": 1}


def test_topics_are_made_by_several_at_the_same_time(bootstrap: str) -> None:
    plan = TopicPlan(tuple(TopicSpec(f"raced-{number}", 2) for number in range(20)))
    found: list[dict[str, int]] = []
    threads = [threading.Thread(target=lambda: found.append(ensure_topics(bootstrap, plan))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{f"raced-{number}": 2 for number in range(20)}] * 4


def test_another_partition_count_is_an_error(bootstrap: str) -> None:
    make(bootstrap, "counted", partitions=3)
    with pytest.raises(ConfigurationError, match="topic counted has 3 partitions, but 4 are set"):
        make(bootstrap, "counted", partitions=4)


def test_no_broker_is_an_outage() -> None:
    with pytest.raises(UnavailableError, match="the broker does not answer"):
        end_offsets(f"127.0.0.1:{free_port()}", ["any"])


def test_positions_follow_what_is_delivered(bootstrap: str) -> None:
    make(bootstrap, "placed")
    first = DeliveryProducer(bootstrap, ["placed"])
    assert first.positions() == {"placed": [0, 0, 0]}
    for number in range(1000):
        first.send("placed", b"%d" % number, b"value")
    first.drain(DRAIN_SECONDS)
    assert first.in_flight == 0
    positions = first.positions()["placed"]
    assert positions == end_offsets(bootstrap, ["placed"])["placed"]
    assert sum(positions) == 1000
    first.close()
    second = DeliveryProducer(bootstrap, ["placed"])
    second.send("placed", None, None, partition=1)
    second.drain(DRAIN_SECONDS)
    assert second.positions()["placed"] == [positions[0], positions[1] + 1, positions[2]]
    second.close()


def test_keys_go_where_the_jvm_clients_put_them(bootstrap: str) -> None:
    make(bootstrap, "keyed", partitions=8)
    producer = DeliveryProducer(bootstrap)
    for number in range(200):
        producer.send("keyed", b'{"order_id":%d}' % number, b"", headers=[("topic", b"a"), ("code", b"b")])
    producer.drain(DRAIN_SECONDS)
    producer.close()
    messages = read_topics(bootstrap, ("keyed",))
    assert len(messages) == 200
    assert [m.partition for m in messages] == [(kafka.partitioner.murmur2(m.key) & 0x7FFF_FFFF) % 8 for m in messages]
    assert {tuple(message.headers.items()) for message in messages} == {(("topic", "a"), ("code", "b"))}


def test_a_mark_is_reached_when_everything_before_it_is_delivered(bootstrap: str) -> None:
    make(bootstrap, "marked")
    producer = DeliveryProducer(bootstrap)
    assert producer.mark() == producer.delivered_mark() == 0
    marks = []
    for _ in range(3):
        for number in range(500):
            producer.send("marked", b"%d" % number, b"value")
        marks.append(producer.mark())
    assert producer.mark() == marks[-1]
    producer.drain(DRAIN_SECONDS)
    assert marks == [1, 2, 3]
    assert producer.delivered_mark() == 3
    producer.close()


def test_several_threads_may_drain(bootstrap: str) -> None:
    make(bootstrap, "shared")
    producer = DeliveryProducer(bootstrap, ["shared"])
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for _ in range(20):
                for _ in range(50):
                    producer.send("shared", b"%d" % number, b"value")
                producer.drain(DRAIN_SECONDS)
        except UnavailableError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(producer.positions()["shared"]) == 4000
    producer.close()


def test_a_failed_delivery_is_told_to_everybody_from_then_on(bootstrap: str) -> None:
    make(bootstrap, "failing")
    producer = DeliveryProducer(bootstrap)
    producer.send("failing", b"key", b"value", partition=99)
    with pytest.raises(UnavailableError, match="failing"):
        producer.drain(DRAIN_SECONDS)
    with pytest.raises(UnavailableError, match="failing"):
        producer.send("failing", b"key", b"value")
    with pytest.raises(UnavailableError, match="failing"):
        producer.drain(DRAIN_SECONDS)
    producer.close()


def test_a_message_that_is_too_large_is_refused_and_the_next_one_is_not(bootstrap: str) -> None:
    make(bootstrap, "large")
    producer = DeliveryProducer(bootstrap, ["large"])
    with pytest.raises(InvalidRecord) as caught:
        producer.send("large", b"key", bytes(2_000_000))
    assert caught.value.code == "too-large"
    producer.send("large", b"key", bytes(900_000))
    producer.drain(DRAIN_SECONDS)
    assert sum(producer.positions()["large"]) == 1
    producer.close()


def test_a_broker_that_stands_still_is_waited_for_within_bounds(supervisor: tuple[Supervisor, str]) -> None:
    service, bootstrap = supervisor
    make(bootstrap, "still")
    producer = DeliveryProducer(bootstrap, ["still"], send_wait_seconds_max=1.0)
    waited: list[int] = []
    producer.while_waiting = lambda: waited.append(1)
    producer.send("still", b"key", b"value")
    producer.drain(DRAIN_SECONDS)
    service.pause("kafka")
    try:
        producer.send("still", b"key", b"value")
        with pytest.raises(UnavailableError, match=r"1 messages were not delivered within 0\.5 s"):
            producer.drain(0.5)
        with pytest.raises(UnavailableError, match="too slow for topic still: the queue is full"):
            fill(producer, "still")
        assert waited
    finally:
        service.resume("kafka")
    producer.drain(DRAIN_SECONDS)
    assert sum(producer.positions()["still"]) > 1000
    producer.close()


def test_the_broker_in_memory(tmp_path: Path) -> None:
    broker = MemoryBroker(tmp_path)
    supervisor = Supervisor(tmp_path, [broker.service()])
    supervisor.start()
    try:
        bootstrap = broker.bootstrap()
        plan = TopicPlan((TopicSpec("asked", 8),))
        assert ensure_topics(bootstrap, plan, created_by_asking=True) == {"asked": PARTITIONS}
        producer = DeliveryProducer(bootstrap, ["asked"])
        for number in range(100):
            producer.send("asked", b"%d" % number, b"value")
        producer.drain(DRAIN_SECONDS)
        assert sum(producer.positions()["asked"]) == 100
        assert producer.positions() == end_offsets(bootstrap, ["asked"])
        producer.close()
    finally:
        supervisor.stop()
