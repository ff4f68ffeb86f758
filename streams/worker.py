"""One worker process: the stages over the partitions it owns, driven by Faust's batches and by heartbeats."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Final, Protocol

import structlog

from cdc.decode import ChangeDecoder
from streams.aftermath import read_aftermath
from streams.batch import Stage, TopicPartition
from streams.case_partition import CASE_TOPICS
from streams.heartbeats import HeartbeatReader
from streams.markers import MarkerSender
from streams.messages import PARTIALS_TOPIC, Marker, encode_watermarks
from streams.order_partition import OrderPartition
from streams.output import Output, Sender
from streams.reference import ReferenceReader, ReferenceRecord, References
from streams.release_messages import SHARES_TOPIC, encode_reached
from streams.stage import StagePartition, StageRunner
from streams.statement_partition import StatementPartition
from streams.watermark import Heartbeat, SourceClock
from streams.worker_health import AppStanding, WorkerHealth

GC_INTERVAL_SECONDS: Final = 20.0
"""States hold no cycles, so automatic collections took a tenth of the time; Faust's events do, and are collected so."""

MIRRORS: Final = "mirrors"
CASES: Final = "cases"
RELEASES: Final = "releases"
LEGS: Final = "legs"
GROUPS: Final = "groups"
SILENT: Final = frozenset({MIRRORS, CASES, LEGS})
"""Stages that publish nothing that could be wrong later, so that nothing they said has to be read back."""

_log = structlog.get_logger()


class AppControl(AppStanding, Protocol):
    """What the worker asks of the Faust application."""

    async def crash(self, reason: BaseException) -> None:
        """End the process with an error."""


def totals_markers(send: Sender, partition_count: int) -> MarkerSender[Marker]:
    """Tells stage 2 how far the partials of stage-1 partitions go."""

    def marker_of(partition: StagePartition) -> Marker:
        assert isinstance(partition, OrderPartition)
        return partition.marker

    return MarkerSender(send, PARTIALS_TOPIC, partition_count, marker_of, encode_watermarks)


def shares_markers(send: Sender, partition_count: int) -> MarkerSender[int]:
    """Tells stage 3 how far the release shares of stage-2 partitions go."""

    def marker_of(partition: StagePartition) -> int | None:
        assert isinstance(partition, StatementPartition)
        return partition.source_watermark_us or None

    return MarkerSender(send, SHARES_TOPIC, partition_count, marker_of, encode_reached)


class StageOwner:
    """Some stages of a worker as one application sees them: implements the transport's `PartitionOwner`."""

    def __init__(self, worker: Worker, names: Collection[str]) -> None:
        self._worker = worker
        self._names = tuple(names)

    async def on_partitions_assigned(
        self, committed: Mapping[TopicPartition, int | None]
    ) -> Mapping[TopicPartition, int | None]:
        """Open every assigned partition's state, then name the offsets to read from."""
        return await self._worker.open(self._names, committed)

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Flush and close the partitions."""
        await self._worker.close(self._names, partitions)


class Worker:
    """The stages of one process, what drives them beside records, and what they tell about themselves."""

    def __init__(
        self,
        stages: Mapping[str, StageRunner],
        outputs: Mapping[str, Output],
        clocks: Mapping[str, SourceClock],
        bootstrap: str,
        references: References,
        reference_decoders: Mapping[str, ChangeDecoder],
    ) -> None:
        self._stages = stages
        self._clocks = clocks
        self._bootstrap = bootstrap
        self._references = references
        self._heartbeats = HeartbeatReader(bootstrap, self._on_heartbeats)
        self._reference_reader = ReferenceReader(
            bootstrap, reference_decoders, references.partition_count, self._on_references, self._on_failure
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._resting = set(stages)
        """Stages that may not judge: their partitions have not adopted yet what was said, or are being let go."""
        self._apps: list[AppControl] = []
        self.health = WorkerHealth(stages, outputs, clocks, self._apps, lambda: self._heartbeats.answered)

    def attach(self, app: AppControl) -> None:
        """Give the worker an application; must happen before it starts."""
        self._apps.append(app)

    async def open(
        self, names: Sequence[str], committed: Mapping[TopicPartition, int | None]
    ) -> Mapping[TopicPartition, int | None]:
        """Open the state of every assigned partition of these stages, then name the offsets to read from."""
        self._start_once()
        self._resting.update(names)
        positions = await self._open(names, committed)
        self._resting.difference_update(names)
        _log.info("partitions_assigned", count=len(committed))
        return positions

    async def _open(
        self, names: Sequence[str], committed: Mapping[TopicPartition, int | None]
    ) -> dict[TopicPartition, int | None]:
        positions: dict[TopicPartition, int | None] = {}
        opened: dict[str, set[int]] = {}
        for stage in map(self._stages.__getitem__, names):
            by_number: dict[int, dict[str, int]] = {}
            for (topic, number), offset in committed.items():
                if topic in stage.topics:
                    by_number.setdefault(number, {})[topic] = offset or 0
            opened[stage.name] = by_number.keys() - stage.partitions.keys()
            positions.update(await stage.assigned(by_number))
        await self._adopt(opened)
        return positions

    async def _adopt(self, opened: Mapping[str, set[int]]) -> None:
        """Take over what was published and did not become durable, before any record is processed."""
        since = [
            self._stages[name].partitions[number].written_us
            for name, numbers in opened.items()
            for number in numbers
            if name not in SILENT
        ]
        if since:
            aftermath = await asyncio.to_thread(read_aftermath, self._bootstrap, min(since))
            for name, numbers in opened.items():
                self._stages[name].adopt(aftermath, numbers)

    async def close(self, names: Sequence[str], partitions: frozenset[TopicPartition]) -> None:
        """Flush and close the partitions of these stages."""
        # What was judged after the last window would belong to partitions that are gone.
        self._resting.update(names)
        for stage in map(self._stages.__getitem__, names):
            await stage.revoked({number for topic, number in partitions if topic in stage.topics})
        _log.info("partitions_revoked", count=len(partitions))

    def stop(self) -> None:
        """Stop what runs beside the application."""
        self._heartbeats.stop()
        self._reference_reader.stop()
        for task in self._tasks:
            task.cancel()

    def _start_once(self) -> None:
        if self._loop is not None:
            return
        gc.collect()
        gc.freeze()
        gc.disable()
        self._loop = self.health.loop = asyncio.get_running_loop()
        self._heartbeats.start()
        self._reference_reader.start()
        for stage in self._stages.values():
            self._tasks.append(self._loop.create_task(self._guarded(stage.run_windows())))
        self._tasks.append(self._loop.create_task(self._guarded(_collect_garbage())))

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        """Run a task beside Faust's agents; its failure ends the worker, which restarts from the durable offsets."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a task has no caller: its failure must end the worker
            await self._crash(error)

    async def _crash(self, error: BaseException) -> None:
        _log.error("worker_task_failed", error=str(error), exc_info=error)
        for app in self._apps:
            await app.crash(error)

    def _on_heartbeats(self, heartbeats: list[Heartbeat]) -> None:
        """Called in the reader's thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._take_heartbeats, heartbeats)

    def _take_heartbeats(self, heartbeats: list[Heartbeat]) -> None:
        try:
            self._references.hear(heartbeats)
            for name, stage in self._stages.items():
                for heartbeat in heartbeats:
                    self._clocks[name].add(heartbeat)
                if name in self._resting:
                    continue
                stage.advance()
                if stage.partitions:
                    self._clocks[name].forget_before(
                        min(partition.watermark_us for partition in stage.partitions.values())
                    )
        except Exception as error:  # noqa: BLE001 - a callback has no caller: the failure must end the worker
            assert self._loop is not None
            self._tasks.append(self._loop.create_task(self._crash(error)))

    def _on_references(self, records: list[ReferenceRecord]) -> None:
        """Called in the reader's thread; what is judged with them waits for the next heartbeat."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._references.take, records)

    def _on_failure(self, error: BaseException) -> None:
        """Called in a reader's thread."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._crash(error), self._loop)


async def _collect_garbage() -> None:
    """Collect at intervals, and take what lives on out of the collector's sight, so that the next time is short."""
    while True:
        await asyncio.sleep(GC_INTERVAL_SECONDS)
        gc.collect()
        gc.freeze()


def stages_of(source_topics: Mapping[str, str], mirrored: Sequence[str]) -> tuple[Stage, ...]:
    """The stages of a worker; `source_topics` is table → topic, `mirrored` the tables that no stage joins."""
    return (
        Stage("orders", tuple(source_topics[table] for table in ("orders", "billing_item", "payout_item"))),
        Stage("statements", (*(source_topics[table] for table in ("statement", "payout")), PARTIALS_TOPIC)),
        Stage(RELEASES, (source_topics["release_summary"], SHARES_TOPIC)),
        Stage(MIRRORS, tuple(source_topics[table] for table in mirrored)),
        Stage(CASES, CASE_TOPICS),
    )
