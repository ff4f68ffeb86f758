"""Judging again what other rules have judged: all states of a partition once, some at a time, after a start with new rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import orjson

from streams.store import ENTITY, SWEPT, PartitionStore
from trueup.model.tables import Id

SWEEP_BATCH: Final = 500
"""States looked at between two batches of records while rules have changed."""


class Sweep:
    """Where a partition stands in its sweep. The store keeps under which rules the last one was complete.

    Args:
        fingerprint: of the present rules.
        put_side: keeps a value of the partition with its next window.
    """

    def __init__(self, store: PartitionStore, fingerprint: str, put_side: Callable[[bytes, bytes], None]) -> None:
        self._store = store
        self._fingerprint = fingerprint.encode()
        self._put_side = put_side
        self._reached = b""
        self.is_over = store.get_many([SWEPT])[0] == self._fingerprint

    def next_ids(self) -> list[Id]:
        """The entities to look at next; none when the sweep is over."""
        keys = self._store.keys_after(self._reached, ENTITY, SWEEP_BATCH)
        if not keys:
            self.is_over = True
            self._put_side(SWEPT, self._fingerprint)
            return []
        self._reached = keys[-1]
        return [orjson.loads(key[len(ENTITY) :]) for key in keys]
