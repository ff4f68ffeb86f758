"""Which offsets were read, are durable and are committed; and where reading starts. Pure bookkeeping, no Kafka client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from streams.batch import Record, TopicPartition
from trueup.model.errors import ConfigurationError

RecordT = TypeVar("RecordT", bound=Record)


class LogBounds(NamedTuple):
    """What a partition holds: offsets from `first` (kept longest) to before `end` (written next)."""

    first: int
    end: int


class Expired(NamedTuple):
    """Records that were deleted by retention before they were read."""

    partition: TopicPartition
    records: int


@dataclass(slots=True)
class OffsetLedger:
    """The offsets of every partition that is held now. All of them mean "next": everything before is covered.

    Args:
        positions: handed out to the agents.
        ends: written to the log, as far as is known.
        durable: outputs and state are safe, as the agents marked.
        committed: known to the consumer group.
    """

    positions: dict[TopicPartition, int] = field(default_factory=dict)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    durable: dict[TopicPartition, int] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)

    def open(
        self,
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        committed: Mapping[TopicPartition, int | None],
    ) -> None:
        """Begin with the partitions of a new assignment; whatever was held before is forgotten."""
        self.positions = dict(starts)
        self.ends = dict(ends)
        self.durable = dict(starts)
        # What was never committed begins at its start: there is nothing to commit until something is durable.
        self.committed = {partition: committed.get(partition) or start for partition, start in starts.items()}

    def close(self) -> None:
        """Forget all partitions: they were revoked."""
        self.positions = {}
        self.ends = {}
        self.durable = {}
        self.committed = {}

    def mark_durable(self, ends: Mapping[TopicPartition, int]) -> None:
        """Everything before these offsets is durable.

        Marks may come in any order and more than once; the highest counts. A mark for a partition that is not held
        is ignored: it was revoked meanwhile, and its new owner reads those records again.

        Raises:
            ValueError: an offset beyond what was handed out, which only a fault in the caller can bring about.
        """
        for partition, end in ends.items():
            position = self.positions.get(partition)
            if position is None:
                continue
            if end > position:
                raise ValueError(f"{partition} is marked durable up to {end}, but was read up to {position} only")
            self.durable[partition] = max(end, self.durable[partition])

    def uncommitted(self) -> dict[TopicPartition, int]:
        """What to commit: durable offsets beyond those that the group knows."""
        return {partition: offset for partition, offset in self.durable.items() if offset > self.committed[partition]}

    def note_committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """The group knows these offsets now."""
        for partition, offset in offsets.items():
            if partition in self.committed:
                self.committed[partition] = max(offset, self.committed[partition])

    def advance(
        self, fetched: Mapping[TopicPartition, list[RecordT]], positions: Mapping[TopicPartition, int]
    ) -> tuple[dict[TopicPartition, list[RecordT]], dict[TopicPartition, int]]:
        """Take in one poll: the records that were not handed out before, and the ends that they reach.

        Args:
            fetched: records per partition, ascending by offset.
            positions: where the client reads next; beyond the last record where control records or compacted
                records follow it.

        Returns:
            The new records per partition (none empty), and the ends of every partition that moved.
        """
        fresh: dict[TopicPartition, list[RecordT]] = {}
        for partition, records in fetched.items():
            read = self.positions[partition]
            if records and records[0].offset < read:
                records = [record for record in records if record.offset >= read]
            if records:
                fresh[partition] = records
        moved = {
            partition: position for partition, position in positions.items() if position > self.positions[partition]
        }
        self.positions.update(moved)
        return fresh, moved


def resolve_starts(
    partitions: Iterable[TopicPartition],
    stored: Mapping[TopicPartition, int | None],
    committed: Mapping[TopicPartition, int | None],
    bounds: Mapping[TopicPartition, LogBounds],
) -> tuple[dict[TopicPartition, int], list[Expired]]:
    """Where to read each partition from: the offset stored beside the state, else the committed one, else the first.

    Args:
        partitions: what was assigned.
        stored: offsets that belong to the state; absent or None where there is no state.
        committed: offsets of the consumer group; absent or None where nothing was committed.
        bounds: what the log holds.

    Returns:
        The start of every partition, and the records that are gone because retention was shorter than the downtime.

    Raises:
        ConfigurationError: an offset lies beyond the end of the log: the topic was deleted and created anew.
    """
    starts: dict[TopicPartition, int] = {}
    expired: list[Expired] = []
    for partition in sorted(partitions):
        offset, (first, end) = stored.get(partition), bounds[partition]
        if offset is None:
            offset = committed.get(partition)
        if offset is None:
            offset = first
        if offset > end:
            raise ConfigurationError(
                f"processed up to offset {offset}, but the topic ends at {end}: it was deleted and created anew",
                where=f"{partition.topic}, partition {partition.partition}",
                remedy="restore the topic, or start over with an empty data directory and a new consumer group",
            )
        if offset < first:
            expired.append(Expired(partition, first - offset))
        starts[partition] = max(offset, first)
    return starts, expired
