"""Faust's Kafka transport in micro-batches: one message per stage and poll, commits only of what is durable.

Faust keeps its agents, its services and its rebalance protocol. This transport replaces what is in between: a *lease*
begins when partitions are assigned (their owner rebuilds its state and names the offsets to read from) and ends when
they are revoked (running handlers end, the owner flushes, durable offsets are committed). Records are fetched within a
lease only, and a batch whose lease has ended is dropped unread, since its records are read again under the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import structlog
from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types.tuples import TP, Message
from mode.utils.queues import FlowControlEvent

from streams.batch import Batch, Lease, Record, Stage, TopicPartition, group_by_partition, partitions_of
from streams.durable import OffsetLedger, resolve_starts
from streams.fetch_thread import FetchThread
from streams.time_order import TimeOrder
from trueup.model.errors import ConfigurationError

log = structlog.get_logger()

Handler = Callable[[Batch], Awaitable[None]]


class PartitionOwner(Protocol):
    """Whoever keeps the state of the partitions. Both calls are awaited, within the bounds of `Limits`."""

    async def on_partitions_assigned(
        self, committed: Mapping[TopicPartition, int | None]
    ) -> Mapping[TopicPartition, int | None]:
        """Make the state ready before any record arrives. May be cancelled when the assignment changes meanwhile.

        Args:
            committed: every assigned partition and the group's committed offset; None if there is none.

        Returns:
            The offset to read from, as stored beside the state; absent or None takes the committed one, or the first.
        """

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Flush, mark durable, let go. No handler runs any more, and the partitions have no new owner yet.

        Called once for each call of `on_partitions_assigned`, also if that was cancelled; not after a handler failed.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a worker.

    Args:
        batch_records_max: records of one batch.
        batches_waiting_max: batches per stage that wait while the handler is busy; fetching stops at the bound.
        open_seconds_max: for rebuilding state after an assignment.
        drain_seconds_max: for running handlers to end and the owner to flush; below `rebalance_seconds_max`.
        rebalance_seconds_max: how long the group waits for a worker to give its partitions back.
        session_seconds_max: without a heartbeat for so long, a worker counts as dead.
        commit_interval_seconds: how often durable offsets are committed.
        partition_fetch_bytes_max: prefetched per partition.
    """

    batch_records_max: int = 8000
    batches_waiting_max: int = 1
    open_seconds_max: float = 900.0
    drain_seconds_max: float = 45.0
    rebalance_seconds_max: float = 60.0
    session_seconds_max: float = 10.0
    commit_interval_seconds: float = 1.0
    partition_fetch_bytes_max: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What is consumed, for whom, within which bounds."""

    stages: tuple[Stage, ...]
    owner: PartitionOwner
    limits: Limits


class _Lane:
    """The batches of one stage under one lease, between the fetch and the agent."""

    def __init__(self, stage: Stage, batches_waiting_max: int) -> None:
        self.stage = stage
        self.room = asyncio.Semaphore(batches_waiting_max)
        self.delivered = 0
        self.begun = 0


class OpenFlow(FlowControlEvent):
    """Faust's flow control, always open.

    Faust empties its queues when flow is suspended and again when it resumes, and a resume of an earlier rebalance can
    come late: it would swallow batches of the present lease. Leases decide here what is stale.
    """

    def __init__(self) -> None:
        super().__init__(initially_suspended=False)

    def suspend(self) -> None:
        """Stay open."""

    def clear(self) -> None:
        """Keep what is queued."""


class BatchConsumer(Consumer):
    """Faust's consumer: rebalances, leases, fetch loops and commits."""

    transport: BatchTransport
    _thread: FetchThread

    def __init__(self, transport: BatchTransport, **kwargs: Any) -> None:
        self.ledger = OffsetLedger()
        self.failure: BaseException | None = None
        self.failed = asyncio.Event()
        self._plan = transport.plan
        self._lease: Lease | None = None
        self._opened = False
        self._joined = False
        self._lanes: dict[str, _Lane] = {}
        self._lease_tasks: list[asyncio.Task[None]] = []
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = asyncio.Lock()
        self._committing = asyncio.Lock()
        super().__init__(transport, **kwargs)

    def _new_consumer_thread(self) -> FetchThread:
        return FetchThread(self, loop=self.loop, beacon=self.beacon)

    async def handle(self, batch: Batch, handler: Handler) -> None:
        """Run the handler on a batch, unless its lease has ended. Called by the agent of the stage.

        A handler that raises ends the worker: nothing after it is read, and the batch is read again after a restart.
        """
        if not batch.lease.valid:
            return
        lane = self._lanes[batch.stage]
        lane.begun += 1
        lane.room.release()
        self._running += 1
        self._idle.clear()
        try:
            if batch.number != lane.begun:
                raise AssertionError(f"batch {batch.number} of {batch.stage} came as number {lane.begun}")
            await handler(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the worker
            error.add_note(f"in the handler of {batch.stage}, on batch {batch.number}: it is not durable")
            self.fail(error)
        finally:
            # Faust's event and stream point at each other: without this the records wait for the garbage collector.
            batch.records.clear()
            self._running -= 1
            if not self._running:
                self._idle.set()

    def mark_durable(self, ends: Mapping[TopicPartition, int]) -> None:
        """Everything before these offsets is durable: outputs delivered, state written. See `OffsetLedger`."""
        self.ledger.mark_durable(ends)

    async def drain(self) -> None:
        """End the lease: stop fetching, let handlers end, let the owner flush, commit what is durable.

        Returns at once when there is no lease. Fails the worker when it takes longer than `drain_seconds_max`.
        """
        async with self._draining:
            lease, self._lease = self._lease, None
            if lease is None:
                return
            lease.valid = False
            await self._cancel_tasks()
            if self.app.crashed:
                # Something within Faust failed, and took the consumer's thread with it.
                self.fail(self.app.crash_reason or RuntimeError("Faust crashed"))
                return
            try:
                async with asyncio.timeout(self._plan.limits.drain_seconds_max):
                    if self.failure is None:
                        await self._idle.wait()
                    # Looked at again: the handler that was awaited may have failed.
                    if self.failure is None and self._opened:
                        await self._plan.owner.on_partitions_revoked(lease.partitions)
                    await self.commit()
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends the worker
                self.fail(error)
            self.ledger.close()
            self._opened = False

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Called by the group's protocol before this worker rejoins; heartbeats go on meanwhile."""
        self._joined = False
        await self.drain()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Called by the group's protocol. No heartbeat is sent until it returns, so the lease opens in a task."""
        await super().on_partitions_assigned(assigned, generation_id)
        if assigned and self.failure is None and not self.app.should_stop:
            self._lease = Lease(frozenset(TopicPartition(*partition) for partition in assigned))
            self._spawn(self._open(self._lease))
        self._joined = True

    @property
    def settled(self) -> bool:
        """Whether the group has told this worker its share of the partitions, and all of it is open; it may be none."""
        return self._joined and (self._lease is None or bool(self.ledger.positions))

    async def _open(self, lease: Lease) -> None:
        self._require_equal_partition_counts()
        async with asyncio.timeout(self._plan.limits.open_seconds_max):
            committed = await self._thread.fetch_committed(lease.partitions)
            self._opened = True
            stored = await self._plan.owner.on_partitions_assigned(committed)
            bounds = await self._thread.fetch_bounds(lease.partitions)
            starts, expired = resolve_starts(lease.partitions, stored, committed, bounds)
            for gap in expired:
                log.error("records expired before they were read", partition=str(gap.partition), records=gap.records)
            await self._thread.seek_all(starts)
        self.ledger.open(starts, {partition: bound.end for partition, bound in bounds.items()}, committed)
        self._lanes = {s.name: _Lane(s, self._plan.limits.batches_waiting_max) for s in self._plan.stages}
        for lane in self._lanes.values():
            if partitions := partitions_of(lane.stage, lease.partitions):
                self._spawn(self._consume(lane, lease, partitions))
        log.info("partitions assigned", partitions=len(lease.partitions))

    def _require_equal_partition_counts(self) -> None:
        for stage in self._plan.stages:
            counts = {topic: self._thread.partition_count(topic) for topic in stage.topics}
            if len({count for count in counts.values() if count}) > 1:
                raise ConfigurationError(
                    "topics that are joined must have one partition count",
                    where=", ".join(f"{topic}: {count}" for topic, count in counts.items()),
                    remedy="create the topics anew with equal partition counts",
                )

    async def _consume(self, lane: _Lane, lease: Lease, partitions: frozenset[TopicPartition]) -> None:
        """Fetch for one stage, as long as the lease lasts; cancelled when it ends."""
        order = TimeOrder(partitions)
        while True:
            await lane.room.acquire()
            records, ends = await self._read(order)
            lane.delivered += 1
            batch = Batch(lane.stage.name, lane.delivered, group_by_partition(records), ends, lease)
            await self.callback(self._message_of(batch))

    async def _read(self, order: TimeOrder) -> tuple[dict[TopicPartition, list[Record]], dict[TopicPartition, int]]:
        """The next records and the ends they reach; waits until there are any."""
        while True:
            fetched = await self._thread.fetch(order, self._plan.limits.batch_records_max)
            self.ledger.ends.update(fetched.ends)
            records, ends = self.ledger.advance(fetched.records, fetched.positions)
            if ends:
                return records, ends

    def _message_of(self, batch: Batch) -> Message:
        """Faust routes a message by its partition: any one of the batch stands for all, since a stage has one channel."""
        (topic, partition), end = next(iter(batch.ends.items()))
        return Message(
            topic,
            partition,
            end - 1,
            timestamp=0.0,
            timestamp_type=0,
            headers=None,
            key=None,
            value=cast("bytes", batch),  # the channel's schema hands it through as it is
            checksum=None,
            tp=TP(topic, partition),
            generation_id=self.app.consumer_generation_id,
        )

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            try:
                await coroutine
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends the worker
                self.fail(error)

        self._lease_tasks.append(asyncio.get_running_loop().create_task(guarded()))

    async def _cancel_tasks(self) -> None:
        while self._lease_tasks:
            task = self._lease_tasks.pop()
            task.cancel()
            await asyncio.wait([task])

    def fail(self, error: BaseException) -> None:
        """Read no further, and end the worker in good order; for errors of the owner's tasks too. The first counts.

        Not Service.crash: it stops the consumer's thread at once, which must still commit what is durable.
        """
        if self.failure is None:
            self.failure = error
            if self._lease is not None:
                self._lease.valid = False
            self.failed.set()

    async def commit(self, *_: Any, **__: Any) -> bool:
        """Commit durable offsets, and nothing else; Faust calls it on its interval. Acknowledgements mean nothing."""
        async with self._committing:
            offsets = self.ledger.uncommitted()
            if not offsets or not await self._thread.commit(offsets):
                return False
            self.ledger.note_committed(offsets)
            return True

    async def wait_empty(self) -> None:
        """Called by Faust when the worker stops, while its agents still run."""
        await self.drain()

    async def _drain_messages(self, fetcher: Any) -> None:
        # Faust's fetcher has nothing to do. It must not see the cancellation either: during a rebalance it would
        # take it for a crash.
        with contextlib.suppress(asyncio.CancelledError):
            await fetcher.wait_until_stopped()

    async def perform_seek(self) -> None:
        """Faust's recovery seeks to committed offsets; here every lease seeks for itself."""

    async def verify_all_partitions_active(self) -> None:
        """Faust's livelock detector goes by acknowledgements; `ledger` tells how far behind a worker is."""

    def close(self) -> None:
        """Faust calls it on a rebalance while stopping, from the wrong thread; the thread closes its own consumer."""


class BatchTransport(Transport):
    """Makes `BatchConsumer`s. Set as `app.transport`."""

    Consumer: ClassVar[type[Any]] = BatchConsumer

    def __init__(self, url: list[Any], app: Any, plan: Plan) -> None:
        super().__init__(url, app)
        self.plan = plan
