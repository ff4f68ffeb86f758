"""How far the workers are behind what stands in Kafka, by topic and partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from cdc.delivery import end_offsets
from cdc.source_tables import settlement_topics
from trueup.group_wiring import consumer_group
from trueup.settings import Settings
from trueup.user_specs import read_user_specs


class PartitionLag(NamedTuple):
    """A partition: the offset after its last record, and the one below which the workers have made everything durable."""

    topic: str
    partition: int
    end: int
    durable: int

    @property
    def records(self) -> int:
        """Records that are not durable yet."""
        return max(0, self.end - self.durable)


def group_lag(settings: Settings) -> int | None:
    """Records in the source topics that the workers have not made durable yet; None where the broker cannot tell.

    A topic that users' own specs read as well counts for them too. Errors: UnavailableError.
    """
    read = {settings.kafka.group: list(settlement_topics(settings.sources))}
    specs = read_user_specs(settings)
    if specs.specs:
        read[consumer_group(settings, specs)] = list(specs.topics)
    total = 0
    for group, topics in read.items():
        lags = partition_lags(settings, group, topics)
        if lags is None:
            return None
        total += sum(lag.records for lag in lags)
    return total


def partition_lags(settings: Settings, group: str, topics: Sequence[str] = ()) -> list[PartitionLag] | None:
    """Every partition of the topics, or of all topics that the group has committed; None where the broker cannot tell.

    Errors: UnavailableError when the broker does not answer.
    """
    durable = committed_offsets(settings, group)
    if durable is None:
        return None
    ends = end_offsets(settings.kafka.bootstrap, list(topics) or sorted({topic for topic, _ in durable}))
    return [
        PartitionLag(topic, number, end, max(0, durable.get((topic, number), 0)))
        for topic, offsets in ends.items()
        for number, end in enumerate(offsets)
    ]


def committed_offsets(settings: Settings, group: str = "") -> dict[tuple[str, int], int] | None:
    """(topic, partition) → the offset below which the workers have made everything durable; None where the broker cannot tell.

    `group` is a consumer group other than that of the settings.
    """
    try:
        admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap, client_id="trueup-status")
    except KafkaError:
        # The broker in memory does not speak all of the protocol.
        return None
    try:
        name = group or settings.kafka.group
        committed = admin.list_group_offsets(name)[name]
    except KafkaError:
        return None
    finally:
        admin.close()
    return {(place.topic, place.partition): held.offset for place, held in committed.items()}
