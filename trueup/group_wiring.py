"""Composes the two stages of users' own specs: nothing of it exists when the settings name none."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client

from cdc.decode import ChangeDecoder
from cdc.delivery import first_offsets
from cdc.source_decoder import source_decoder
from clickhouse.schema import GROUP_WIDE
from reconcile.spec.model import Tolerances
from streams.batch import Stage
from streams.group_messages import LEGS_TOPIC, definitions_of
from streams.group_partition import GroupPartition
from streams.group_state import Groups
from streams.leg_partition import LegPartition, routes_of
from streams.output import Output
from streams.recovery import Recovery
from streams.stage import StagePartition
from streams.worker import GROUPS, LEGS
from trueup.model.tables import Table
from trueup.settings import Settings
from trueup.user_specs import UserSpecs

GROUP_WEIGHT: Final = 2
"""A group's state beside an order's."""


def stages_of_specs(specs: UserSpecs) -> tuple[Stage, ...]:
    """The stages that users' own specs need: none without specs."""
    return (Stage(LEGS, specs.topics), Stage(GROUPS, (LEGS_TOPIC,))) if specs.specs else ()


def consumer_group(settings: Settings, specs: UserSpecs) -> str:
    """The consumer group of these stages: another one for other definitions, so that their topics are read from the start.

    It is not the settings' group, because a topic of the settlement may be a leg as well.
    """
    return f"{settings.kafka.group}-specs-{definitions_of(specs.groups)}"


def _decoder_of(settings: Settings, specs: UserSpecs, topic: str, table: Table) -> ChangeDecoder:
    """Rows of files are written plainly, whatever the settings say of the database's connector."""
    return ChangeDecoder(table) if topic in specs.file_topics else source_decoder(settings.source, table)


class Place(NamedTuple):
    """Where the states of one stage are kept and rebuilt from."""

    directory: Path
    client: Client


class LegOpener:
    """Opens partitions of stage *legs*."""

    def __init__(self, settings: Settings, specs: UserSpecs, output: Output) -> None:
        self._bootstrap = settings.kafka.bootstrap
        self._routes = routes_of(specs.groups, specs.topic_of, partial(_decoder_of, settings, specs))
        self._output = output
        self._partition_count = settings.kafka.partitions

    def __call__(self, number: int, committed: Mapping[str, int]) -> StagePartition:
        """The partition, ready to read on; what retention took before the first start is not waited for."""
        first = first_offsets(self._bootstrap, list(committed))
        ends = {topic: max(offset, first[topic][number]) for topic, offset in committed.items()}
        return LegPartition(number, ends, self._routes, self._output, partition_count=self._partition_count)


class GroupOpener:
    """Opens partitions of stage *groups* with their recovered state."""

    def __init__(
        self, settings: Settings, specs: UserSpecs, tolerances: Tolerances, output: Output, place: Place
    ) -> None:
        self._groups = Groups(specs.specs, tolerances)
        self._tolerances = tolerances
        self._output = output
        self._partition_count = settings.kafka.partitions
        self._cache_entities = settings.streams.cache_entities // settings.kafka.partitions // GROUP_WEIGHT
        self._recovery = Recovery(
            place.directory, place.client, settings.clickhouse.database, GROUP_WIDE,
            batch_rows=settings.streams.rebuild_batch_rows,
        )  # fmt: skip

    def __call__(self, number: int, committed: Mapping[str, int]) -> StagePartition:
        """The partition, ready to process from its own offsets."""
        opened = self._recovery.open(number, committed)
        partition = GroupPartition(
            number, opened.store, opened.meta, groups=self._groups, tolerances=self._tolerances,
            output=self._output, partition_count=self._partition_count, cache_entities=self._cache_entities,
        )  # fmt: skip
        partition.month_hints = opened.months
        return partition
