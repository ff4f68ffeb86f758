"""A Kafka producer whose delivery can be awaited: for the reader and for the stream workers.

Messages are counted in batches between two marks. All messages of a batch share one callback, so that knowing "everything
up to this mark is delivered" costs no memory per message.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from cdc.topics import ADMIN_TIMEOUT_SECONDS, partition_counts
from trueup.model.errors import ConfigurationError, InvalidRecord, UnavailableError

QUEUED_MESSAGES_MAX: Final = 100_000
QUEUED_KBYTES_MAX: Final = 65_536
SEND_WAIT_SECONDS_MAX: Final = 60.0
DELIVERY_SECONDS_MAX: Final = 120
LINGER_MS: Final = 5
RECONNECT_MS_MAX: Final = 1000
"""A broker that comes back is noticed so soon; the library's own 10 s would be most of the time to recover."""

SENT_BETWEEN_POLLS: Final = 256
POLL_SECONDS: Final = 0.05
CLOSE_SECONDS_MAX: Final = 5.0
RETRY_PAUSE_SECONDS: Final = 0.1
END_OFFSETS_SECONDS_MAX: Final = 15.0

_PASSING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
)

_log = structlog.get_logger()

Headers = list[tuple[str, bytes]]


class _Batch:
    """The messages between two marks."""

    __slots__ = ("_ends", "_fail", "delivered", "number", "sent")

    def __init__(self, number: int, ends: Mapping[str, list[int]], fail: Callable[[KafkaError, Message], None]) -> None:
        self.number = number
        self.sent = 0
        self.delivered = 0
        self._ends = ends
        self._fail = fail

    def on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._fail(error, message)
            return
        ends = self._ends.get(message.topic())  # type: ignore[arg-type]  # a delivered message has a topic
        if ends is not None:
            ends[message.partition()] = message.offset() + 1  # type: ignore[index,operator]  # and a place
        self.delivered += 1


class DeliveryProducer:
    """An idempotent producer with acks from all replicas and the partitioner of the JVM clients.

    May be used from several threads. Once a message could not be delivered every call raises: the callers that share
    this producer cannot know whose message it was, so they make a new one and send again what is not durable.

    Args:
        bootstrap: address of the broker.
        topics: topics whose end offsets `positions` tells; they must exist.
        send_wait_seconds_max: how long `send` waits.

    Raises:
        UnavailableError: the broker does not answer.
        ConfigurationError: one of `topics` does not exist.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Sequence[str] = (),
        *,
        send_wait_seconds_max: float = SEND_WAIT_SECONDS_MAX,
    ) -> None:
        self._bootstrap = bootstrap
        self._ends = end_offsets(bootstrap, topics) if topics else {}
        self.while_waiting: Callable[[], None] | None = None
        """Called again and again while `send` waits for room in the queue."""

        self.throttled_seconds = 0.0
        """How long `send` has waited for room so far."""

        self._send_wait_seconds_max = send_wait_seconds_max
        self._failure: UnavailableError | None = None
        self._send_lock = threading.Lock()  # the current batch, between a sender and who sets a mark
        self._poll_lock = threading.Lock()  # callbacks run in poll: one thread at a time counts
        self._current = _Batch(1, self._ends, self._remember_failure)
        self._callback = self._current.on_delivery
        self._marked: deque[_Batch] = deque()
        self._delivered_mark = 0
        self._unpolled = 0
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "linger.ms": LINGER_MS,
                "compression.type": "lz4",
                "queue.buffering.max.messages": QUEUED_MESSAGES_MAX,
                "queue.buffering.max.kbytes": QUEUED_KBYTES_MAX,
                "message.timeout.ms": DELIVERY_SECONDS_MAX * 1000,
                "reconnect.backoff.max.ms": RECONNECT_MS_MAX,
                "error_cb": self._on_error,
                "log_level": 0,  # what goes wrong comes to error_cb
            }
        )
        self._produce = self._producer.produce

    @property
    def in_flight(self) -> int:
        """Messages that are not known to be delivered yet."""
        return len(self._producer)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: Headers | None = None,
    ) -> None:
        """Put one message in the queue; waits for room in it.

        Raises:
            InvalidRecord: `too-large`, the broker would not take it.
            UnavailableError: an earlier message was not delivered, or the queue stayed full.
        """
        deadline = 0.0
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                with self._send_lock:
                    self._produce(
                        topic,
                        value,
                        key,
                        -1 if partition is None else partition,
                        on_delivery=self._callback,
                        headers=headers,  # type: ignore[arg-type]  # a list is invariant
                    )
                    self._current.sent += 1
            except BufferError:
                deadline = deadline or time.monotonic() + self._send_wait_seconds_max
                self._wait_for_room(topic, deadline)
            except KafkaException as error:
                raise self._refusal(topic, error) from error
            else:
                break
        self._unpolled += 1
        if self._unpolled >= SENT_BETWEEN_POLLS:
            self._unpolled = 0
            self.poll()

    def poll(self, timeout_seconds: float = 0) -> None:
        """Take in delivery reports; waits so long for the first one."""
        with self._poll_lock:
            self._producer.poll(timeout_seconds)

    def mark(self) -> int:
        """A number for "everything sent so far", to compare with `delivered_mark`."""
        with self._send_lock:
            batch = self._current
            if batch.sent:
                self._marked.append(batch)
                self._current = _Batch(batch.number + 1, self._ends, self._remember_failure)
                self._callback = self._current.on_delivery
                return batch.number
            return batch.number - 1

    def delivered_mark(self) -> int:
        """The highest mark up to which everything is delivered. Polls once.

        Raises:
            UnavailableError: a message was not delivered.
        """
        self.poll()
        if self._failure is not None:
            raise self._failure
        with self._poll_lock:
            marked = self._marked
            while marked and marked[0].delivered == marked[0].sent:
                self._delivered_mark = marked.popleft().number
            return self._delivered_mark

    def drain(self, timeout_seconds: float) -> None:
        """Wait until everything sent so far is delivered.

        Raises:
            UnavailableError: it is not, and will not be or not in time; names the first failed topic and error.
        """
        mark = self.mark()
        deadline = time.monotonic() + timeout_seconds
        while self.delivered_mark() < mark:
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"{self.in_flight} messages were not delivered within {timeout_seconds:g} s", where=self._bootstrap
                )
            self.poll(POLL_SECONDS)

    def positions(self) -> dict[str, list[int]]:
        """For each topic given at the start, the end offset per partition: where the last delivered message stands + 1."""
        return {topic: list(ends) for topic, ends in self._ends.items()}

    def partition_count(self, topic: str) -> int:
        """How many partitions one of the topics given at the start has."""
        return len(self._ends[topic])

    def close(self) -> None:
        """Give up what is not delivered (drain first to deliver it) and free the connections."""
        self._producer.purge()
        with self._poll_lock:
            self._producer.flush(CLOSE_SECONDS_MAX)
            self._producer.close()

    def _wait_for_room(self, topic: str, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"the broker is too slow for topic {topic}: the queue is full", where=self._bootstrap
            )
        if self.while_waiting is not None:
            self.while_waiting()
        began = time.monotonic()
        self.poll(POLL_SECONDS)
        self.throttled_seconds += time.monotonic() - began

    def _refusal(self, topic: str, error: KafkaException) -> InvalidRecord | UnavailableError:
        reason: KafkaError = error.args[0]
        if reason.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return InvalidRecord("too-large", f"a message for {topic} is larger than the broker takes")
        return UnavailableError(f"a message for {topic} is refused: {reason.str()}", where=self._bootstrap)

    def _remember_failure(self, error: KafkaError, message: Message) -> None:
        if self._failure is None:
            self._failure = UnavailableError(
                f"a message for {message.topic()} was not delivered: {error.str()}", where=self._bootstrap
            )

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            _log.warning("broker_unreachable", where=self._bootstrap)
        if error.fatal() and self._failure is None:
            self._failure = UnavailableError(f"the producer cannot go on: {error.str()}", where=self._bootstrap)


class EndOffsets:
    """The end offsets of topics, asked for again and again. Not thread-safe.

    Raises:
        UnavailableError: the broker does not answer.
        ConfigurationError: a topic does not exist.
    """

    def __init__(self, bootstrap: str, topics: Sequence[str]) -> None:
        self._bootstrap = bootstrap
        self._counts = {topic: len(ends) for topic, ends in end_offsets(bootstrap, topics).items()}
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def now(self) -> dict[str, list[int]]:
        """For each topic, the end offset per partition. Errors: UnavailableError."""
        try:
            return _list_offsets(self._admin, self._counts, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        except KafkaException as error:
            raise UnavailableError(f"the broker does not answer: {error.args[0]}", where=self._bootstrap) from error


def end_offsets(bootstrap: str, topics: Sequence[str]) -> dict[str, list[int]]:
    """The end offset of every partition of the topics, asked for in one request per broker.

    Raises:
        UnavailableError: the broker does not answer.
        ConfigurationError: a topic does not exist.
    """
    return _offsets(bootstrap, topics, OffsetSpec.latest())  # type: ignore[no-untyped-call]


def first_offsets(bootstrap: str, topics: Sequence[str]) -> dict[str, list[int]]:
    """The offset of the first record that every partition of the topics still has; errors as `end_offsets`."""
    return _offsets(bootstrap, topics, OffsetSpec.earliest())  # type: ignore[no-untyped-call]


def _offsets(bootstrap: str, topics: Sequence[str], spec: OffsetSpec) -> dict[str, list[int]]:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        counts = partition_counts(admin)
        missing = [topic for topic in topics if topic not in counts]
        if missing:
            raise ConfigurationError(
                f"the topics {', '.join(missing)} do not exist", where=bootstrap, remedy="make the topics first"
            )
        return _list_offsets(admin, {topic: counts[topic] for topic in topics}, spec)
    except KafkaException as error:
        raise UnavailableError(f"the broker does not answer: {error.args[0]}", where=bootstrap) from error


def _is_passing(error: BaseException) -> bool:
    """A partition that was made a moment ago has no leader yet."""
    return isinstance(error, KafkaException) and error.args[0].code() in _PASSING


@retry(
    retry=retry_if_exception(_is_passing),
    stop=stop_after_delay(END_OFFSETS_SECONDS_MAX),
    wait=wait_fixed(RETRY_PAUSE_SECONDS),
    reraise=True,
)
def _list_offsets(admin: AdminClient, counts: Mapping[str, int], spec: OffsetSpec) -> dict[str, list[int]]:
    wanted = {TopicPartition(topic, partition): spec for topic, count in counts.items() for partition in range(count)}
    found = {topic: [0] * count for topic, count in counts.items()}
    for place, future in admin.list_offsets(wanted).items():
        found[place.topic][place.partition] = future.result(ADMIN_TIMEOUT_SECONDS).offset
    return found
