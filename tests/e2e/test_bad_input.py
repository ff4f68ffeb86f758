"""What no source should send, sent to the source topics beside a running workload: refused one by one, the rest goes on."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError, Message, Producer

from cdc.topics import QUARANTINE_TOPIC, source_topic
from tests.e2e.bad_messages import ITEM, ORDER, STATEMENT, BadMessage, bad_messages, envelope
from tests.e2e.books import assert_books_agree
from tests.e2e.rig import Rig, new_seed, running_rig
from tests.integration.cdc_stack import read_topics

pytestmark = [pytest.mark.integration, pytest.mark.slow]

Place = tuple[str, int, int]
DELIVERY_SECONDS = 120.0

BIGGEST = "9" * 23 + ".99"
"""The largest amount in USD that is let in."""


def topic_of(rig: Rig, table: str) -> str:
    return source_topic(rig.settings.source.name, rig.settings.source.schema_name, table)


def send(rig: Rig, messages: list[tuple[str, int, bytes | None]]) -> list[Place]:
    """Send (topic, partition, value), in order; where each of them stands."""
    places: dict[int, Place] = {}

    def note(number: int, error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        places[number] = (topic, partition, offset)

    producer = Producer({"bootstrap.servers": rig.settings.kafka.bootstrap, "enable.idempotence": True})
    for number, (topic, partition, value) in enumerate(messages):
        producer.produce(topic, value, b"bad", partition, on_delivery=partial(note, number))
    assert producer.flush(DELIVERY_SECONDS) == 0
    return [places[number] for number in range(len(messages))]


def send_bad(rig: Rig, rng: random.Random) -> dict[Place, BadMessage]:
    """Every bad message in a random partition, with tombstones between them."""
    bad = bad_messages()
    rng.shuffle(bad)
    partitions = rig.settings.kafka.partitions
    messages: list[tuple[str, int, bytes | None]] = []
    for one in bad:
        messages.append((topic_of(rig, one.table), rng.randrange(partitions), one.value))
        messages.append((topic_of(rig, one.table), rng.randrange(partitions), None))
    return dict(zip(send(rig, messages)[::2], bad, strict=True))


def quarantined_in_table(rig: Rig) -> dict[Place, tuple[str, bytes]]:
    rows = rig.query(
        "SELECT topic, kafka_partition, kafka_offset, code, hex(value), key FROM {db}.quarantine FINAL ORDER BY ALL"
    )
    assert {row[5] for row in rows} <= {"bad"}
    return {(str(row[0]), _int(row[1]), _int(row[2])): (str(row[3]), bytes.fromhex(str(row[4]))) for row in rows}


def quarantined_in_topic(rig: Rig) -> dict[Place, tuple[str, bytes]]:
    found = {}
    for message in read_topics(rig.settings.kafka.bootstrap, (QUARANTINE_TOPIC,)):
        told = message.headers
        found[told["topic"], int(told["partition"]), int(told["offset"])] = (told["code"], message.value)
        assert told["reason"]
    return found


def _int(value: Any) -> int:
    assert isinstance(value, int)
    return value


@pytest.mark.timeout(600)
def test_bad_messages_are_kept_counted_and_passed_over(tmp_path: Path) -> None:
    seed = new_seed()
    rng = random.Random(seed)
    with running_rig(tmp_path) as rig:
        sent: dict[Place, BadMessage] = {}
        with rig.load(seed):
            for _ in range(3):
                sent |= send_bad(rig, rng)
                wait_until_counted(rig, len(sent))
        rig.settle()
        expected = {place: (one.code, one.value) for place, one in sent.items()}
        assert quarantined_in_table(rig) == expected
        assert quarantined_in_topic(rig) == expected
        codes = Counter(one.code for one in sent.values())
        assert rig.reader.counts()["quarantine"] == codes
        assert sum(state.restarts for state in rig.states("worker")) == 0
        assert_books_agree(rig, quarantined=len(sent))


def wait_until_counted(rig: Rig, messages: int) -> None:
    def counted() -> bool:
        stages = ("orders", "statements", "releases", "mirrors")
        return sum(sum(rig.metric("trueup_quarantined_total", stage=stage)) for stage in stages) == messages

    rig.wait(f"{messages} bad messages are counted", counted, 60, "worker")


def strange_events() -> list[tuple[str, dict[str, Any]]]:
    """Each can be read, none fits the others: ids of mixed types, amounts whose sum has too many digits, odd times."""
    big = {**ITEM, "amount": BIGGEST, "order_id": 999_000_010, "statement_id": 999_000_011}
    text = {**ITEM, "order_id": 999_000_020, "statement_id": 999_000_021}
    return [
        ("orders", {**ORDER, "order_id": 999_000_010, "gross_amount": BIGGEST, "tax_amount": "-" + BIGGEST}),
        ("billing_item", {**big, "billing_item_id": 999_000_012}),
        ("billing_item", {**big, "billing_item_id": 999_000_013}),
        ("statement", {**STATEMENT, "statement_id": 999_000_011, "amount": "-" + BIGGEST}),
        ("orders", {**ORDER, "order_id": 999_000_020, "status": "no such status"}),
        ("billing_item", {**text, "billing_item_id": "seven"}),
        ("billing_item", {**text, "billing_item_id": 7}),
        ("billing_item", {**text, "billing_item_id": 2**64 - 1, "kind": "no such kind", "shop_id": "a shop"}),
        ("orders", {**ORDER, "order_id": "text", "updated_at": "1900-01-01T00:00:00Z"}),
        ("orders", {**ORDER, "order_id": "'; DROP TABLE x; --\u0000\ud7ff", "updated_at": "2299-12-31T23:59:59Z"}),
        ("statement", {**STATEMENT, "statement_id": "text", "item_count": 2**63 - 1}),
    ]


@pytest.mark.timeout(500)
def test_strange_but_readable_rows_stop_nobody(tmp_path: Path) -> None:
    """No row that can be decoded may bring a worker down, however little it fits the others."""
    seed = new_seed()
    with running_rig(tmp_path, workers=1) as rig:
        with rig.load(seed):
            events = strange_events()
            # All rows of one order or statement stand in one partition.
            send(rig, [(topic_of(rig, table), 3, orjson.dumps(envelope(row))) for table, row in events])
        rig.settle()
        (worker,) = rig.states("worker")
        assert worker.restarts == 0, rig.logs("worker")
        for table, key, ids in (
            ("order_wide", "order_id", "'999000010', '999000020', 'text'"),
            ("billing_item", "billing_item_id", "'seven', '7', '18446744073709551615'"),
        ):
            assert rig.query(f"SELECT count() FROM {{db}}.{table} FINAL WHERE {key} IN ({ids})") == [(3,)]
