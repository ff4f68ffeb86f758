"""A stage of one worker: its partitions, and the durable window that carries their effects in the one right order.

Compute and publish run batch by batch; the rest of the effects once per window: await Kafka's delivery, insert into
ClickHouse, write RocksDB atomically with the offsets, mark the offsets durable. One window is written while the next
one fills; a crash anywhere replays from the durable offsets to the same ids and values.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog

from clickhouse.columns import to_arrow
from clickhouse.schema import DEFINITIONS
from clickhouse.truncation_table import Erasure
from clickhouse.writer import Writer
from streams.aftermath import Aftermath, Said, nothing_said
from streams.batch import Batch, Record, TopicPartition
from streams.output import Output
from streams.partition import Snapshot
from streams.watermark import SourceClock
from streams.window_counters import WindowCounters, WindowService
from trueup.model.errors import UnavailableError

RETRY_SECONDS_MIN: Final = 0.2
RETRY_SECONDS_MAX: Final = 10.0
BUSY_CHANGES: Final = 4_000
"""Changes of one interval from which a stage is busy: a larger window writes an order that changes again only once."""

BUSY_INTERVALS_MAX: Final = 4
"""How many intervals a busy stage's window may last; it ends before when it holds `flush_max_changes`."""

TOLD_EVERY_SECONDS: Final = 0.2
"""How often the next stage hears how far a stage is: a message to every partition, each a request to the broker."""

DRAIN_SECONDS: Final = 30.0
"""How long one attempt waits for Kafka to acknowledge a window's messages."""

STEPS: Final[Mapping[WindowService, str]] = {"kafka": "delivery to Kafka", "clickhouse": "insert into ClickHouse"}

_log = structlog.get_logger()


class Drain(Protocol):
    """Blocks until every message sent so far is delivered."""

    def __call__(self, timeout_seconds: float) -> None:
        """UnavailableError when it is not in time."""


class StagePartition(Protocol):
    """What a stage needs of its partitions: `OrderPartition`, `StatementPartition` and `MirrorPartition` have it."""

    number: int
    ends: dict[str, int]
    watermark_us: int
    written_us: int
    store: Any

    def process(self, records: Iterable[Record]) -> None:
        """Merge a batch."""

    def advance(self, watermark_us: int) -> None:
        """Judge what is due at a watermark."""

    def has_news(self) -> bool:
        """Whether a window would hold anything."""

    def close_window(self) -> Snapshot:
        """Hand over what the window must write."""

    def window_written(self) -> None:
        """The window is durable."""

    def adopt(self, said: Said) -> None:
        """Go on from what was published before the partition was opened."""


class StageRunner:
    """Runs one stage over the partitions that this worker owns.

    Args:
        open_partition: gives the partition with its state, rebuilt if need be (runs in a thread).
        on_advanced: called after watermarks may have moved, with the partitions of the stage.
    """

    def __init__(  # noqa: PLR0913 - the composition root passes the parts by name
        self,
        name: str,
        topics: Sequence[str],
        *,
        output: Output,
        clock: SourceClock,
        open_partition: Callable[[int, Mapping[str, int]], StagePartition],
        drain: Drain,
        writer: Writer,
        mark_durable: Callable[[Mapping[TopicPartition, int]], None],
        source: str,
        flush_interval_seconds: float,
        flush_max_changes: int,
        on_advanced: Callable[[Collection[StagePartition]], None] | None = None,
    ) -> None:
        self.name = name
        self.topics = tuple(topics)
        self.partitions: dict[int, StagePartition] = {}
        self.counters = WindowCounters()
        self.processed_us = 0
        """When the last batch was processed, µs since the epoch; 0 before the first."""

        self._output = output
        self._clock = clock
        self._open_partition = open_partition
        self._drain = drain
        self._writer = writer
        self._mark_durable = mark_durable
        self._source = source
        self._flush_interval_seconds = flush_interval_seconds
        self._flush_max_changes = flush_max_changes
        self._on_advanced = on_advanced
        self._writing: asyncio.Task[None] | None = None
        self._window_lock = asyncio.Lock()
        self._changes_at_window = 0
        self._intervals_waited = 0
        self._told_at = 0.0
        self._untold = False

    @property
    def in_progress(self) -> int:
        """Changes that were processed and are not durable yet."""
        return self._output.changes - self.counters.changes

    async def handle(self, batch: Batch) -> None:
        """Process one micro-batch; waits for the window under way when too much is held in memory."""
        for number, records in batch.records.items():
            partition = self.partitions.get(number)
            if partition is not None:
                partition.process(records)
                # The window under way takes its next step meanwhile; partitions become durable each for itself.
                await asyncio.sleep(0)
        self.processed_us = self._output.clock_us()
        self.advance()
        if self._output.changes - self._changes_at_window >= self._flush_max_changes:
            await self.flush()
        elif self._writing is not None and self._writing.done():
            await self._writing

    def advance(self) -> None:
        """Bring every partition to its present watermark."""
        for partition in self.partitions.values():
            partition.advance(self._clock.watermark_us(partition.number, self.topics, partition.ends))
        self._untold = True
        if time.monotonic() - self._told_at >= TOLD_EVERY_SECONDS:
            self._tell()

    def _tell(self) -> None:
        """Tell the next stage how far this one is."""
        self._told_at = time.monotonic()
        self._untold = False
        if self._on_advanced is not None and self.partitions:
            self._on_advanced(self.partitions.values())

    async def run_windows(self) -> None:
        """Close a window every interval, a busy stage's later, until cancelled; a failed window ends the worker."""
        while True:
            await asyncio.sleep(self._flush_interval_seconds)
            if self._untold:
                # What moved last, before the source fell silent.
                self._tell()
            self._intervals_waited += 1
            if not self._is_busy():
                await self.flush()

    def _is_busy(self) -> bool:
        """Whether changes come so fast that the window should take in more of them."""
        waited = self._intervals_waited
        return waited < BUSY_INTERVALS_MAX and self._output.changes - self._changes_at_window >= waited * BUSY_CHANGES

    async def flush(self, *, wait: bool = False) -> None:
        """Close the present window and start to write it, after the one before it; `wait` until it is durable."""
        async with self._window_lock:
            self._intervals_waited = 0
            if self._writing is not None:
                await self._writing
                self._writing = None
            partitions = [partition for partition in self.partitions.values() if partition.has_news()]
            if partitions or not self._output.is_empty():
                snapshots = [(partition, partition.close_window()) for partition in partitions]
                versions = {partition.number: snapshot.meta.version for partition, snapshot in snapshots}
                self._add_watermarks(snapshots)
                rows = self._output.take_rows(versions)
                tables = {name: to_arrow(DEFINITIONS[name], rows[name]) for name in sorted(rows, key=insert_order)}
                erasures = self._output.take_erasures()
                self._changes_at_window = self._output.changes
                self._writing = asyncio.create_task(
                    self._make_durable(snapshots, tables, erasures, self._changes_at_window)
                )
            else:
                self.counters.changes = self._output.changes
            if wait and self._writing is not None:
                await self._writing
                self._writing = None

    def _add_watermarks(self, snapshots: list[tuple[StagePartition, Snapshot]]) -> None:
        for partition, snapshot in snapshots:
            meta = snapshot.meta
            if meta.watermark_us:
                # Whoever rebuilds the partition reads back what was published since then: not later than the store would.
                row = (self.name, partition.number, self._source, meta.version, meta.watermark_us, meta.written_us)
                self._output.add_row("watermark", row)

    def adopt(self, aftermath: Aftermath, numbers: Collection[int]) -> None:
        """Let newly opened partitions go on from what was published before."""
        for number in numbers:
            self.partitions[number].adopt(aftermath.get((self.name, number), nothing_said()))
        if self._on_advanced is not None and numbers:
            # Before anything is computed again: what follows may be older than what was sent before.
            self._on_advanced([self.partitions[number] for number in numbers])

    async def assigned(self, committed: Mapping[int, Mapping[str, int]]) -> dict[TopicPartition, int]:
        """Open the partitions that this worker now owns; the offsets to read from.

        `committed` is partition → topic → next offset that the group has committed.
        """
        positions: dict[TopicPartition, int] = {}
        # Nothing is told of a partition between its opening and `adopt`.
        self._untold = False
        for number, offsets in sorted(committed.items()):
            if number not in self.partitions:
                await self._open(number, offsets)
            for topic, offset in self.partitions[number].ends.items():
                positions[TopicPartition(topic, number)] = offset
        return positions

    async def _open(self, number: int, offsets: Mapping[str, int]) -> None:
        """Open a partition in a thread. When cancelled, by a rebalance, wait for the thread: what it opens must be closed."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._open_partition, number, offsets))
        try:
            self.partitions[number] = await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])
            if opening.exception() is None:
                self.partitions[number] = opening.result()
            raise

    async def revoked(self, numbers: Collection[int]) -> None:
        """Make what was done durable, then close the partitions that go elsewhere."""
        try:
            await self.flush(wait=True)
        finally:
            for number in numbers:
                partition = self.partitions.pop(number, None)
                if partition is not None:
                    partition.store.close()

    async def _make_durable(
        self,
        snapshots: list[tuple[StagePartition, Snapshot]],
        tables: Mapping[str, Any],
        erasures: Sequence[Erasure],
        changes: int,
    ) -> None:
        self.counters.began()
        await self._until_available("kafka", lambda: asyncio.to_thread(self._drain, DRAIN_SECONDS))
        if tables:
            await self._until_available("clickhouse", lambda: self._writer.insert(tables))
            self.counters.inserted({name: table.num_rows for name, table in tables.items()})
        if erasures:
            # Behind the rows of this window, which a truncation may have taken as well.
            await self._until_available("clickhouse", lambda: self._writer.erase(erasures))
        for partition, snapshot in snapshots:
            await asyncio.to_thread(partition.store.write, snapshot.puts, snapshot.deletes, snapshot.meta)
        self._mark_durable(
            {
                TopicPartition(topic, partition.number): offset
                for partition, snapshot in snapshots
                for topic, offset in snapshot.meta.ends.items()
            }
        )
        for partition, _ in snapshots:
            partition.window_written()
        self.counters.became_durable(changes)

    async def _until_available(self, service: WindowService, attempt: Callable[[], Awaitable[None]]) -> None:
        """Repeat an attempt while its service is away: nothing is lost or acknowledged, readiness turns red."""
        pause_seconds = RETRY_SECONDS_MIN
        while True:
            try:
                await attempt()
            except UnavailableError as error:
                self.counters.refused(service, str(error))
                _log.warning("service_unavailable", stage=self.name, step=STEPS[service], error=str(error))
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, RETRY_SECONDS_MAX)
            else:
                self.counters.taken()
                return


def insert_order(table: str) -> tuple[bool, bool, bool, str]:
    """Sorts the tables of a window: wide rows first, then what else there is, the audit log behind it, watermarks last.

    Recovery takes the newest row version from the wide rows, so no other table may hold a newer one; and it takes a window
    for complete when its watermark is there. Whoever gave a command reads the answer from the audit log, and looks at once
    at what it is about.
    """
    return (
        table == "watermark",
        table == "audit_log",
        table not in {"order_wide", "statement_wide", "release_wide", "group_wide", "case_wide"},
        table,
    )
