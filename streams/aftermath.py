"""What a partition said after its last durable window, read back from Kafka when the partition is opened.

Messages are published before the state that led to them is durable. After a crash the replay may judge less often than
the first run did (the books were repaired meanwhile), so a discrepancy that was published as open could be unknown to the
state, and a partial total that was published could never be corrected. So whoever opens a partition takes over what its
consumers were told last: cases are adopted and judged again, partial and statement totals are published again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson
import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from cdc.message_batches import poll_batch
from reconcile.finding import DISCREPANCY_CLASSES
from reconcile.lifecycle import Case, decode_case
from streams.codec import loads
from streams.contributions import TotalKey
from streams.messages import (
    CASE_HEADER,
    DISCREPANCY_PREFIX,
    OWNER_HEADER,
    PARTIALS_TOPIC,
    TOTALS_TOPIC,
    decode_partials_topic,
)
from trueup.model.errors import InvalidRecord, UnavailableError
from trueup.model.tables import Id

MARGIN_US: Final = 10_000_000
"""How far the clocks of workers may differ."""

REQUEST_SECONDS: Final = 15.0
SILENT_SECONDS_MAX: Final = 15.0
BATCH_MAX: Final = 5_000

_log = structlog.get_logger()


class PublishedCase(NamedTuple):
    """The newest published state of one discrepancy, the order, statement or group that it belongs to, and its class."""

    owner: Id
    case: Case
    rule_class: str


class Said(NamedTuple):
    """What one partition of one stage said.

    `cases` by discrepancy id; `partials` are the keys of published partial totals; `marked_us` is the newest watermark
    that stands behind any of them; `totals` are statements whose running totals were published.
    """

    cases: dict[str, PublishedCase]
    partials: set[TotalKey]
    totals: set[Id]
    marked_us: int


Aftermath = dict[tuple[str, int], Said]
"""By (stage, partition)."""


def nothing_said() -> Said:
    """For a partition that said nothing."""
    return Said({}, set(), set(), 0)


def read_aftermath(bootstrap: str, since_us: int) -> Aftermath:
    """Everything that all partitions published since a time (µs since the epoch), less a margin for clocks.

    Errors: UnavailableError when the broker does not hand it out.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "trueup-aftermath",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
        }
    )
    try:
        return _read(consumer, max(0, since_us - MARGIN_US) // 1000, bootstrap)
    except KafkaException as error:
        raise UnavailableError(f"published messages cannot be read back: {error}", where=bootstrap) from error
    finally:
        consumer.close()


def _read(consumer: Consumer, since_ms: int, bootstrap: str) -> Aftermath:
    topics = [PARTIALS_TOPIC, TOTALS_TOPIC, *(DISCREPANCY_PREFIX + kind for kind in DISCREPANCY_CLASSES)]
    known = consumer.list_topics(timeout=REQUEST_SECONDS).topics
    places = [TopicPartition(topic, number) for topic in topics if topic in known for number in known[topic].partitions]
    ends = {
        (place.topic, place.partition): consumer.get_watermark_offsets(place, REQUEST_SECONDS)[1] for place in places
    }
    starts = consumer.offsets_for_times(
        [TopicPartition(place.topic, place.partition, since_ms) for place in places], REQUEST_SECONDS
    )
    left = {
        (place.topic, place.partition): ends[place.topic, place.partition]
        for place in starts
        if 0 <= place.offset < ends[place.topic, place.partition]
    }
    consumer.assign([place for place in starts if (place.topic, place.partition) in left])
    aftermath: Aftermath = {}
    while left:
        messages = poll_batch(consumer, BATCH_MAX, SILENT_SECONDS_MAX)
        if not messages:
            raise UnavailableError("published messages cannot be read back: no answer", where=bootstrap)
        for message in messages:
            topic, number, offset = message.topic(), message.partition(), message.offset()
            if message.error() is not None or topic is None or number is None or offset is None:
                continue
            _take(aftermath, topic, message)
            if offset + 1 >= left.get((topic, number), 0):
                left.pop((topic, number), None)
    return aftermath


def _take(aftermath: Aftermath, topic: str, message: Message) -> None:
    try:
        if topic == PARTIALS_TOPIC:
            _take_partial(aftermath, message.value())
        elif topic == TOTALS_TOPIC:
            value = orjson.loads(message.value() or b"null")
            _said(aftermath, "statements", value["partition"]).totals.add(orjson.loads(message.key() or b"null"))
        else:
            headers = _headers(message.headers())
            stage, number, owner = orjson.loads(headers[OWNER_HEADER])
            case = decode_case(loads(headers[CASE_HEADER]))
            cases = _said(aftermath, stage, number).cases
            cases[(message.key() or b"").decode()] = PublishedCase(owner, case, topic.removeprefix(DISCREPANCY_PREFIX))
    except (InvalidRecord, ValueError, TypeError, KeyError) as error:
        # Somebody else wrote to our topic: it is no word of ours that would have to be kept.
        _log.warning("published_message_not_ours", topic=topic, offset=message.offset(), error=str(error))


def _take_partial(aftermath: Aftermath, value: bytes | None) -> None:
    decoded = decode_partials_topic(value)
    if isinstance(decoded, dict):
        for number, marker in decoded.items():
            _mark(aftermath, number, marker.reached_us)
        return
    _said(aftermath, "orders", decoded.partition).partials.add((decoded.statement_id, decoded.payout_id))
    _mark(aftermath, decoded.partition, decoded.partial.version.watermark_us)


def _said(aftermath: Aftermath, stage: str, number: int) -> Said:
    return aftermath.setdefault((stage, number), nothing_said())


def _mark(aftermath: Aftermath, number: int, marked_us: int) -> None:
    said = _said(aftermath, "orders", number)
    aftermath["orders", number] = said._replace(marked_us=max(said.marked_us, marked_us))


def _headers(headers: Any) -> dict[str, bytes]:
    pairs: Iterable[tuple[str, bytes]] = headers.items() if isinstance(headers, dict) else headers or ()
    return dict(pairs)
