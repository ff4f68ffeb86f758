"""Watermarks: a partition has seen what its slowest source has told it to have reached, and no more."""

from __future__ import annotations

import orjson
import pytest

from streams.watermark import HEARTBEATS_KEPT_MAX, Heartbeat, SourceClock, decode_heartbeat
from trueup.model.errors import InvalidRecord

TOPICS = ("orders", "billing_item", "trueup.statement-partials")


def beat(time_us: int, *ends: int, source: str = "a") -> Heartbeat:
    """Ends of the topic `orders`, by partition."""
    return Heartbeat(source, time_us, {"orders": ends})


def clock_with(*heartbeats: Heartbeat, sources: tuple[str, ...] = ("a",)) -> SourceClock:
    clock = SourceClock(sources)
    for heartbeat in heartbeats:
        clock.add(heartbeat)
    return clock


def test_a_source_that_never_spoke_holds_everything_back() -> None:
    assert clock_with().watermark_us(0, TOPICS, {}) == 0
    both = clock_with(beat(10, 0), sources=("a", "b"))
    assert both.watermark_us(0, TOPICS, {}) == 0
    assert both.newest_us() == 0


def test_a_partition_reaches_a_heartbeat_with_its_last_record() -> None:
    clock = clock_with(beat(10, 3, 0), beat(20, 5, 0))
    assert [clock.watermark_us(0, TOPICS, {"orders": end}) for end in (0, 2, 3, 4, 5, 9)] == [0, 0, 10, 10, 20, 20]
    assert clock.watermark_us(1, TOPICS, {}) == 20


def test_every_topic_of_the_stage_counts_and_no_other() -> None:
    clock = clock_with(Heartbeat("a", 10, {"orders": [1], "billing_item": [2], "statement": [9]}))
    assert clock.watermark_us(0, TOPICS, {"orders": 1, "billing_item": 1}) == 0
    assert clock.watermark_us(0, TOPICS, {"orders": 1, "billing_item": 2}) == 10


def test_the_slowest_source_decides() -> None:
    clock = clock_with(beat(30, 0), beat(10, 0, source="b"), sources=("a", "b"))
    assert clock.watermark_us(0, TOPICS, {}) == 10
    assert clock.newest_us() == 10


def test_time_does_not_go_back_and_strangers_are_ignored() -> None:
    clock = clock_with(beat(20, 5), beat(10, 0), beat(20, 0), beat(99, 0, source="b"))
    assert clock.watermark_us(0, TOPICS, {}) == 0
    assert clock.newest_us() == 20


def test_what_all_have_reached_is_forgotten_but_the_newest_of_it() -> None:
    clock = clock_with(beat(10, 1), beat(20, 2), beat(30, 3))
    clock.forget_before(25)
    assert [clock.watermark_us(0, TOPICS, {"orders": end}) for end in (1, 2, 3)] == [0, 20, 30]


def test_beyond_the_bound_time_gets_coarser_but_keeps_its_ends() -> None:
    clock = clock_with(*(beat(time_us, time_us) for time_us in range(1, HEARTBEATS_KEPT_MAX + 2)))
    newest = HEARTBEATS_KEPT_MAX + 1
    assert clock.newest_us() == newest
    assert clock.watermark_us(0, TOPICS, {"orders": newest}) == newest
    assert clock.watermark_us(0, TOPICS, {"orders": 1}) == 1
    assert clock.watermark_us(0, TOPICS, {"orders": 101}) in {100, 101}


def test_a_heartbeat_is_decoded() -> None:
    value = orjson.dumps({"source": "a", "ts_us": 7, "positions": {"orders": [1, 2]}})
    assert decode_heartbeat(value) == Heartbeat("a", 7, {"orders": [1, 2]})


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"no", b"[]", b"7", b"{}", b'{"source":"a","ts_us":1}',
        b'{"source":"a","ts_us":"x","positions":{}}', b'{"source":"a","ts_us":null,"positions":{}}',
        b'{"source":"a","ts_us":1,"positions":[]}', b'{"source":"a","ts_us":1,"positions":{"t":5}}',
        b'{"source":"a","ts_us":1,"positions":{"t":["x"]}}', b'{"source":"a","ts_us":1,"positions":{"t":null}}',
    ],
)  # fmt: skip
def test_what_is_no_heartbeat_is_refused(value: bytes | None) -> None:
    with pytest.raises(InvalidRecord) as refused:
        decode_heartbeat(value)
    assert refused.value.code == "malformed-heartbeat"
