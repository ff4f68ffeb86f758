"""The mirror stage for one partition: reference tables that are only copied to ClickHouse.

It has no store. How far its tables were truncated is read from ClickHouse when it is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cdc.broadcast import is_broadcast
from cdc.decode import ChangeDecoder
from clickhouse.truncation_table import Erasure, truncation_row
from streams.aftermath import Said
from streams.batch import Record
from streams.completion import refusal
from streams.floors import Floor, FloorKey, Floors, floor_of
from streams.output import Output, keep_newest
from streams.partition import Snapshot
from streams.store import Meta
from streams.truncation import send_to_all
from trueup.model.change import Decoded, Incomplete, Truncation
from trueup.model.errors import InvalidRecord


class NoStore:
    """Stands where a partition without state has no RocksDB: its offsets are the group's committed ones."""

    def write(self, puts: object, deletes: object, meta: object) -> None:
        """Nothing to keep."""

    def close(self) -> None:
        """Nothing to close."""


class MirrorPartition:
    """One partition of the reference tables' topics."""

    def __init__(
        self,
        number: int,
        ends: Mapping[str, int],
        decoders: Mapping[str, ChangeDecoder],
        output: Output,
        *,
        floors: Mapping[FloorKey, Floor],
        partition_count: int,
    ) -> None:
        self.number = number
        self.ends = dict(ends)
        self.watermark_us = 0
        self.written_us = 0
        self.store = NoStore()
        self._decoders = decoders
        self._output = output
        self._floors = Floors(floors)
        self._partition_count = partition_count
        self._last_ends = dict(ends)

    def process(self, records: Iterable[Record]) -> None:
        """Mirror every record, or quarantine it."""
        for record in records:
            if record.offset < self.ends.get(record.topic, 0):
                continue
            self.ends[record.topic] = record.offset + 1
            self._output.changes += 1
            try:
                self._take(record, self._decoders[record.topic].decode(record.value, record.partition, record.offset))
            except InvalidRecord as error:
                self._output.quarantine(record, error)

    def _take(self, record: Record, decoded: Decoded) -> None:
        if isinstance(decoded, Incomplete):
            raise refusal(decoded)
        if isinstance(decoded, Truncation):
            self._truncate(record, decoded)
        elif decoded is None:
            self._output.skipped += 1
        else:
            for change in (decoded, self._floors.deletion_after(decoded)):
                if change is not None:
                    keep_newest(self._output.mirror(change.table.name), change)

    def _truncate(self, record: Record, truncation: Truncation) -> None:
        if not is_broadcast(record.headers):
            send_to_all(record, self._partition_count, self._output.send)
        elif self._floors.raise_to((truncation.source, truncation.table.name), floor_of(truncation)):
            row = truncation_row(self._output.stage, self.number, truncation)
            self._output.truncated(row, Erasure(truncation, self.number))

    def advance(self, watermark_us: int) -> None:
        """A mirror has no deadlines; it only tells how far it is."""
        self.watermark_us = max(self.watermark_us, watermark_us)

    def has_news(self) -> bool:
        """Whether offsets moved since the last window."""
        return self.ends != self._last_ends

    def close_window(self) -> Snapshot:
        """The rows are with the output already; only the offsets remain to be marked."""
        self._last_ends = dict(self.ends)
        return Snapshot([], [], Meta(dict(self.ends), self.watermark_us, 0, self._output.clock_us()))

    def adopt(self, said: Said) -> None:
        """A mirror publishes nothing."""

    def window_written(self) -> None:
        """Nothing was held for the window."""
