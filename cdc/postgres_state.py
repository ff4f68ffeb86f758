"""What a reader leaves in `trueup.cdc-state` for its next start: what it copied, how far it came, what to copy again.

The topic is compacted and stands beside the data that it speaks of: if the broker's data are replaced, it is gone with them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from cdc.delivery import RECONNECT_MS_MAX, DeliveryProducer
from cdc.topics import READ_PARTITION, STATE_TOPIC
from trueup.model.errors import ConfigurationError, UnavailableError

READ_STATE_SECONDS_MAX: Final = 30.0
READ_STATE_POLL_SECONDS: Final = 0.5
DELIVERY_SECONDS_MAX: Final = 120.0

_UNKNOWN: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)

_PROGRESS: Final = "progress"
_ASKED: Final = "copy/"
_COPIED: Final = "copied/"


class SnapshotMark(NamedTuple):
    """A complete snapshot: of which server and slot, the position from which the slot streams on, and the labels of the
    tables that were copied and have been streamed since.
    """

    system_id: str
    slot: str
    consistent_lsn: int
    tables: tuple[str, ...]


class Progress(NamedTuple):
    """How far a reader came: everything up to `lsn`, and up to source time `time_us` (µs since the epoch), is delivered."""

    lsn: int
    time_us: int


class ReaderState:
    """The newest entries of one source.

    Args:
        source_name: of the source.
    """

    def __init__(self, source_name: str) -> None:
        self._prefix = f"{source_name}/"
        self._source_name = source_name
        self._entries: dict[str, bytes] = {}

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take in one record of the topic; those of other sources are passed over."""
        name = (key or b"").decode(errors="replace")
        if name == self._source_name or name.startswith(self._prefix):
            self._entries[name.removeprefix(self._prefix)] = value or b"null"

    @property
    def mark(self) -> SnapshotMark | None:
        """The newest mark; None when no snapshot was completed."""
        found = orjson.loads(self._entries.get(self._source_name, b"null"))
        if found is None:
            return None
        system_id, slot, consistent_lsn, tables = found
        return SnapshotMark(system_id, slot, consistent_lsn, tuple(tables))

    @property
    def progress(self) -> Progress | None:
        """How far the last reader came; None when none has told."""
        found = orjson.loads(self._entries.get(_PROGRESS, b"null"))
        return None if found is None else Progress(*found)

    @property
    def asked(self) -> dict[str, str]:
        """Labels of the tables that are to be copied again → number of the request."""
        entries = {name: orjson.loads(value) for name, value in self._entries.items()}
        return {
            name.removeprefix(_ASKED): request
            for name, request in entries.items()
            if name.startswith(_ASKED) and entries.get(_COPIED + name.removeprefix(_ASKED)) != request
        }


class StateFollower:
    """Reads the topic from its start, and what is added to it. Not thread-safe.

    Args:
        bootstrap: address of the broker.
        source_name: whose entries count.
    """

    def __init__(self, bootstrap: str, source_name: str) -> None:
        self.state = ReaderState(source_name)
        self._bootstrap = bootstrap
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "trueup-cdc-state",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
                "reconnect.backoff.max.ms": RECONNECT_MS_MAX,
                "log_level": 0,
            }
        )

    def read_to_end(self) -> ReaderState:
        """The entries as they are now. Errors: UnavailableError when the broker does not answer."""
        try:
            self._consumer.assign([TopicPartition(STATE_TOPIC, READ_PARTITION, OFFSET_BEGINNING)])
            deadline = time.monotonic() + READ_STATE_SECONDS_MAX
            while time.monotonic() < deadline:
                message = self._consumer.poll(READ_STATE_POLL_SECONDS)
                if message is not None and self._take(message):
                    return self.state
        except KafkaException as error:
            raise UnavailableError(
                f"topic {STATE_TOPIC} cannot be read: {error.args[0]}", where=self._bootstrap
            ) from error
        raise UnavailableError(f"topic {STATE_TOPIC} cannot be read to its end", where=self._bootstrap)

    def wait(self, seconds: float) -> ReaderState:
        """The entries after waiting so long at most for a new one; `read_to_end` comes first."""
        message = self._consumer.poll(seconds)
        while message is not None:
            self._take(message)
            message = self._consumer.poll(0)
        return self.state

    def _take(self, message: Message) -> bool:
        """Whether the end was reached."""
        error = message.error()
        if error is None:
            self.state.take(message.key(), message.value())
            return False
        if error.code() in _UNKNOWN:
            raise ConfigurationError(
                f"the topic {STATE_TOPIC} does not exist", where=self._bootstrap, remedy="make the topics first"
            )
        return bool(error.code() == KafkaError._PARTITION_EOF)

    def close(self) -> None:
        """Free the connections."""
        self._consumer.close()


@contextmanager
def following_state(bootstrap: str, source_name: str) -> Iterator[StateFollower]:
    """A follower that is closed afterwards."""
    follower = StateFollower(bootstrap, source_name)
    try:
        yield follower
    finally:
        follower.close()


def read_postgres_state(bootstrap: str, source_name: str) -> ReaderState:
    """The entries of a source as they are now. Errors: UnavailableError when the broker does not answer."""
    with following_state(bootstrap, source_name) as follower:
        return follower.read_to_end()


def write_mark(producer: DeliveryProducer, source_name: str, mark: SnapshotMark) -> None:
    """Make the mark durable, after everything that was sent before. Errors: UnavailableError."""
    producer.drain(DELIVERY_SECONDS_MAX)
    _send(producer, source_name, list(mark))
    producer.drain(DELIVERY_SECONDS_MAX)


def send_progress(producer: DeliveryProducer, source_name: str, progress: Progress) -> None:
    """Tell how far the reader came; does not wait."""
    _send(producer, f"{source_name}/{_PROGRESS}", list(progress))


def ask_for_copy(producer: DeliveryProducer, source_name: str, label: str, request: str) -> None:
    """Ask whoever reads the source to copy a table again; does not wait. `request` tells this request from others."""
    _send(producer, f"{source_name}/{_ASKED}{label}", request)


def write_copied(producer: DeliveryProducer, source_name: str, label: str, request: str) -> None:
    """Make durable that a request is done, after everything that was sent before. Errors: UnavailableError."""
    producer.drain(DELIVERY_SECONDS_MAX)
    _send(producer, f"{source_name}/{_COPIED}{label}", request)
    producer.drain(DELIVERY_SECONDS_MAX)


def _send(producer: DeliveryProducer, key: str, value: object) -> None:
    producer.send(STATE_TOPIC, key.encode(), orjson.dumps(value), READ_PARTITION)
