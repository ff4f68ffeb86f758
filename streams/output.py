"""Everything a stage says in one durable window: Kafka messages at once, ClickHouse rows when the window closes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Protocol

import orjson

from clickhouse.columns import mirror_row
from clickhouse.truncation_table import Erasure
from streams.batch import Record
from streams.latency_counts import LatencyCounts
from streams.messages import (
    QUARANTINE_TOPIC,
    CaseStep,
    TopicNames,
    delta_minor,
    discrepancy_headers,
    discrepancy_message,
    discrepancy_row,
    latency_us,
    scaled_or_none,
)
from trueup.model.change import Change
from trueup.model.errors import InvalidRecord
from trueup.model.reason_codes import counted_code
from trueup.model.registers import PartialVersion, RegisterKey


class Sender(Protocol):
    """Hands one message to the producer; delivery is awaited when the window closes."""

    def __call__(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        """UnavailableError when the broker takes nothing for too long."""


Mirror = dict[RegisterKey, Change]
"""The newest change of each row of one source table in a window: older ones would not outlast the mirror's next merge."""


class Output:
    """Collects what one stage produces; counters are totals since the start."""

    def __init__(self, stage: str, send: Sender, topics: TopicNames, clock_us: Callable[[], int]) -> None:
        self.stage = stage
        self.send = send
        self.topics = topics
        self.clock_us = clock_us
        self.rows: dict[str, list[tuple[object, ...]]] = {}
        self.mirrors: dict[str, Mirror] = {}
        self.steps: list[tuple[int, CaseStep]] = []
        self.erasures: list[Erasure] = []
        self.changes = 0
        self.skipped = 0
        self.truncations = 0
        self.quarantined_by_code: Counter[str] = Counter()
        self.raised = 0
        self.latencies = LatencyCounts()

    def add_row(self, table: str, row: tuple[object, ...]) -> None:
        """One row of a ClickHouse table, in its column order."""
        rows = self.rows.get(table)
        if rows is None:
            rows = self.rows[table] = []
        rows.append(row)

    def mirror(self, table: str) -> Mirror:
        """What the window writes to the mirror of a source table; see `keep_newest`."""
        mirror = self.mirrors.get(table)
        if mirror is None:
            mirror = self.mirrors[table] = {}
        return mirror

    def is_empty(self) -> bool:
        """Whether the window holds nothing for ClickHouse so far."""
        return not (self.rows or self.steps or any(self.mirrors.values()))

    def truncated(self, row: tuple[object, ...], erasure: Erasure | None = None) -> None:
        """A table was truncated: `row` is one of `truncation`, `erasure` what the window takes from the table's mirror."""
        self.truncations += 1
        self.add_row("truncation", row)
        if erasure is not None:
            self.erasures.append(erasure)

    def case_changed(self, partition: int, step: CaseStep, version: PartialVersion) -> None:
        """Publish a discrepancy now; its rows follow with the window."""
        topic, key, value = discrepancy_message(step, version, self.topics)
        self.send(topic, key, value, None, discrepancy_headers(step, self.stage, partition))
        self.steps.append((partition, step))
        latency = latency_us(step.case)
        if latency is not None:
            self.raised += 1
            self.latencies.add(latency)

    def quarantine(self, record: Record, error: InvalidRecord) -> None:
        """A message that cannot be applied: keep its bytes, its place and the reason."""
        headers = {
            "topic": record.topic,
            "partition": str(record.partition),
            "offset": str(record.offset),
            "code": error.code,
            "reason": error.what,
            "stage": self.stage,
        }
        encoded = [(name, text.encode()) for name, text in headers.items()]
        self.send(QUARANTINE_TOPIC, record.topic.encode(), record.value, None, encoded)
        self.add_row(
            "quarantine",
            (
                record.topic, record.partition, record.offset, self.stage, error.code, error.what, record.key or b"",
                record.value or b"", _shown_headers(record), self.clock_us(),
            ),
        )  # fmt: skip
        self.quarantined_by_code[counted_code(error.code)] += 1

    def take_erasures(self) -> list[Erasure]:
        """All erasures of the window; the collection starts anew."""
        erasures, self.erasures = self.erasures, []
        return erasures

    def take_rows(self, versions: dict[int, int]) -> dict[str, list[tuple[object, ...]]]:
        """All rows of the window, discrepancies under their partition's row version; the collection starts anew."""
        latest: dict[str, tuple[object, ...]] = {}
        for partition, step in self.steps:
            identifier = step.identifier
            version = versions[partition]
            latest[identifier] = discrepancy_row(step, version, self.topics)
            self.add_row("discrepancy_event", _event_row(identifier, step, version))
        self.rows.setdefault("discrepancy", []).extend(latest.values())
        for table, changes in self.mirrors.items():
            self.rows[table] = list(map(mirror_row, changes.values()))
        rows, self.rows, self.steps, self.mirrors = self.rows, {}, [], {}
        return {table: held for table, held in rows.items() if held}


def keep_newest(mirror: Mirror, change: Change) -> None:
    """Put the change into the mirror, unless that holds a newer one of its row."""
    key = (change.source, change.primary_key)
    held = mirror.get(key)
    if held is None or held.version <= change.version:
        mirror[key] = change


def _shown_headers(record: Record) -> str:
    """The message's own headers as a JSON object; bytes that are no text are written as escapes."""
    return orjson.dumps(
        {name: (held or b"").decode(errors="backslashreplace") for name, held in record.headers}
    ).decode()


def _event_row(identifier: str, step: CaseStep, version: int) -> tuple[Any, ...]:
    """One step of a discrepancy's history; its id depends on what happened, so a replay does not add it again."""
    case = step.case
    finding = case.finding
    at_us = case.detected_us if case.resolved_us is None or case.is_open else case.resolved_us
    content = f"{identifier}|{case.occurrences}|{case.status}|{finding.expected_minor}|{finding.actual_minor}"
    return (
        identifier, sha256(content.encode()).hexdigest()[:32], version, step.month_days, case.status, at_us,
        finding.rule, finding.entity_kind, finding.entity_id, finding.currency,
        scaled_or_none(finding.expected_minor, finding.currency),
        scaled_or_none(finding.actual_minor, finding.currency), scaled_or_none(delta_minor(case), finding.currency),
        finding.detail, case.occurrences,
    )  # fmt: skip
