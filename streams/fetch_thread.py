"""The Kafka consumer in its own thread: fetches, commits and seeks; heartbeats go on there whatever the agents do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import aiokafka
import structlog
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as ClientPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, credentials_to_aiokafka_auth, server_list

from streams.assignor import NumberAssignor
from streams.batch import Record, TopicPartition
from streams.durable import LogBounds
from streams.fetch_pace import pace_fetches
from streams.time_order import BATCH_BYTES_MAX, STEP_RECORDS_MAX, TimeOrder, bytes_of

log = structlog.get_logger()

ResultT = TypeVar("ResultT")

# How long one fetch waits for records before it looks around; a record that arrives ends the wait at once.
POLL_SECONDS: Final = 1.0
# A partition that was being read when the fetch was sent is missing in it. While the broker holds that fetch open, the
# partition waits: this is the most that it waits.
FETCH_WAIT_MS_MAX: Final = 50
# Handlers may take as long as they need: the group must not lose a worker because ClickHouse is slow. (24 days.)
POLL_INTERVAL_MS_MAX: Final = 2**31 - 1


class Fetched(NamedTuple):
    """One poll: records per partition, and for every partition asked for, where the client and the log are."""

    records: dict[TopicPartition, list[Record]]
    positions: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]


class FetchThread(AIOKafkaConsumerThread):
    """Runs aiokafka's consumer; the public coroutines are called from the main loop."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[NumberAssignor()],
            enable_auto_commit=False,
            # The start of every partition is sought after each assignment. Should retention overtake it later, the
            # worker fails and starts again, rather than step over what is gone without a word.
            auto_offset_reset="none",
            max_poll_interval_ms=POLL_INTERVAL_MS_MAX,
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            # What a source wrote in a transaction that it then aborted never happened.
            isolation_level="read_committed",
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def on_start(self) -> None:
        """Start the consumer, and pace its fetches."""
        await super().on_start()
        pace_fetches(self._ensure_consumer()._fetcher)

    async def on_thread_stop(self) -> None:
        """Leave the group after a clean stop; after a failure stay its member, for the process comes back soon."""
        consumer = self._consumer
        app: Any = self.app
        if consumer is not None and app.batch_consumer.failure is None and app.crash_reason is None:
            # A member with a name of its own is never taken out of the group by aiokafka, one without a name always is.
            consumer._coordinator._group_instance_id = None
        await super().on_thread_stop()

    async def fetch(self, order: TimeOrder, records_max: int) -> Fetched:
        """Records of its partitions as soon as there are any, in their order; empty after `POLL_SECONDS`.

        Raises:
            aiokafka.errors.KafkaError: reading cannot go on, such as an offset that no longer exists.
        """
        return await self._call(self._fetch(order, records_max))

    async def fetch_committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        """The offsets that the group committed; None where it never did."""
        return await self._call(self._fetch_committed([ClientPartition(*partition) for partition in partitions]))

    async def fetch_bounds(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogBounds]:
        """What the log of each partition holds."""
        return await self._call(self._fetch_bounds([ClientPartition(*partition) for partition in partitions]))

    def partition_count(self, topic: str) -> int:
        """How many partitions the topic has, as far as is known; 0 while it is missing."""
        return len(self._ensure_consumer().partitions_for_topic(topic) or ())

    async def seek_all(self, starts: Mapping[TopicPartition, int]) -> None:
        """Read next from these offsets."""
        await self._call(self._seek_all(starts))

    async def commit(self, offsets: Mapping[Any, int]) -> bool:
        """Commit to the group; False when that was not possible. The state keeps its own offsets, so that is no harm."""
        return await self._call(self._commit_offsets(offsets))

    async def _call(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        # Not call_thread: its queue has two workers, and a fetch of every stage would keep commits waiting.
        future = asyncio.run_coroutine_threadsafe(coroutine, self.thread_loop)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ConsumerStoppedError from None  # the thread was stopped, not the caller

    async def _fetch(self, order: TimeOrder, records_max: int) -> Fetched:
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():
            records = await _take(fetcher, order, records_max)
            if not records:
                awaited = order.awaited(partial(_is_unread, fetcher), time.monotonic())
                most = min(STEP_RECORDS_MAX, records_max)
                came = await fetcher.fetched_records(awaited, timeout=POLL_SECONDS, max_records=most)
                for partition, rows in came.items():
                    order.took(partition, rows, time.monotonic())
                    records[partition] = rows
        # No await from here on: records and positions belong together.
        positions, ends = {}, {}
        for partition in order.partitions:
            state = _state_of(fetcher, partition)
            if state is None:
                continue
            if state.has_valid_position:
                positions[partition] = state.position
            if (end := _end_of(state)) is not None:
                ends[partition] = end
        return Fetched({TopicPartition(*partition): rows for partition, rows in records.items()}, positions, ends)

    async def _fetch_committed(self, partitions: list[ClientPartition]) -> dict[TopicPartition, int | None]:
        found = await self._ensure_consumer()._coordinator.fetch_committed_offsets(partitions)
        offsets = {partition: found[partition].offset if partition in found else -1 for partition in partitions}
        return {TopicPartition(*tp): offset if offset >= 0 else None for tp, offset in offsets.items()}

    async def _fetch_bounds(self, partitions: list[ClientPartition]) -> dict[TopicPartition, LogBounds]:
        consumer = self._ensure_consumer()
        firsts, ends = await asyncio.gather(consumer.beginning_offsets(partitions), consumer.end_offsets(partitions))
        return {TopicPartition(*partition): LogBounds(firsts[partition], ends[partition]) for partition in partitions}

    async def _seek_all(self, starts: Mapping[TopicPartition, int]) -> None:
        consumer = self._ensure_consumer()
        for partition, offset in starts.items():
            consumer.seek(ClientPartition(*partition), offset)

    async def _commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> bool:
        consumer = self._ensure_consumer()
        held = consumer.assignment()
        commits = {
            ClientPartition(*partition): OffsetAndMetadata(offset, "")
            for partition, offset in offsets.items()
            if partition in held
        }
        if len(commits) < len(offsets):
            return False
        try:
            await consumer.commit(commits)
        except CommitFailedError:
            log.info("offsets not committed: the group rebalances")
            return False
        except KafkaError as error:
            log.warning("offsets not committed, next time again", error=str(error))
            return False
        return True


async def _take(fetcher: Any, order: TimeOrder, records_max: int) -> dict[TopicPartition, list[Record]]:
    """What an aiokafka `Fetcher` holds already, as much as one batch may: a step of each partition number in turn."""
    is_unread = partial(_is_unread, fetcher)
    taken: dict[TopicPartition, list[Record]] = {}
    room, room_bytes = records_max, BATCH_BYTES_MAX
    numbers = order.numbers
    while numbers and room > 0 and room_bytes > 0:
        for number in list(numbers):
            step = await _step(fetcher, order, order.turn(number, is_unread, time.monotonic()), room)
            if step is None:
                numbers.remove(number)
                continue
            partition, rows = step
            taken.setdefault(partition, []).extend(rows)
            room -= len(rows)
            room_bytes -= bytes_of(rows)
            if room <= 0 or room_bytes <= 0:
                break
    return taken


async def _step(
    fetcher: Any, order: TimeOrder, turn: Iterable[TopicPartition], room: int
) -> tuple[TopicPartition, list[Record]] | None:
    """The next records of the first partition that has any."""
    for partition in turn:
        came = await fetcher.fetched_records({partition}, max_records=min(STEP_RECORDS_MAX, room))
        rows = came.get(partition, [])
        order.took(partition, rows, time.monotonic())
        if rows:
            return partition, rows
    return None


def _state_of(fetcher: Any, partition: TopicPartition) -> Any:
    assignment = fetcher._subscriptions.subscription.assignment
    return None if assignment is None else assignment.state_value(partition)


def _end_of(state: Any) -> int | None:
    """Where the partition ended when the broker last told; None before that."""
    return state.highwater if state.lso is None else state.lso  # type: ignore[no-any-return]


def _is_unread(fetcher: Any, partition: TopicPartition) -> bool:
    """Whether the partition holds more than was taken, as far as is known, or its last fetch failed, which must be told."""
    if partition in fetcher._records:
        return True
    state = _state_of(fetcher, partition)
    if state is None or not state.has_valid_position:
        return False
    end = _end_of(state)
    return end is None or state.position < end
