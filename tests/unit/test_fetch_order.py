"""Which partitions of a fetcher are asked, from what the client knows of them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import OffsetOutOfRangeError

from streams.batch import TopicPartition
from streams.fetch_thread import _take
from streams.time_order import TimeOrder

ORDERS, ITEMS = TopicPartition("orders", 0), TopicPartition("items", 0)
ENDED = SimpleNamespace(has_valid_position=True, position=7, highwater=7, lso=7)


class Fetcher:
    """What it holds: records, or the error of a fetch, by partition."""

    def __init__(self, held: dict[TopicPartition, Any], states: dict[TopicPartition, Any]) -> None:
        self._records = held
        assignment = SimpleNamespace(state_value=states.get)
        self._subscriptions = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))

    async def fetched_records(self, partitions: set[TopicPartition], max_records: int) -> dict[TopicPartition, Any]:
        (partition,) = partitions
        held = self._records.pop(partition, None)
        if isinstance(held, Exception):
            raise held
        return {partition: held[:max_records]} if held else {}


def take(fetcher: Fetcher) -> dict[TopicPartition, Any]:
    return asyncio.run(_take(fetcher, TimeOrder([ORDERS, ITEMS]), 100))


def test_a_partition_read_to_its_end_is_not_asked() -> None:
    come = [SimpleNamespace(timestamp=5, value=b"1")]
    behind = SimpleNamespace(has_valid_position=True, position=3, highwater=4, lso=4)
    fetcher = Fetcher({ORDERS: come}, {ORDERS: behind, ITEMS: ENDED})
    assert take(fetcher) == {ORDERS: come}


def test_a_failed_fetch_of_a_partition_read_to_its_end_is_told_at_once() -> None:
    fetcher = Fetcher({ITEMS: OffsetOutOfRangeError({ITEMS: 7})}, {ORDERS: ENDED, ITEMS: ENDED})
    with pytest.raises(OffsetOutOfRangeError):
        take(fetcher)
