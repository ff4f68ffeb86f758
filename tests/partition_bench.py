"""Runs stage partitions on logs held in memory, with the real state store, in any batching and through crashes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

import orjson

from cdc.broadcast import BROADCAST
from reconcile.finding import DISCREPANCY_CLASSES
from reconcile.lifecycle import Case, CaseKey, decode_case
from reconcile.settlement import SettlementRules, settlement_rules, shipped_settlement
from reconcile.spec.model import Tolerances
from streams.aftermath import PublishedCase, Said, nothing_said
from streams.codec import loads
from streams.group_partition import GroupPartition
from streams.messages import (
    CASE_HEADER,
    DISCREPANCY_PREFIX,
    OWNER_HEADER,
    PARTIALS_TOPIC,
    TOTALS_TOPIC,
    PartialMessage,
    TopicNames,
    decode_partials_topic,
)
from streams.order_partition import OrderPartition
from streams.output import Output
from streams.partition import Snapshot
from streams.reference import ReferenceRecord, References
from streams.release_partition import ReleasePartition
from streams.statement_partition import StatementPartition
from streams.store import ENTITY, Meta, PartitionStore
from streams.watermark import Heartbeat
from tests.source_log import DECODERS, FAR_US, SECOND_US, SOURCE, Event
from trueup.model.change import Change
from trueup.model.tables import ORDER_TABLES, STATEMENT_TABLES, Id

TOLERANCES = Tolerances(
    grace_us=5 * SECOND_US,
    limits_us={("payout", "ongoing"): 20 * SECOND_US, ("billing_item", "failed"): 20 * SECOND_US},
)
RULES = settlement_rules(shipped_settlement(), TOLERANCES)
WIDE_TABLES = ("order_wide", "statement_wide", "release_wide", "group_wide")
NOW_US = 2_000_000_000 * SECOND_US
"""What the wall clock shows; no decision may depend on it."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A Kafka record held in memory."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


class Sent(NamedTuple):
    """One message that a partition produced."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None
    headers: tuple[tuple[str, bytes], ...] = ()


def partition_of(key: Id, partition_count: int) -> int:
    """Stands in for Kafka's partitioner."""
    return zlib.crc32(orjson.dumps(key)) % partition_count


Message = tuple[str, bytes]
"""(topic, value); source topics are called as their tables."""


def messages_of(events: Iterable[Event]) -> list[Message]:
    """The messages of source events."""
    return [(event.table.name, event.value) for event in events]


def records_of(messages: Iterable[Message], number: int = 0) -> list[LogRecord]:
    """A partition's log with the messages in this order of arrival; truncations came to every partition."""
    ends: dict[str, int] = {}
    records = []
    for topic, value in messages:
        headers = (BROADCAST,) if value.endswith(b'"op":"t"}') else ()
        records.append(LogRecord(topic, number, ends.get(topic, 0), value, headers=headers))
        ends[topic] = ends.get(topic, 0) + 1
    return records


PartitionT = TypeVar("PartitionT", OrderPartition, StatementPartition, ReleasePartition, GroupPartition)


@dataclass(slots=True)
class Bench(Generic[PartitionT]):
    """One partition over its store; `crash` loses everything but the store and what was sent.

    `tables` holds the ClickHouse rows of all windows that were closed, `marked_us` the newest marker that was sent for it.
    """

    directory: Path
    make: Callable[[PartitionStore, Meta, Output], PartitionT]
    sent: list[Sent] = field(default_factory=list)
    tables: dict[str, list[tuple[object, ...]]] = field(default_factory=dict)
    in_flight: Snapshot | None = None
    marked_us: int = 0
    partition: PartitionT = field(init=False)
    output: Output = field(init=False)

    def __post_init__(self) -> None:
        self._open()

    def _open(self) -> None:
        store = PartitionStore(self.directory)
        self.output = Output("stage", self._send, TopicNames("public"), lambda: NOW_US)
        meta = store.meta() or Meta({}, 0, 0, 0)
        # As recovery does: rows of a window whose state was lost are already in ClickHouse.
        newest = max((cast(int, row[3]) for name in WIDE_TABLES for row in self.tables.get(name, [])), default=0)
        self.partition = self.make(store, meta._replace(version=max(meta.version, newest)), self.output)

    def _send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        self.sent.append(Sent(topic, key, value, partition, tuple(headers or ())))

    def close_window(self) -> None:
        """Freeze a window and write its rows; the state is written by `finish_window`."""
        self.finish_window()
        self.in_flight = self.partition.close_window()
        version = self.in_flight.meta.version
        for table, rows in self.output.take_rows({self.partition.number: version}).items():
            self.tables.setdefault(table, []).extend(rows)

    def finish_window(self) -> None:
        """Make the window in flight durable."""
        if self.in_flight is not None:
            self.partition.store.write(*self.in_flight)
            self.partition.window_written()
            self.in_flight = None

    def crash(self) -> None:
        """The process dies and another one opens the store."""
        self.in_flight = None
        self.partition.store.close()
        self._open()
        self.partition.adopt(said(self.sent, self.marked_us))

    def settle_all(self, watermark_us: int) -> None:
        """Judge everything and make it durable, with as many turns as truncations take."""
        self.partition.advance(watermark_us)
        while self.partition.is_walking:
            self.partition.advance(watermark_us)
        self.close_window()
        self.finish_window()

    def close(self) -> None:
        """Close the store."""
        self.partition.store.close()

    def states(self) -> dict[Id, Any]:
        """The states of all entities that the store holds, by id."""
        database = self.partition.store._database
        ids = [
            orjson.loads(key[len(ENTITY) :])
            for key in database.keys(from_key=ENTITY)
            if isinstance(key, bytes) and key.startswith(ENTITY)
        ]
        return dict(self.partition.load(ids))

    def rows(self, table: str, key: int = 0, version: int = 3) -> dict[object, tuple[object, ...]]:
        """The newest row of every entity, as `ReplacingMergeTree` shows it."""
        newest: dict[object, tuple[object, ...]] = {}
        for row in self.tables.get(table, []):
            held = newest.get(row[key])
            if held is None or row[version] >= held[version]:  # type: ignore[operator]
                newest[row[key]] = row
        return newest


def order_bench(
    directory: Path,
    *,
    number: int = 0,
    partition_count: int = 1,
    cache_entities: int = 1000,
    rules: SettlementRules = RULES,
) -> Bench[OrderPartition]:
    """A stage-1 partition on an empty or existing store."""

    def make(store: PartitionStore, meta: Meta, output: Output) -> OrderPartition:
        return OrderPartition(
            number, store, meta, decoders={table.name: DECODERS[table.name] for table in ORDER_TABLES},
            rules=rules, output=output, partition_count=partition_count, cache_entities=cache_entities,
        )  # fmt: skip

    return Bench(directory, make)


def read_references(changes: Iterable[Change] = ()) -> References:
    """Reference tables that have been read up to the end of all tests."""
    references = References(["references"], [SOURCE], 1)
    references.take([ReferenceRecord("references", 0, 0, change, copied=False) for change in changes])
    references.hear([Heartbeat(SOURCE, FAR_US, {})])
    return references


def statement_bench(
    directory: Path,
    *,
    number: int = 0,
    partition_count: int = 1,
    cache_entities: int = 1000,
    references: References | None = None,
    rules: SettlementRules = RULES,
) -> Bench[StatementPartition]:
    """A stage-2 partition on an empty or existing store; without `references` nothing is agreed with any seller."""
    known = read_references() if references is None else references

    def make(store: PartitionStore, meta: Meta, output: Output) -> StatementPartition:
        return StatementPartition(
            number, store, meta, decoders={table.name: DECODERS[table.name] for table in STATEMENT_TABLES},
            rules=rules, output=output, partition_count=partition_count, cache_entities=cache_entities,
            references=known,
        )  # fmt: skip

    return Bench(directory, make)


def release_bench(directory: Path, *, references: References | None = None) -> Bench[ReleasePartition]:
    """A stage-3 partition on an empty or existing store, behind one stage-2 partition."""
    known = read_references() if references is None else references

    def make(store: PartitionStore, meta: Meta, output: Output) -> ReleasePartition:
        return ReleasePartition(
            0, store, meta, decoders={"release_summary": DECODERS["release_summary"]}, tolerances=TOLERANCES,
            output=output, partition_count=1, cache_entities=1000, references=known,
        )  # fmt: skip

    return Bench(directory, make)


def said(sent: Iterable[Sent], marked_us: int) -> Said:
    """What the messages tell somebody who opens the partition that sent them."""
    result = nothing_said()
    for message in sent:
        headers = dict(message.headers)
        if message.topic == PARTIALS_TOPIC:
            partial = decode_partials_topic(message.value)
            assert isinstance(partial, PartialMessage)
            result.partials.add((partial.statement_id, partial.payout_id))
            marked_us = max(marked_us, partial.partial.version.watermark_us)
        elif message.topic == TOTALS_TOPIC:
            result.totals.add(orjson.loads(message.key or b""))
        elif CASE_HEADER in headers:
            _stage, _number, owner = orjson.loads(headers[OWNER_HEADER])
            case = decode_case(loads(headers[CASE_HEADER]))
            result.cases[(message.key or b"").decode()] = PublishedCase(
                owner, case, message.topic.removeprefix(DISCREPANCY_PREFIX)
            )
    return result._replace(marked_us=marked_us)


Opened = tuple[CaseKey, int | None, int | None, str]
"""(rule, entity kind, entity id), expected, actual, currency of an open case."""


def open_cases(cases: Iterable[Case]) -> set[Opened]:
    """What is discrepant now, and by how much."""
    return {
        (case.key, case.finding.expected_minor, case.finding.actual_minor, case.finding.currency)
        for case in cases
        if case.is_open
    }


def published_open(sent: Iterable[Sent]) -> set[tuple[str, str, str]]:
    """(rule, entity kind, entity id) of the discrepancies whose last message says open: the compacted topics."""
    last: dict[bytes | None, dict[str, Any]] = {}
    topics = {DISCREPANCY_PREFIX + kind for kind in DISCREPANCY_CLASSES}
    for message in sent:
        if message.topic in topics:
            last[message.key] = orjson.loads(message.value or b"{}")
    return {
        (value["rule"], value["entity_kind"], value["entity_id"])
        for value in last.values()
        if value["status"] in {"open", "regressed"}
    }


def partials_for(sent: Iterable[Sent], number: int, partition_count: int) -> list[bytes | None]:
    """The messages on the partials topic that reach one partition, in the order of sending."""
    return [
        message.value
        for message in sent
        if message.topic == PARTIALS_TOPIC
        and number
        == (
            message.partition
            if message.partition is not None
            else partition_of(orjson.loads(message.key or b"{}")["statement_id"], partition_count)
        )
    ]
