"""The Faust application of a worker, and the process around it: start, signals, clean stop, exit code."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final, cast

import faust
import structlog
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from faust.app.base import BootStrategy
from mode.supervisors import CrashingSupervisor
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential
from yarl import URL

from streams.batch import Batch, Stage, TopicPartition
from streams.durable import OffsetLedger
from streams.transport import BatchConsumer, BatchTransport, Handler, Limits, OpenFlow, PartitionOwner, Plan
from trueup.model.errors import TrueupError, UnavailableError
from trueup.settings import Settings

log = structlog.get_logger()

# Beyond the time that draining may take: closing connections, leaving the group.
STOP_EXTRA_SECONDS: Final = 15.0
REQUEST_TIMEOUT_SECONDS: Final = 40.0
BROKER_WAIT_SECONDS_MAX: Final = 20.0
# A topic that is made after the worker started is noticed within this time.
METADATA_AGE_MS_MAX: Final = 20_000


class _BatchSchema(faust.Schema[Any, Batch]):
    """Hands a batch through: nothing is decoded one by one."""

    def compile(self, app: Any, **_: Any) -> Any:
        """The function that Faust calls for each message."""

        async def decode(message: Any, **_: Any) -> Any:
            return app.create_event(None, message.value, None, message)

        return decode


class _Boot(BootStrategy):
    """No producer and no web server: outputs have a producer of their own, the dashboard is another process."""

    enable_kafka_producer = False
    enable_web = False


class StreamApp(faust.App):
    """A Faust application whose topics arrive as batches."""

    BootStrategy = _Boot

    @cached_property
    def flow_control(self) -> OpenFlow:
        """Always open, see `OpenFlow`."""
        return OpenFlow()

    @property
    def batch_consumer(self) -> BatchConsumer:
        """The consumer, made on first use."""
        return cast("BatchConsumer", self.consumer)

    @property
    def offsets(self) -> OffsetLedger:
        """Read, durable and committed offsets and log ends of the partitions that are held now."""
        return self.batch_consumer.ledger

    @property
    def limits(self) -> Limits:
        """The bounds of this worker."""
        return cast("BatchTransport", self.transport).plan.limits

    @property
    def settled(self) -> bool:
        """Whether its share of the partitions is known, and all of it open; may be called from any thread."""
        return self._consumer is not None and self.batch_consumer.settled

    def lag_records(self) -> dict[str, int]:
        """Stage → records in the log that were not read yet; may be called from any thread."""
        # Not `batch_consumer`, which would make one: before the start there is nothing to tell.
        if self._consumer is None:
            return {}
        offsets = self.offsets
        waiting = [
            (partition, end - offsets.positions.get(partition, end)) for partition, end in list(offsets.ends.items())
        ]
        stages = cast("BatchTransport", self.transport).plan.stages
        return {
            stage.name: sum(max(0, records) for (topic, _), records in waiting if topic in stage.topics)
            for stage in stages
        }

    def mark_durable(self, ends: Mapping[TopicPartition, int]) -> None:
        """Everything before these offsets is durable; only this leads to a commit."""
        self.batch_consumer.mark_durable(ends)

    def _create_directories(self) -> None:
        """Without tables Faust has nothing to store."""


def create_app(
    settings: Settings,
    stages: Sequence[Stage],
    handlers: Mapping[str, Handler],
    owner: PartitionOwner,
    limits: Limits | None = None,
    group: str = "",
    member: str | None = None,
) -> StreamApp:
    """The application: one agent per stage, concurrency 1, that awaits its handler for each batch.

    Args:
        settings: the group, the brokers and the batch size are taken from there.
        stages: no topic in two of them.
        handlers: stage name → coroutine function. Must leave nothing half done when it returns, and may raise only to
            end the worker.
        owner: told of assigned and revoked partitions.
        limits: bounds; None for the defaults with the settings' batch size.
        group: consumer group, if it is not that of the settings.
        member: name of the worker in the group, which no other worker has at the same time; None for a new one each time.
    """
    limits = limits or Limits(batch_records_max=settings.streams.batch_max_records)
    app = StreamApp(
        group or settings.kafka.group,
        broker=[f"kafka://{server}" for server in settings.kafka.bootstrap.split(",")],
        autodiscover=False,
        web_enabled=False,
        store="memory://",
        datadir=str(settings.data_dir / "faust"),
        key_serializer="raw",
        value_serializer="raw",
        producer_threaded=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.kafka.partitions,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=METADATA_AGE_MS_MAX,
        consumer_group_instance_id=member,
        consumer_max_fetch_size=limits.partition_fetch_bytes_max,
        broker_client_id="trueup",
        broker_commit_interval=limits.commit_interval_seconds,
        broker_session_timeout=limits.session_seconds_max,
        broker_heartbeat_interval=limits.session_seconds_max / 10,
        broker_rebalance_timeout=limits.rebalance_seconds_max,
        broker_request_timeout=REQUEST_TIMEOUT_SECONDS,
        stream_wait_empty=True,
        # Never the bound: a lane lets in `batches_waiting_max`, beside what earlier leases left behind.
        stream_buffer_maxsize=1024,
        agent_supervisor=CrashingSupervisor,
    )
    app.transport = BatchTransport([URL(str(url)) for url in app.conf.broker], app, Plan(tuple(stages), owner, limits))
    for stage in stages:
        _add_agent(app, stage, handlers[stage.name])
    return app


def _add_agent(app: StreamApp, stage: Stage, handler: Handler) -> None:
    async def run(batches: faust.StreamT[Batch]) -> None:
        async for batch in batches:
            await app.batch_consumer.handle(batch, handler)

    # acks=False: Faust keeps no book of acknowledgements, which would grow by an entry per batch.
    topic = app.topic(*stage.topics, schema=_BatchSchema(), acks=False)
    app.agent(topic, name=stage.name, concurrency=1)(run)


def run_worker(apps: Sequence[StreamApp]) -> int:
    """Run applications in one process until SIGTERM or SIGINT, then flush, commit and leave their groups.

    Returns:
        The exit code of the process: 0 after a clean stop; 1 when something failed, which was logged. Nothing of a
        failed batch is durable, so the process can be started again at once.
    """
    return asyncio.run(_serve(apps))


async def _serve(apps: Sequence[StreamApp]) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    starting = loop.create_task(_start_all(apps))
    stopping = loop.create_task(stop.wait())
    # An error of ours sets `failed`; one within Faust crashes the application.
    failing: set[asyncio.Task[Any]] = {loop.create_task(app.batch_consumer.failed.wait()) for app in apps}
    failing |= {loop.create_task(app.wait_until_stopped()) for app in apps}
    try:
        await asyncio.wait({starting, stopping, *failing}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and starting.exception() is None:
            await asyncio.wait({stopping, *failing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (starting, stopping, *failing):
            task.cancel()
        (started, *_) = await asyncio.gather(starting, stopping, *failing, return_exceptions=True)
    stopped = await asyncio.gather(*map(_stop, apps))
    failures = [failure for app in apps for failure in (app.batch_consumer.failure, app.crash_reason) if failure]
    failures += [started] if isinstance(started, Exception) else []
    if failures:
        _report(failures[0])
    return 0 if all(stopped) and not failures else 1


async def _start_all(apps: Sequence[StreamApp]) -> None:
    await asyncio.gather(*map(_start, apps))


async def _start(app: StreamApp) -> None:
    """Wait for a broker, then start: without one, Faust's consumer thread would die with three tracebacks."""
    servers = ",".join(f"{url.host}:{url.port}" for url in app.transport.url)
    async for attempt in AsyncRetrying(
        stop=stop_after_delay(BROKER_WAIT_SECONDS_MAX), wait=wait_exponential(0.2, max=3.0), reraise=True,
        retry=retry_if_exception_type(UnavailableError),
    ):  # fmt: skip
        with attempt:
            client = AIOKafkaClient(bootstrap_servers=servers, client_id="trueup")
            try:
                await client.bootstrap()
            except KafkaConnectionError as error:
                raise UnavailableError(
                    "no Kafka broker answers", where=servers, remedy="start it, or set `kafka.bootstrap`"
                ) from error
            finally:
                await client.close()
    await app.start()


async def _stop(app: StreamApp) -> bool:
    try:
        async with asyncio.timeout(app.limits.drain_seconds_max + STOP_EXTRA_SECONDS):
            await app.stop()
    except TimeoutError:
        log.critical("worker did not stop in time")
        return False
    except Exception:
        log.exception("worker did not stop cleanly")
        return False
    return True


def _report(failure: BaseException) -> None:
    if isinstance(failure, TrueupError):
        log.error("worker failed", error=failure.what, where=failure.where, remedy=failure.remedy)
    else:
        log.error("worker failed", exc_info=failure)
