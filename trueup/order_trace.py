"""The story of one order, as its page and the command line tell it: change events out of Kafka, and the judges' steps."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson
from confluent_kafka import Consumer, Message, TopicPartition

from cdc.delivery import end_offsets
from cdc.polling import poll_batch
from cdc.topics import source_topic
from trueup.model.money import shown
from trueup.model.tables import ORDER_TABLES
from trueup.settings import Settings

EVENTS_READ_MAX: Final = 200_000
"""Events of one partition and topic that a trace looks through, the newest ones."""

SECONDS_MAX: Final = 20.0
POLL_SECONDS: Final = 2.0
FETCH_MESSAGES: Final = 5_000

_OPERATIONS: Final = {"c": "insert", "u": "update", "d": "delete", "r": "snapshot"}
_SILENT: Final = frozenset({"factors", "updated_at"})
"""Fields that say nothing to a person who looks at the order's steps."""


class Event(NamedTuple):
    """One step of an order: a change at the source, or what a judge said of it."""

    at: datetime
    what: str
    detail: str
    is_bad: bool


class Changes(NamedTuple):
    """The change events that were found; `is_whole` is False where time ran out or older ones were not looked at."""

    events: list[Event]
    is_whole: bool


def change_events(
    settings: Settings,
    order_id: str,
    partition: int,
    newest: Mapping[str, int],
    *,
    seconds_max: float = SECONDS_MAX,
    events_max: int = EVENTS_READ_MAX,
) -> Changes:
    """The order's change events as they stand in Kafka, as far as retention keeps them, in time order.

    Args:
        settings: where Kafka is.
        order_id: as the views show it.
        partition: the Kafka partition that owns the order.
        newest: source table → offset of its newest row of the order: nothing behind it is looked at. A table that is
            missing is read to its end.
        seconds_max: reading ends after it.
        events_max: events of each topic's partition that are looked through, the newest ones.

    Errors: UnavailableError when the broker does not answer.
    """
    source = settings.source
    topics = {source_topic(source.name, source.schema_name, table.name): table.name for table in ORDER_TABLES}
    log_ends = end_offsets(settings.kafka.bootstrap, list(topics))
    ends = {
        topic: min(log_ends[topic][partition], newest.get(table, log_ends[topic][partition]) + 1)
        for topic, table in topics.items()
    }
    left = {topic: end for topic, end in ends.items() if end > 0}
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap,
            "group.id": "trueup-trace",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    key = orjson.dumps({"order_id": int(order_id) if order_id.lstrip("-").isdigit() else order_id})
    deadline = time.monotonic() + seconds_max
    found: list[Event] = []
    try:
        consumer.assign([TopicPartition(topic, partition, max(0, end - events_max)) for topic, end in left.items()])
        while left and time.monotonic() < deadline:
            messages = poll_batch(consumer, FETCH_MESSAGES, POLL_SECONDS)
            if not messages:
                break
            found += _events_of(messages, key)
            for message in messages:
                if (message.offset() or 0) + 1 >= left.get(str(message.topic()), 0):
                    left.pop(str(message.topic()), None)
    finally:
        consumer.close()
    return Changes(sorted(found), not left and all(end <= events_max for end in ends.values()))


def verdict_events(steps: Iterable[Mapping[str, Any]]) -> list[Event]:
    """Rows of `v_discrepancy_events` as events."""
    events = []
    for step in steps:
        delta = f", delta {shown(step['delta'], step['currency'])}" if step["delta"] is not None else ""
        detail = f"{step['entity_kind']} {step['entity_id']}: {step['detail']}{delta}"
        events.append(
            Event(step["at"], f"{step['status']}: {step['rule']}", detail, is_bad=step["status"] != "auto-resolved")
        )
    return events


def _events_of(messages: Sequence[Message], key: bytes) -> list[Event]:
    read = (_event_of(message) for message in messages if message.error() is None and message.key() == key)
    return [event for event in read if event is not None]


def _event_of(message: Message) -> Event | None:
    """None for a tombstone, and for a message that quarantine tells of."""
    try:
        envelope = orjson.loads(message.value() or b"")
        envelope = envelope.get("payload", envelope)
        row = envelope["after"] or envelope["before"]
        before = envelope["before"] or {}
        changed = [name for name in row if before and envelope["after"] and before.get(name) != row[name]]
        said = {name: row[name] for name in (changed or row) if name not in _SILENT}
        at = datetime.fromtimestamp(envelope["source"]["ts_us"] // 1_000_000, UTC)
        at = at.replace(microsecond=envelope["source"]["ts_us"] % 1_000_000)
        table = str(message.topic()).rsplit(".", 1)[-1]
        what = f"{_OPERATIONS.get(envelope['op'], envelope['op'])} {table}"
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    detail = ", ".join(f"{name}={held}" for name, held in said.items())
    return Event(at, what, f"{detail} · {message.partition()}:{message.offset()}", is_bad=False)
