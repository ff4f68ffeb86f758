"""Watermarks: how far in source time a partition has seen everything. Pure.

A heartbeat says: every change committed at or before `time_us` stands in Kafka below `positions`. A partition that has
processed up to its positions has therefore seen all of it. If a source stalls, its heartbeats stop and so does the
watermark: nothing is called missing meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import orjson

from trueup.model.errors import InvalidRecord

HEARTBEATS_KEPT_MAX: Final = 4096
"""Heartbeats kept per source while partitions lag; beyond it every second one is dropped, which only coarsens time."""


class Heartbeat(NamedTuple):
    """`positions` is topic → end offset by partition."""

    source: str
    time_us: int
    positions: Mapping[str, Sequence[int]]


def decode_heartbeat(value: bytes | None) -> Heartbeat:
    """Errors: InvalidRecord `malformed-heartbeat`."""
    try:
        fields = orjson.loads(value or b"null")
        positions = {str(topic): [int(end) for end in ends] for topic, ends in fields["positions"].items()}
        return Heartbeat(str(fields["source"]), int(fields["ts_us"]), positions)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InvalidRecord("malformed-heartbeat", f"not a heartbeat: {error}") from None


class SourceClock:
    """The heartbeats of the sources that feed one stage.

    Args:
        sources: all that feed it.
        required: topics of which a heartbeat must tell the end offsets to count; one that was sent before a table was
            read says nothing of it.
    """

    def __init__(self, sources: Sequence[str], required: Sequence[str] = ()) -> None:
        self._required = frozenset(required)
        self._kept: dict[str, deque[Heartbeat]] = {source: deque() for source in sources}

    def add(self, heartbeat: Heartbeat) -> None:
        """Take a heartbeat; times that go back and unknown sources are ignored."""
        kept = self._kept.get(heartbeat.source)
        if not self._required <= heartbeat.positions.keys():
            return
        if kept is None or (kept and heartbeat.time_us <= kept[-1].time_us):
            return
        kept.append(heartbeat)
        if len(kept) > HEARTBEATS_KEPT_MAX:
            # Both ends stay: the newest is how far the source is, the oldest what a slow partition has reached.
            thinned = deque(list(kept)[::2])
            self._kept[heartbeat.source] = thinned

    def watermark_us(self, partition: int, topics: Sequence[str], ends: Mapping[str, int]) -> int:
        """The lowest time over all sources that the partition has reached; 0 while a source is unknown."""
        lowest: int | None = None
        for kept in self._kept.values():
            reached = 0
            for heartbeat in reversed(kept):
                if _passed(heartbeat, partition, topics, ends):
                    reached = heartbeat.time_us
                    break
            lowest = reached if lowest is None else min(lowest, reached)
        return lowest or 0

    def forget_before(self, time_us: int) -> None:
        """Drop heartbeats older than what every partition has reached."""
        for kept in self._kept.values():
            while len(kept) > 1 and kept[1].time_us <= time_us:
                kept.popleft()

    def newest_us(self) -> int:
        """The newest time that the slowest source has told; 0 while one is unknown."""
        return min((kept[-1].time_us if kept else 0 for kept in self._kept.values()), default=0)


def _passed(heartbeat: Heartbeat, partition: int, topics: Sequence[str], ends: Mapping[str, int]) -> bool:
    for topic in topics:
        positions = heartbeat.positions.get(topic)
        if positions is not None and partition < len(positions) and ends.get(topic, 0) < positions[partition]:
            return False
    return True
