"""Joined topics are read in the order of their timestamps, and none is waited for in vain."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.batch import TopicPartition
from streams.time_order import SILENT_SECONDS, TimeOrder, bytes_of

ORDERS, ITEMS, LINES = (TopicPartition(topic, 0) for topic in ("orders", "items", "lines"))
OTHER = TopicPartition("orders", 1)
ALL = (ORDERS, ITEMS, LINES, OTHER)


def records(*timestamps: int) -> list[Any]:
    return [SimpleNamespace(timestamp=timestamp) for timestamp in timestamps]


def unread(*partitions: TopicPartition) -> Callable[[TopicPartition], bool]:
    return lambda partition: partition in partitions


def test_the_partition_that_is_furthest_behind_is_read_first() -> None:
    order = TimeOrder(ALL)
    order.took(ORDERS, records(5, 30), 0.0)
    order.took(ITEMS, records(20), 0.0)
    order.took(LINES, records(40), 0.0)
    assert order.turn(0, unread(*ALL), 0.0) == [ITEMS]
    order.took(ITEMS, records(21, 35), 0.0)
    assert order.turn(0, unread(*ALL), 0.0) == [ORDERS]


def test_a_partition_of_which_nothing_was_read_yet_comes_first() -> None:
    order = TimeOrder(ALL)
    order.took(ORDERS, records(0), 0.0)
    order.took(ITEMS, records(0), 0.0)
    assert order.turn(0, unread(*ALL), 0.0) == [LINES]


def test_a_partition_read_to_its_end_holds_back_no_other() -> None:
    order = TimeOrder(ALL)
    order.took(ORDERS, records(30), 0.0)
    order.took(ITEMS, records(20), 0.0)
    assert order.turn(0, unread(ORDERS), 0.0) == [ORDERS]
    assert order.turn(0, unread(), 0.0) == []


def test_partition_numbers_do_not_wait_for_each_other() -> None:
    order = TimeOrder(ALL)
    order.took(OTHER, records(1_000), 0.0)
    assert order.numbers == [0, 1]
    assert order.turn(1, unread(*ALL), 0.0) == [OTHER]


def test_a_partition_that_stays_silent_is_asked_first_and_waited_for_no_longer() -> None:
    order = TimeOrder(ALL)
    order.took(ORDERS, records(30), 0.0)
    order.took(LINES, records(40), 0.0)
    order.took(ITEMS, [], 0.0)
    assert order.turn(0, unread(*ALL), SILENT_SECONDS / 2) == [ITEMS]
    order.took(ITEMS, [], SILENT_SECONDS / 2)
    assert order.turn(0, unread(*ALL), SILENT_SECONDS) == [ITEMS, ORDERS]
    # As soon as it brings something, the others wait for it again.
    order.took(ITEMS, records(20), SILENT_SECONDS)
    assert order.turn(0, unread(*ALL), SILENT_SECONDS) == [ITEMS]


def test_what_may_come_at_any_time_is_awaited_and_what_has_to_wait_is_not() -> None:
    order = TimeOrder(ALL)
    order.took(ORDERS, records(30), 0.0)
    order.took(ITEMS, records(20), 0.0)
    order.took(OTHER, records(10), 0.0)
    # ORDERS is held back by ITEMS; LINES and OTHER are read to their end.
    assert order.awaited(unread(ORDERS, ITEMS), 0.0) == {ITEMS, LINES, OTHER}


def test_the_size_of_a_step_goes_by_its_ends() -> None:
    step: list[Any] = [SimpleNamespace(value=value) for value in (b"12345678", b"1", None)]
    assert bytes_of(step) == 12


TIMESTAMPS = st.lists(st.integers(0, 1_000), max_size=60).map(sorted)


@given(st.lists(TIMESTAMPS, min_size=1, max_size=4), st.integers(1, 7))
def test_everything_is_read_once_and_no_topic_runs_ahead(logs: list[list[int]], step: int) -> None:
    partitions = [TopicPartition(f"t{place}", 0) for place in range(len(logs))]
    order = TimeOrder(partitions)
    rest = dict(zip(partitions, map(list, logs), strict=True))
    read: dict[TopicPartition, list[int]] = {partition: [] for partition in partitions}
    while any(rest.values()):
        (partition,) = order.turn(0, lambda partition: bool(rest[partition]), 0.0)
        reached = read[partition][-1] if read[partition] else -1
        # What this step adds to: nothing older waits in any other topic than what had been reached there.
        assert all(read[other] and read[other][-1] >= reached for other in partitions if rest[other] and reached >= 0)
        taken, rest[partition] = rest[partition][:step], rest[partition][step:]
        read[partition] += taken
        order.took(partition, records(*taken), 0.0)
    assert [read[partition] for partition in partitions] == logs
