"""Truncations in the state of one partition: kept with it, and carried out by a walk over its states.

Rows that came before a truncation are found some states at a time; until the walk is over, the partition's time stands
still. What comes later is told from its version (`streams/floors.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import orjson

from cdc.broadcast import BROADCAST
from streams.batch import Record
from streams.codec import dumps, loads
from streams.floors import Floor, FloorKey, Floors
from streams.output import Sender
from streams.store import ENTITY, FLOOR, PartitionStore
from trueup.model.tables import Id

WALK_BATCH: Final = 2_000
"""States looked at between two batches of records while a truncation is carried out."""

WALK_DIRTY_MAX: Final = 20_000
"""Changed states of the present window beyond which the walk waits for it to become durable."""

FLOORS_MAX: Final = 10_000
"""Floors read from a store: there is one for each source and table."""


class Truncations(Floors):
    """The floors of one partition, durable with its state, and the walk over its states that they call for.

    A floor is kept with whether its walk is over, so that a partition that is opened in the middle of one starts it again.

    Args:
        store: of the partition.
        put_side: keeps a value of the partition with its next window.
    """

    def __init__(self, store: PartitionStore, put_side: Callable[[bytes, bytes], None]) -> None:
        keys = store.keys_after(b"", FLOOR, FLOORS_MAX)
        stored = {key: loads(value) for key, value in zip(keys, store.get_many(keys), strict=True) if value is not None}
        super().__init__({_key_of(key): Floor._make(value[:-1]) for key, value in stored.items()})
        self._store = store
        self._put_side = put_side
        self._waiting = {_key_of(key) for key, value in stored.items() if not value[-1]}
        self._in_memory: list[Id] | None = [] if self._waiting else None
        self._reached = b""

    @property
    def is_walking(self) -> bool:
        """Whether states may still hold rows below a floor."""
        return bool(self._waiting)

    def raise_to(self, key: FloorKey, floor: Floor) -> bool:
        """As of any floors; a newer one starts the walk anew."""
        if not super().raise_to(key, floor):
            return False
        self._waiting.add(key)
        self._in_memory, self._reached = None, b""
        self._put_side(_stored_key(key), _floor_value(floor, is_over=False))
        return True

    def next_ids(self, live: Collection[Id]) -> list[Id]:
        """The states to look at next: those in memory (`live`), then those in the store. The walk is over when they are done."""
        if self._in_memory is None:
            self._in_memory = list(live)
        ids = self._in_memory[-WALK_BATCH:]
        del self._in_memory[-WALK_BATCH:]
        room = WALK_BATCH - len(ids)
        if room:
            keys = self._store.keys_after(self._reached, ENTITY, room)
            ids += [orjson.loads(key[len(ENTITY) :]) for key in keys]
            self._reached = keys[-1] if keys else self._reached
            if len(keys) < room:
                self._finish()
        return list(dict.fromkeys(ids))

    def _finish(self) -> None:
        for key in self._waiting:
            self._put_side(_stored_key(key), _floor_value(self._held[key], is_over=True))
        self._waiting.clear()


def _floor_value(floor: Floor, *, is_over: bool) -> bytes:
    """A floor as the store keeps it."""
    return dumps([*floor, is_over])


def stored_floor(key: FloorKey, floor: Floor) -> tuple[bytes, bytes]:
    """Key and value of a floor in a store that was rebuilt: which states it has been applied to is not known."""
    return _stored_key(key), _floor_value(floor, is_over=False)


def _stored_key(key: FloorKey) -> bytes:
    return FLOOR + orjson.dumps(key)


def _key_of(stored: bytes) -> FloorKey:
    source, table = orjson.loads(stored[len(FLOOR) :])
    return source, table


def send_to_all(record: Record, partition_count: int, send: Sender) -> None:
    """Send a truncation that reached one partition only to every partition of its topic.

    The offset becomes durable after the messages: a crash in between sends them again.
    """
    for number in range(partition_count):
        send(record.topic, None, record.value, number, [BROADCAST])
