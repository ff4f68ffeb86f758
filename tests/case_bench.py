"""One partition of the case stage over its real store, and what ClickHouse would hold of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from streams.audit_chain import Entry
from streams.case_partition import CasePartition
from streams.case_state import CaseState
from streams.messages import TopicNames
from streams.output import Output
from streams.partition import Snapshot
from streams.store import Meta, PartitionStore
from tests.case_log import POLICY, TARGETS
from tests.partition_bench import NOW_US, LogRecord, Sent


class CaseBench:
    """`entries` is the audit log by place, the last row written; `wide` the newest row of every case,
    `replays` the rows of quarantine_replay, and `sent` what was published.
    """

    def __init__(self, directory: Path, cache_entities: int = 1000) -> None:
        self._directory = directory
        self._cache_entities = cache_entities
        self._in_flight: Snapshot | None = None
        self.entries: dict[tuple[str, int, int], Entry] = {}
        self.wide: dict[str, tuple[object, ...]] = {}
        self.quarantined = 0
        self.sent: list[Sent] = []
        self.replays: list[tuple[object, ...]] = []
        self._open()

    def _open(self) -> None:
        store = PartitionStore(self._directory)
        self.output = Output(
            "cases", lambda *given: self.sent.append(Sent(*given)), TopicNames("public"), lambda: NOW_US
        )
        meta = store.meta() or Meta({}, 0, 0, 0)
        self.partition = CasePartition(
            0, store, meta, policy=POLICY, targets=TARGETS, output=self.output,
            cache_entities=self._cache_entities,
        )  # fmt: skip

    def process(self, records: Iterable[LogRecord]) -> None:
        """One micro-batch."""
        self.partition.process(records)

    def close_window(self) -> None:
        """Freeze a window and write its rows; its state is not durable yet."""
        self.finish_window()
        self._in_flight = self.partition.close_window()
        rows = self.output.take_rows({})
        for row in rows.get("audit_log", []):
            entry = Entry._make(row)
            self.entries[entry.topic, entry.partition, entry.kafka_offset] = entry
        for row in rows.get("case_wide", []):
            self.wide[str(row[0])] = row
        self.quarantined += len(rows.get("quarantine", []))
        self.replays += rows.get("quarantine_replay", [])

    def finish_window(self) -> None:
        """Make the window in flight durable."""
        if self._in_flight is not None:
            self.partition.store.write(*self._in_flight)
            self.partition.window_written()
            self._in_flight = None

    def crash(self) -> None:
        """The process dies; what was not durable is read again."""
        self._in_flight = None
        self.partition.store.close()
        self._open()

    def settle(self) -> None:
        """Make everything durable."""
        self.close_window()
        self.finish_window()

    def state(self, discrepancy_id: str) -> CaseState:
        """The state of one case."""
        return self.partition.load([discrepancy_id])[discrepancy_id]

    def close(self) -> None:
        """Close the store."""
        self.partition.store.close()
