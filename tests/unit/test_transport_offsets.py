"""Offset bookkeeping: what is handed out, durable and committed, and where reading starts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.batch import Batch, Lease, Stage, TopicPartition, group_by_partition, partitions_of
from streams.durable import Expired, LogBounds, OffsetLedger, resolve_starts
from trueup.model.errors import ConfigurationError

ORDERS = TopicPartition("orders", 0)
ITEMS = TopicPartition("items", 0)
OTHER = TopicPartition("orders", 1)


@dataclass(frozen=True)
class Row:
    topic: str
    partition: int
    offset: int
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def rows(partition: TopicPartition, *offsets: int) -> list[Row]:
    return [Row(*partition, offset) for offset in offsets]


def opened(start: int = 10) -> OffsetLedger:
    ledger = OffsetLedger()
    ledger.open({ORDERS: start, ITEMS: start}, {ORDERS: 100, ITEMS: 100}, {ORDERS: None, ITEMS: None})
    return ledger


def test_nothing_is_committed_before_something_is_durable() -> None:
    ledger = opened()
    ledger.advance({ORDERS: rows(ORDERS, 10, 11)}, {ORDERS: 12})
    assert ledger.uncommitted() == {}
    ledger.mark_durable({ORDERS: 12})
    assert ledger.uncommitted() == {ORDERS: 12}
    ledger.note_committed({ORDERS: 12})
    assert ledger.uncommitted() == {}


def test_state_ahead_of_the_group_is_committed() -> None:
    ledger = OffsetLedger()
    ledger.open({ORDERS: 40, ITEMS: 7}, {ORDERS: 100, ITEMS: 7}, {ORDERS: 25, ITEMS: 7})
    assert ledger.uncommitted() == {ORDERS: 40}


def test_a_group_ahead_of_the_state_is_not_set_back() -> None:
    ledger = OffsetLedger()
    ledger.open({ORDERS: 25}, {ORDERS: 100}, {ORDERS: 40})
    ledger.advance({ORDERS: rows(ORDERS, 25)}, {ORDERS: 26})
    ledger.mark_durable({ORDERS: 26})
    assert ledger.uncommitted() == {}


def test_marks_may_come_late_and_out_of_order() -> None:
    ledger = opened()
    ledger.advance({ORDERS: rows(ORDERS, *range(10, 30))}, {ORDERS: 30})
    ledger.mark_durable({ORDERS: 30})
    ledger.mark_durable({ORDERS: 20})
    ledger.mark_durable({ORDERS: 30, OTHER: 99})
    assert ledger.uncommitted() == {ORDERS: 30}


def test_a_mark_beyond_what_was_read_is_refused() -> None:
    ledger = opened()
    with pytest.raises(ValueError, match="was read up to 10 only"):
        ledger.mark_durable({ORDERS: 11})
    assert ledger.uncommitted() == {}


def test_marks_and_commits_after_a_revocation_have_no_effect() -> None:
    ledger = opened()
    ledger.close()
    ledger.mark_durable({ORDERS: 11})
    ledger.note_committed({ORDERS: 11})
    assert ledger.uncommitted() == {}
    assert ledger == OffsetLedger()


def test_records_below_the_position_are_dropped() -> None:
    ledger = opened()
    fresh, ends = ledger.advance({ORDERS: rows(ORDERS, 8, 9, 10, 11), ITEMS: rows(ITEMS, 9)}, {ORDERS: 12, ITEMS: 10})
    assert fresh == {ORDERS: rows(ORDERS, 10, 11)}
    assert ends == {ORDERS: 12}


def test_control_records_move_the_end_without_a_record() -> None:
    ledger = opened()
    assert ledger.advance({}, {ORDERS: 11, ITEMS: 10}) == ({}, {ORDERS: 11})
    assert ledger.positions == {ORDERS: 11, ITEMS: 10}


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 50)), max_size=30))
def test_commits_never_fall_and_never_pass_what_is_durable(steps: list[tuple[int, int]]) -> None:
    ledger = OffsetLedger()
    ledger.open({ORDERS: 0}, {ORDERS: 0}, {ORDERS: None})
    durable = committed = 0
    for count, mark in steps:
        position = ledger.positions[ORDERS]
        ledger.advance({ORDERS: rows(ORDERS, *range(position, position + count))}, {ORDERS: position + count})
        mark = min(mark, ledger.positions[ORDERS])
        durable = max(durable, mark)
        ledger.mark_durable({ORDERS: mark})
        offset = ledger.uncommitted().get(ORDERS, committed)
        assert committed <= offset == durable
        ledger.note_committed({ORDERS: offset})
        committed = offset


def test_reading_starts_at_the_state_then_the_commit_then_the_first() -> None:
    bounds = dict.fromkeys((ORDERS, ITEMS, OTHER), LogBounds(5, 90))
    starts, expired = resolve_starts(bounds, {ORDERS: 30, ITEMS: None}, {ORDERS: 20, ITEMS: 20, OTHER: None}, bounds)
    assert starts == {ORDERS: 30, ITEMS: 20, OTHER: 5}
    assert expired == []


def test_offset_zero_of_the_state_counts() -> None:
    starts, _ = resolve_starts([ORDERS], {ORDERS: 0}, {ORDERS: 20}, {ORDERS: LogBounds(0, 90)})
    assert starts == {ORDERS: 0}


def test_expired_records_are_told() -> None:
    starts, expired = resolve_starts([ORDERS], {}, {ORDERS: 20}, {ORDERS: LogBounds(25, 90)})
    assert starts == {ORDERS: 25}
    assert expired == [Expired(ORDERS, 5)]


def test_a_topic_that_was_created_anew_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="up to offset 91, but the topic ends at 90"):
        resolve_starts([ORDERS], {ORDERS: 91}, {}, {ORDERS: LogBounds(0, 90)})


def test_partitions_are_treated_together_over_topics() -> None:
    grouped = group_by_partition({ORDERS: rows(ORDERS, 1), OTHER: rows(OTHER, 4), ITEMS: rows(ITEMS, 2, 3)})
    assert grouped == {0: [*rows(ORDERS, 1), *rows(ITEMS, 2, 3)], 1: rows(OTHER, 4)}
    batch = Batch("orders", 1, {0: [*rows(ORDERS, 1), *rows(ITEMS, 2, 3)]}, {}, Lease(frozenset()))
    assert batch.size == 3


def test_partitions_of_a_stage() -> None:
    assert partitions_of(Stage("orders", ("orders",)), [ORDERS, ITEMS, OTHER]) == {ORDERS, OTHER}
