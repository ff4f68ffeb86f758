"""In which order joined topics are read: the one that is furthest behind first, by the timestamps of its records. Pure.

The legs of one order stand in several topics. A consumer that takes what comes first runs far ahead in the topic with the
smallest records; then every leg finds its order on disk again, and every order is written once for each of its topics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from streams.batch import Record, TopicPartition

STEP_RECORDS_MAX: Final = 250
"""Records taken from one partition before it is asked again which one is furthest behind."""

BATCH_BYTES_MAX: Final = 64 << 20
"""A batch takes no further step once it holds so much: records may be large, and compress so well that a fetch holds many."""

SILENT_SECONDS: Final = 1.0
"""A partition that holds back others and brings nothing for so long does not any more: its broker may be away."""


class TimeOrder:
    """How far the topics of one stage have been read, under one lease.

    Topics are compared within one partition number, for that is how they are joined. A partition that is read to its end
    holds back no other.
    """

    def __init__(self, partitions: Iterable[TopicPartition]) -> None:
        self.partitions = frozenset(partitions)
        self._joined: dict[int, list[TopicPartition]] = {}
        for partition in sorted(self.partitions):
            self._joined.setdefault(partition.partition, []).append(partition)
        self._reached_ms: dict[TopicPartition, int] = {}
        self._silent_since: dict[TopicPartition, float] = {}

    @property
    def numbers(self) -> list[int]:
        """The partition numbers, each to be read in its own order."""
        return list(self._joined)

    def turn(
        self, number: int, is_unread: Callable[[TopicPartition], bool], now_seconds: float
    ) -> list[TopicPartition]:
        """Which partitions of a number may be read now, the one that is furthest behind first.

        It is alone, but for those before it that have been silent for too long to be waited for.
        """
        turn: list[TopicPartition] = []
        for partition in sorted(filter(is_unread, self._joined[number]), key=self._reached):
            turn.append(partition)
            if now_seconds - self._silent_since.get(partition, now_seconds) < SILENT_SECONDS:
                break
        return turn

    def awaited(self, is_unread: Callable[[TopicPartition], bool], now_seconds: float) -> frozenset[TopicPartition]:
        """Every partition that may be read as soon as something comes: those whose turn it is, and those read to their end."""
        awaited = {partition for partition in self.partitions if not is_unread(partition)}
        for number in self._joined:
            awaited.update(self.turn(number, is_unread, now_seconds))
        return frozenset(awaited)

    def took(self, partition: TopicPartition, records: Sequence[Record], now_seconds: float) -> None:
        """The partition was asked, and brought these records; none when they have not arrived yet."""
        if records:
            self._reached_ms[partition] = records[-1].timestamp
            self._silent_since.pop(partition, None)
        else:
            self._silent_since.setdefault(partition, now_seconds)

    def _reached(self, partition: TopicPartition) -> int:
        return self._reached_ms.get(partition, -1)


def bytes_of(records: Sequence[Record]) -> int:
    """About how many bytes the values of a step have: by its first and its last record."""
    return len(records) * (len(records[0].value or b"") + len(records[-1].value or b"")) // 2
