"""What the tests of the reader share: Postgres and Kafka, a database per test, a reader in a thread, an oracle in SQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson
import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from psycopg2 import connect as connect_psycopg2
from psycopg2.extensions import make_dsn
from pydantic import SecretStr

from cdc.broadcast import BROADCAST_HEADER
from cdc.counters import ReaderCounters
from cdc.decode import ChangeDecoder
from cdc.delivery import DeliveryProducer, end_offsets
from cdc.heartbeat import COMMIT_SKEW_US
from cdc.postgres import run
from cdc.source_tables import SourceTable
from cdc.topics import ensure_topics, source_topic, source_topics, topic_plan
from tests.integration.mirror import Mirror, mirror_of
from trueup.embedded.kafka.broker import Kafka
from trueup.embedded.ports import LOOPBACK, free_port
from trueup.embedded.postgres import ROLE, Postgres
from trueup.embedded.service import Backoff
from trueup.embedded.supervisor import Supervisor
from trueup.model.change import Change, Truncation
from trueup.model.errors import TrueupError
from trueup.model.tables import TABLES, Table
from trueup.settings import KafkaSettings, Settings, SourceSettings
from trueup.upstream.schema import create

PARTITIONS = 4
WAIT_SECONDS = 180.0


class Message(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Stack:
    postgres: Postgres
    kafka: Kafka
    supervisor: Supervisor

    def producer(self) -> DeliveryProducer:
        return DeliveryProducer(self.kafka.bootstrap)

    def source(self, name: str) -> Source:
        """A database of its own, with empty tables, and its topics."""
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{name}"')
        source = SourceSettings(
            name=name,
            port=self.postgres.port,
            user=ROLE,
            password=SecretStr(self.postgres.password()),
            database=name,
            slot=name,
        )
        made = Source(self, Settings(source=source, kafka=KafkaSettings(bootstrap=self.kafka.bootstrap)))
        tables = connect_psycopg2(made.dsn)
        create(tables)
        tables.close()
        ensure_topics(self.kafka.bootstrap, topic_plan([name], "public", PARTITIONS))
        return made


@dataclass(frozen=True)
class Source:
    stack: Stack
    settings: Settings

    @property
    def name(self) -> str:
        return self.settings.source.name

    @property
    def dsn(self) -> str:
        source = self.settings.source
        password = source.password.get_secret_value()
        return make_dsn(host=LOOPBACK, port=source.port, user=source.user, password=password, dbname=source.database)

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.dsn, autocommit=True)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def slot_exists(self) -> bool:
        return bool(self.query(f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{self.name}'"))

    def now_us(self) -> int:
        return int(self.query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8")[0][0])

    def messages(self, *topics: str) -> list[Message]:
        """Everything in the topics, by default those of the tables, one partition after another."""
        return read_topics(self.stack.kafka.bootstrap, topics or tuple(source_topics(self.name, "public")))

    def told(self) -> list[tuple[Message, Change | Truncation]]:
        """All messages of the tables with what they say."""
        return told_by(self.messages(), self.name, "public")

    def changes(self) -> list[tuple[Message, Change]]:
        return [(message, event) for message, event in self.told() if isinstance(event, Change)]

    def truncates(self) -> dict[str, list[list[int]]]:
        """Topic → partition → positions below which all rows are gone, in their order."""
        found: dict[str, list[list[int]]] = {}
        for message in filter(is_truncate, self.messages()):
            assert message.headers == {BROADCAST_HEADER: "1"}
            assert message.key == b""
            positions = found.setdefault(message.topic, [[] for _ in range(PARTITIONS)])
            positions[message.partition].append(orjson.loads(message.value)["source"]["lsn"])
        return found

    def mirror(self) -> Mirror:
        """The rows as the messages tell them."""
        return mirror_of(event for _, event in self.told())

    def truth(self) -> Mirror:
        """The same from the database's own SQL. Amounts are taken to have two digits."""
        return {name: {row[0]: row[1:] for row in self.query(_select(table))} for name, table in TABLES.items()}


def told_by(messages: Sequence[Message], source_name: str, schema: str) -> list[tuple[Message, Change | Truncation]]:
    """The messages of the source's tables with what they say."""
    decoders = {source_topic(source_name, schema, name): ChangeDecoder(table) for name, table in TABLES.items()}
    told = []
    for message in messages:
        event = decoders[message.topic].decode(message.value, message.partition, message.offset)
        assert isinstance(event, Change | Truncation)
        told.append((message, event))
    return told


def is_truncate(message: Message) -> bool:
    return b'"op":"t"' in message.value


_AS_DECODED = {
    "money": "({0} * 100)::numeric(38, 0)::int8",
    "time": "(extract(epoch FROM {0}) * 1000000)::int8",
    "date": "{0} - DATE '1970-01-01'",
    "json": "{0}::text",
}


def _select(table: Table) -> str:
    columns = [_AS_DECODED.get(column.kind, "{0}").format(column.name) for column in table.columns]
    return f"SELECT {table.primary_key}, {', '.join(columns)} FROM public.{table.name}"


def read_topics(bootstrap: str, topics: tuple[str, ...]) -> list[Message]:
    """Everything in the topics, by topic, partition and offset: which partition a broker sends first is chance."""
    ends = end_offsets(bootstrap, topics)
    places = {(topic, partition): end for topic in topics for partition, end in enumerate(ends[topic]) if end}
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "reads-all", "enable.partition.eof": True, "fetch.wait.max.ms": 10}
    )
    found: list[Message] = []
    try:
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for topic, partition in places])
        deadline = time.monotonic() + WAIT_SECONDS
        while places and time.monotonic() < deadline:
            for message in consumer.consume(1000, 0.2):
                topic, partition = str(message.topic()), int(message.partition() or 0)
                if message.error() is not None:
                    places.pop((topic, partition), None)
                    continue
                headers = {str(name): _decoded(text) for name, text in list(message.headers() or [])}
                key, value = bytes(message.key() or b""), bytes(message.value() or b"")
                found.append(Message(topic, partition, int(message.offset() or 0), key, value, headers))
    finally:
        consumer.close()
    assert not places
    return sorted(found, key=lambda message: (message.topic, message.partition, message.offset))


def _decoded(text: str | bytes | None) -> str:
    return text.decode() if isinstance(text, bytes) else text or ""


class HasClock(Protocol):
    """A source that tells its own time."""

    def now_us(self) -> int: ...


class Commits(Protocol):
    """A writer that counts its transactions."""

    committed: int


def write_some(writers: Sequence[Commits]) -> None:
    """Return when each writer has committed some more transactions."""
    seen = [writer.committed for writer in writers]
    wait_until(lambda: all(writer.committed > before + 10 for writer, before in zip(writers, seen, strict=True)))


class Reader:
    """A reader in a thread of this process; `read` is what it runs."""

    def __init__(
        self, settings: Settings, more_tables: tuple[SourceTable, ...] = (), read: Callable[..., None] = run
    ) -> None:
        self._read = read
        self.counters = ReaderCounters()
        self.error: TrueupError | None = None
        self._settings = settings
        self._more_tables = more_tables
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._read(self._settings, self._stop, self.counters, self._more_tables)
        except TrueupError as error:
            self.error = error

    def wait_until(self, condition: Callable[[], bool]) -> None:
        wait_until(lambda: condition() or self.error is not None)
        assert self.error is None

    def catch_up(self, source: HasClock) -> None:
        """Wait until everything that is committed now is delivered."""
        now_us = source.now_us() + COMMIT_SKEW_US
        self.wait_until(lambda: self.counters.watermark_us > now_us)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()


@contextmanager
def reading(source: Source, *more_tables: SourceTable) -> Iterator[Reader]:
    reader = Reader(source.settings, more_tables)
    try:
        yield reader
    finally:
        reader.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "not within the time limit"
        time.sleep(0.02)


@contextmanager
def running_stack(data_dir: Path, backoff: Backoff | None = None) -> Iterator[Stack]:
    postgres = Postgres(data_dir, free_port(), durable=False)
    kafka = Kafka(data_dir, free_port(), free_port())
    backoff = backoff or Backoff(first_seconds=0.1)
    supervisor = Supervisor(data_dir, [postgres.service(), kafka.service()], backoff=backoff)
    supervisor.start()
    try:
        yield Stack(postgres, kafka, supervisor)
    finally:
        supervisor.stop()
