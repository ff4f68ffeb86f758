"""The one composition root: settings in, running parts out."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from cdc.decode import ChangeDecoder
from cdc.delivery import DeliveryProducer
from cdc.source_decoder import source_decoder
from cdc.source_tables import settlement_topics
from cdc.topics import source_topic
from clickhouse.client import connect
from clickhouse.rebuild import read_rule_classes
from clickhouse.release_table import RELEASE_WIDE
from clickhouse.schema import ORDER_WIDE, STATEMENT_WIDE
from clickhouse.writer import Writer
from reconcile.charging.load import load_charging
from reconcile.settlement import settlement_rules, shipped_settlement
from reconcile.spec.model import Tolerances
from streams.batch import Stage, TopicPartition
from streams.case_partition import CasePartition
from streams.case_recovery import CaseRecovery
from streams.faust_app import StreamApp, create_app, run_worker
from streams.leg_partition import legs_markers
from streams.membership import member_name
from streams.messages import TopicNames
from streams.metrics import WorkerMetrics
from streams.mirror_partition import MirrorPartition
from streams.order_partition import OrderPartition
from streams.output import Output
from streams.recovery import Recovery
from streams.reference import References
from streams.release_partition import ReleasePartition
from streams.replays import Targets
from streams.stage import StagePartition, StageRunner
from streams.statement_partition import StatementPartition
from streams.watermark import SourceClock
from streams.worker import (
    CASES,
    GROUPS,
    LEGS,
    MIRRORS,
    RELEASES,
    StageOwner,
    Worker,
    shares_markers,
    stages_of,
    totals_markers,
)
from trueup.case_policy import policy_of
from trueup.embedded.runtime import DataDirLock
from trueup.group_wiring import GroupOpener, LegOpener, Place, consumer_group, stages_of_specs
from trueup.model.tables import MIRRORED_TABLES, REFERENCE_TABLES, TABLES
from trueup.process_endpoint import ProcessState, serve_process
from trueup.settings import Settings, SourceSettings
from trueup.user_specs import read_user_specs

CLICKHOUSE_GIVE_UP_SECONDS: Final = 20.0
"""One attempt to insert; the stage repeats it for as long as ClickHouse is away."""


LOCK_FILE: Final = "worker.lock"
"""Held by the one process that is the worker of a directory."""


STATEMENT_WEIGHT: Final = 8
"""A statement's state, with the partials of all partitions, takes about so much more memory than an order's."""


CASE_WEIGHT: Final = 4
"""A case's state, with its occurrences and answers, beside an order's."""


def wall_clock_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


def tolerances_of(settings: Settings) -> Tolerances:
    """What the settings say to the rules, in their units. Errors: SpecError for a charging spec that cannot be used."""
    rules = settings.rules
    limits = {}
    for name, seconds in rules.stuck_seconds.items():
        table, _, status = name.partition(".")
        limits[(table, status)] = round(seconds * 1_000_000)
    charging = load_charging(settings.charging.spec) if settings.charging.spec else None
    return Tolerances(round(rules.grace_seconds * 1_000_000), limits, charging)


class _AppHandle:
    """What the worker asks of the Faust application."""

    def __init__(self, app: StreamApp) -> None:
        self._app = app

    @property
    def settled(self) -> bool:
        """Whether the group has told its share of the partitions, and all of it is open."""
        return self._app.settled

    def lag_records(self) -> Mapping[str, int]:
        """Stage → records in the log that were not read yet."""
        return self._app.lag_records()

    async def crash(self, reason: BaseException) -> None:
        """End the process with an error."""
        self._app.batch_consumer.fail(reason)


def stages_of_sources(sources: Sequence[SourceSettings]) -> tuple[Stage, ...]:
    """The settlement's stages, each with the topics of its tables in all sources."""
    mirrored = [table.name for table in MIRRORED_TABLES]
    each = [
        stages_of({name: source_topic(source.name, source.schema_name, name) for name in TABLES}, mirrored)
        for source in sources
    ]
    return tuple(
        Stage(alike[0].name, tuple(dict.fromkeys(topic for stage in alike for topic in stage.topics)))
        for alike in zip(*each, strict=True)
    )


class _Builder:
    """Builds the stages of one worker."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.settings = settings
        source = settings.source
        self.topics = settlement_topics(settings.sources)
        self.specs = read_user_specs(settings)
        self.settlement_stages = stages_of_sources(settings.sources)
        self.spec_stages = stages_of_specs(self.specs)
        self.stages = (*self.settlement_stages, *self.spec_stages)
        self.producer = DeliveryProducer(settings.kafka.bootstrap)
        self.client = connect(settings.clickhouse)
        self.writer = Writer(self.client, settings.clickhouse.database, give_up_seconds=CLICKHOUSE_GIVE_UP_SECONDS)
        self.directory = directory
        schemas = {one.name: one.schema_name for one in settings.more_sources}
        self.outputs = {
            stage.name: Output(stage.name, self.producer.send, TopicNames(source.schema_name, schemas), wall_clock_us)
            for stage in self.stages
        }
        self.clocks = {
            stage.name: SourceClock([source.name], self.specs.database_topics)
            if stage.name == LEGS
            else SourceClock([one.name for one in settings.sources])
            for stage in self.stages
        }
        self.reference_decoders = {
            topic: source_decoder(one, table)
            for topic, (one, table) in self.topics.items()
            if table in REFERENCE_TABLES
        }
        self.references = References(
            list(self.reference_decoders), [one.name for one in settings.sources], settings.kafka.partitions
        )
        self.apps: dict[str, StreamApp] = {}

    def decoders(self, stage: Stage) -> dict[str, ChangeDecoder]:
        """Topic → decoder of a stage's source tables."""
        return {topic: source_decoder(*self.topics[topic]) for topic in stage.topics if topic in self.topics}

    def mark_durable(self, stage: str, ends: Mapping[TopicPartition, int]) -> None:
        """Pass the mark on to the transport of the stage's application."""
        self.apps[stage].mark_durable(ends)

    def runner(self, stage: Stage) -> StageRunner:
        """One stage with everything it needs."""
        streams = self.settings.streams
        send, partition_count = self.producer.send, self.settings.kafka.partitions
        markers: dict[str, Callable[[Collection[StagePartition]], None]] = {
            "orders": totals_markers(send, partition_count),
            "statements": shares_markers(send, partition_count),
            LEGS: legs_markers(send, partition_count, self.specs.groups),
        }
        return StageRunner(
            stage.name,
            stage.topics,
            output=self.outputs[stage.name],
            clock=self.clocks[stage.name],
            open_partition=self._opener(stage),
            drain=self.producer.drain,
            writer=self.writer,
            mark_durable=partial(self.mark_durable, stage.name),
            source=self.settings.source.name,
            flush_interval_seconds=streams.flush_interval_seconds,
            flush_max_changes=streams.flush_max_changes,
            on_advanced=markers.get(stage.name),
        )

    def _opener(self, stage: Stage) -> Callable[[int, Mapping[str, int]], StagePartition]:
        output = self.outputs[stage.name]
        if stage.name == LEGS:
            return LegOpener(self.settings, self.specs, output)
        if stage.name == GROUPS:
            place = Place(self.directory / stage.name, self.client)
            return GroupOpener(self.settings, self.specs, tolerances_of(self.settings), output, place)
        openers: dict[str, type[_CaseOpener | _ReleaseOpener]] = {CASES: _CaseOpener, RELEASES: _ReleaseOpener}
        return openers.get(stage.name, _Opener)(self, stage)

    def make_apps(self, worker: Worker, runners: Mapping[str, StageRunner]) -> list[StreamApp]:
        """The applications that feed the stages: one for the settlement, and one for users' own specs if there are any."""
        parts = [(self.settlement_stages, "")]
        if self.spec_stages:
            parts.append((self.spec_stages, consumer_group(self.settings, self.specs)))
        made = []
        for stages, group in parts:
            names = [stage.name for stage in stages]
            handlers = {name: runners[name].handle for name in names}
            member = member_name(self.directory, [topic for stage in stages for topic in stage.topics])
            app = create_app(self.settings, stages, handlers, StageOwner(worker, names), group=group, member=member)
            self.apps.update(dict.fromkeys(names, app))
            made.append(app)
        return made


class _Opener:
    """Opens partitions of one stage with their recovered state."""

    def __init__(self, builder: _Builder, stage: Stage) -> None:
        settings = builder.settings
        self._stage = stage
        self._decoders = builder.decoders(stage)
        self._output = builder.outputs[stage.name]
        self._references = builder.references
        former = read_rule_classes(builder.client, settings.clickhouse.database)
        self._rules = settlement_rules(shipped_settlement(), tolerances_of(settings), former)
        self._partition_count = settings.kafka.partitions
        share = settings.streams.cache_entities // settings.kafka.partitions
        self._cache_entities = share if stage.name == "orders" else share // STATEMENT_WEIGHT
        self._recovery = Recovery(
            builder.directory / stage.name, builder.client, settings.clickhouse.database,
            ORDER_WIDE if stage.name == "orders" else STATEMENT_WIDE,
            batch_rows=settings.streams.rebuild_batch_rows,
        )  # fmt: skip

    def __call__(self, number: int, committed: Mapping[str, int]) -> StagePartition:
        """The partition, ready to process from its own offsets."""
        if self._stage.name == MIRRORS:
            floors = self._recovery.floors(MIRRORS, number)
            return MirrorPartition(
                number, committed, self._decoders, self._output, floors=floors, partition_count=self._partition_count
            )
        opened = self._recovery.open(number, committed)
        kind: Callable[..., OrderPartition | StatementPartition] = OrderPartition
        if self._stage.name == "statements":
            kind = partial(StatementPartition, references=self._references)
        partition = kind(
            number, opened.store, opened.meta, decoders=self._decoders, rules=self._rules,
            output=self._output, partition_count=self._partition_count, cache_entities=self._cache_entities,
        )  # fmt: skip
        partition.month_hints = opened.months
        return partition


class _ReleaseOpener:
    """Opens partitions of the stage of releases with their recovered state."""

    def __init__(self, builder: _Builder, stage: Stage) -> None:
        settings = builder.settings
        self._decoders = builder.decoders(stage)
        self._output = builder.outputs[stage.name]
        self._references = builder.references
        self._tolerances = tolerances_of(settings)
        self._partition_count = settings.kafka.partitions
        self._cache_entities = settings.streams.cache_entities // settings.kafka.partitions // STATEMENT_WEIGHT
        self._recovery = Recovery(
            builder.directory / stage.name, builder.client, settings.clickhouse.database, RELEASE_WIDE,
            batch_rows=settings.streams.rebuild_batch_rows,
        )  # fmt: skip

    def __call__(self, number: int, committed: Mapping[str, int]) -> StagePartition:
        """The partition, ready to process from its own offsets."""
        opened = self._recovery.open(number, committed)
        partition = ReleasePartition(
            number, opened.store, opened.meta, decoders=self._decoders, tolerances=self._tolerances,
            output=self._output, partition_count=self._partition_count, cache_entities=self._cache_entities,
            references=self._references,
        )  # fmt: skip
        partition.month_hints = opened.months
        return partition


class _CaseOpener:
    """Opens partitions of the case stage with their recovered state."""

    def __init__(self, builder: _Builder, stage: Stage) -> None:
        settings = builder.settings
        self._output = builder.outputs[stage.name]
        self._policy = policy_of(settings.cases)
        self._targets = Targets({*builder.topics, *builder.specs.topics}, settings.kafka.partitions)
        self._cache_entities = settings.streams.cache_entities // settings.kafka.partitions // CASE_WEIGHT
        self._recovery = CaseRecovery(
            builder.directory / stage.name, builder.client, settings.clickhouse.database,
            batch_rows=settings.streams.rebuild_batch_rows,
        )  # fmt: skip

    def __call__(self, number: int, committed: Mapping[str, int]) -> StagePartition:
        """The partition, ready to process from its own offsets."""
        store, meta = self._recovery.open(number, committed)
        return CasePartition(
            number, store, meta, policy=self._policy, targets=self._targets, output=self._output,
            cache_entities=self._cache_entities,
        )  # fmt: skip


def run_stream_worker(settings: Settings, number: int, metrics_port: int | None) -> int:
    """Run one worker until SIGTERM; the exit code of its process.

    Errors: ConfigurationError when another process is the worker of this number.
    """
    directory = settings.data_dir / f"worker-{number}"
    directory.mkdir(parents=True, exist_ok=True)
    lock = DataDirLock(directory, LOCK_FILE)
    lock.acquire()
    builder = _Builder(settings, directory)
    runners = {stage.name: builder.runner(stage) for stage in builder.stages}
    worker = Worker(
        runners, builder.outputs, builder.clocks, settings.kafka.bootstrap, builder.references,
        builder.reference_decoders,
    )  # fmt: skip
    apps = builder.make_apps(worker, runners)
    for app in apps:
        worker.attach(_AppHandle(app))
    if metrics_port is not None:
        health = worker.health
        state = ProcessState(WorkerMetrics(health.figures).registry, health.alive, health.parts)
        serve_process(metrics_port, state, settings.metrics_host)
    try:
        return run_worker(apps)
    finally:
        worker.stop()
        builder.writer.close()
        builder.client.close()
        lock.release()
