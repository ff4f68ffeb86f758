"""Change events as they stand in Kafka, for people: those of some keys, within bounds of time and number."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson
from confluent_kafka import Consumer, Message, TopicPartition

from cdc.message_batches import poll_batch

EVENTS_READ_MAX: Final = 200_000
"""Events of one partition and topic that are looked through, the newest ones."""

SECONDS_MAX: Final = 20.0
POLL_SECONDS: Final = 2.0
FETCH_MESSAGES: Final = 5_000

_OPERATIONS: Final = {"c": "insert", "u": "update", "d": "delete", "r": "snapshot"}
_SILENT: Final = frozenset({"factors", "updated_at"})
"""Fields that say nothing to a person who looks at the steps of a row."""


class Event(NamedTuple):
    """One step: a change at the source, or what a judge said."""

    at: datetime
    what: str
    detail: str
    is_bad: bool


class Changes(NamedTuple):
    """The events that were found, in time order; `is_whole` is False where older ones were not looked at, or time ran out."""

    events: list[Event]
    is_whole: bool


def read_changes(
    bootstrap: str,
    ends: Mapping[tuple[str, int], int],
    keys: Collection[bytes],
    *,
    seconds_max: float = SECONDS_MAX,
    events_max: int = EVENTS_READ_MAX,
) -> Changes:
    """The change events that have one of these keys.

    Args:
        bootstrap: address of the broker.
        ends: (topic, partition) → the offset before which is read.
        keys: raw keys of the messages.
        seconds_max: reading ends after it.
        events_max: events of each partition that are looked through, the newest ones.
    """
    left = {place: end for place, end in ends.items() if end > 0}
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "trueup-trace",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    deadline = time.monotonic() + seconds_max
    found: list[Event] = []
    try:
        consumer.assign([TopicPartition(*place, max(0, end - events_max)) for place, end in left.items()])
        while left and time.monotonic() < deadline:
            messages = poll_batch(consumer, FETCH_MESSAGES, POLL_SECONDS)
            if not messages:
                break
            found += _events_of(messages, keys, ends)
            for message in messages:
                place = (str(message.topic()), int(message.partition() or 0))
                if (message.offset() or 0) + 1 >= left.get(place, 0):
                    left.pop(place, None)
    finally:
        consumer.close()
    return Changes(sorted(found), not left and all(end <= events_max for end in ends.values()))


def key_of(column: str, identifier: str) -> bytes:
    """The key of a row's messages as the reader writes it; ids come as text, and a number stays a number in JSON."""
    return orjson.dumps({column: int(identifier) if identifier.lstrip("-").isdecimal() else identifier})


def _events_of(
    messages: Sequence[Message], keys: Collection[bytes], ends: Mapping[tuple[str, int], int]
) -> list[Event]:
    wanted = (message for message in messages if message.error() is None and message.key() in keys)
    events = []
    for message in wanted:
        place = (str(message.topic()), int(message.partition() or 0))
        event = _event_of(message) if (message.offset() or 0) < ends[place] else None
        if event is not None:
            events.append(event)
    return events


def _event_of(message: Message) -> Event | None:
    """None for a tombstone, and for a message that quarantine tells of."""
    try:
        envelope: dict[str, Any] = orjson.loads(message.value() or b"")
        envelope = envelope.get("payload", envelope)
        row = envelope["after"] or envelope["before"]
        before = envelope["before"] or {}
        changed = [name for name in row if before and envelope["after"] and before.get(name) != row[name]]
        said = {name: row[name] for name in (changed or row) if name not in _SILENT}
        seconds, micros = divmod(envelope["source"]["ts_us"], 1_000_000)
        at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
        table = str(message.topic()).rsplit(".", 1)[-1]
        what = f"{_OPERATIONS.get(envelope['op'], envelope['op'])} {table}"
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError):
        return None
    detail = ", ".join(f"{name}={held}" for name, held in said.items())
    return Event(at, what, f"{detail} · {message.partition()}:{message.offset()}", is_bad=False)
