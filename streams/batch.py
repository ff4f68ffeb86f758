"""The values that flow from the transport to the agents: stages, leases and micro-batches. Plain data, no Kafka client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar


class TopicPartition(NamedTuple):
    """One partition of one topic; equal, as any tuple, to the Kafka clients' own pairs."""

    topic: str
    partition: int


class Record(Protocol):
    """One Kafka record as the client hands it over: raw bytes, undecoded."""

    @property
    def topic(self) -> str:
        """Name of its topic."""

    @property
    def partition(self) -> int:
        """Number of its partition."""

    @property
    def offset(self) -> int:
        """Its offset in the partition."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch, as the broker keeps it."""

    @property
    def key(self) -> bytes | None:
        """The raw key."""

    @property
    def value(self) -> bytes | None:
        """The raw value; None is a tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Name and raw value, as they were sent."""


RecordT = TypeVar("RecordT", bound=Record)


@dataclass(frozen=True, slots=True)
class Stage:
    """Topics that are consumed together and joined by partition number.

    Args:
        name: names the agent.
        topics: all with one partition count and one partitioner.
    """

    name: str
    topics: tuple[str, ...]


@dataclass(slots=True, eq=False)
class Lease:
    """The right to a set of partitions, from their assignment until they are revoked.

    Args:
        partitions: all partitions of all stages that this worker holds.
        valid: False from the moment the partitions are revoked; never True again.
    """

    partitions: frozenset[TopicPartition]
    valid: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The records of one stage from one poll.

    Args:
        stage: name of the stage.
        number: 1, 2, 3 … per stage and lease.
        records: partition number → records of every topic of the stage, ascending by offset within a topic. Emptied
            when the handler has returned.
        ends: the offset after the last one that this batch covers, per topic partition. Marking these durable says
            that everything before them is.
        lease: the assignment that the records were read under. A handler that works long may look at `lease.valid`.
    """

    stage: str
    number: int
    records: dict[int, list[Record]]
    ends: Mapping[TopicPartition, int]
    lease: Lease

    @property
    def size(self) -> int:
        """Records in the batch."""
        return sum(map(len, self.records.values()))


def group_by_partition(fetched: Mapping[TopicPartition, list[RecordT]]) -> dict[int, list[RecordT]]:
    """Records per partition number, over all topics; the lists of a partition with one topic are not copied."""
    grouped: dict[int, list[RecordT]] = {}
    for (_, partition), records in fetched.items():
        held = grouped.get(partition)
        grouped[partition] = records if held is None else held + records
    return grouped


def partitions_of(stage: Stage, partitions: Iterable[TopicPartition]) -> frozenset[TopicPartition]:
    """Those partitions that belong to a stage."""
    return frozenset(partition for partition in partitions if partition.topic in stage.topics)
