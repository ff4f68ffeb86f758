"""A database held in memory that can be polled, and a producer that keeps what it was sent or dies on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, cast

from cdc.counters import ReaderCounters
from cdc.decode import ChangeDecoder
from cdc.delivery import DeliveryProducer
from cdc.envelope import TableShape
from cdc.poll_memory import PollMemory, Values
from cdc.poll_round import Poller
from cdc.polled_database import Since
from cdc.publishing import Publishing
from cdc.source_tables import SourceTable, settlement_tables
from cdc.topics import HEARTBEAT_TOPIC, QUARANTINE_TOPIC
from trueup.model.change import Change, Truncation
from trueup.model.tables import TABLES, Id
from trueup.settings import PollSettings, SourceSettings

SECOND_US = 1_000_000
START_US = 1_767_225_600 * SECOND_US
POLLED_TABLES = tuple(table for table in settlement_tables("public") if table.name in {"billing_item", "payout_item"})
"""One with a time column and one without."""

OVERLAP_SECONDS = 60
COMPARE_SECONDS = 1_000
PAGE_ROWS = 3
_OIDS = {"id": 20, "int": 23, "money": 1700, "time": 1184, "flag": 16, "date": 1082}
_TEXT_OID = 25

Row = dict[str, Any]
"""Column → value: whole numbers, amounts as text, times in µs."""


class Died(Exception):
    """The process was killed."""


class Sent(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None


@dataclass
class Wire:
    """Stands in for the producer; `dies_after` so many messages nothing more is sent."""

    sent: list[Sent] = field(default_factory=list)
    dies_after: int | None = None
    in_flight = 0

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None, headers: Any = None
    ) -> None:
        del partition, headers
        if self.dies_after is not None:
            if self.dies_after == 0:
                raise Died
            self.dies_after -= 1
        self.sent.append(Sent(topic, key, value))

    def drain(self, timeout_seconds: float) -> None:
        del timeout_seconds
        if self.dies_after == 0:
            raise Died

    def partition_count(self, topic: str) -> int:
        del topic
        return 1

    def positions(self) -> Mapping[str, list[int]]:
        return {table.topic("settlement"): [len(self.sent)] for table in POLLED_TABLES}


class Books:
    """Tables by name → primary key → row; its clock goes on with every read."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Id, Row]] = {table.name: {} for table in POLLED_TABLES}
        self.clock_us = START_US

    def now_us(self) -> int:
        return self.clock_us

    @contextmanager
    def reading(self) -> Iterator[None]:
        yield

    def shape(self, table: SourceTable) -> TableShape:
        columns = tuple((column.name, _OIDS.get(column.kind, _TEXT_OID)) for column in TABLES[table.name].columns)
        return TableShape(table.schema, table.name, columns)

    def newest_us(self, table: SourceTable, column: str) -> int | None:
        return max((row[column] for row in self.tables[table.name].values()), default=None)

    def pages(
        self, table: SourceTable, shape: TableShape, since: Since | None, rows_max: int
    ) -> Iterator[list[Values]]:
        rows = [row for row in self.tables[table.name].values() if since is None or row[since.column] >= since.time_us]
        rows.sort(key=lambda row: (row[since.column] if since else 0, row[table.primary_key[0]]))
        for first in range(0, len(rows), rows_max):
            yield [
                tuple(_text(row[name], type_oid) for name, type_oid in shape.columns)
                for row in rows[first : first + rows_max]
            ]

    def decoded(self) -> dict[str, dict[Id, Row]]:
        """The rows as decoding tells them: amounts in minor units."""
        return {
            name: {key: {**row, "amount": int(Decimal(str(row["amount"])).scaleb(2))} for key, row in rows.items()}
            for name, rows in self.tables.items()
        }


def _text(value: object, type_oid: int) -> bytes | None:
    if value is None:
        return None
    if type_oid == _OIDS["time"]:
        assert isinstance(value, int)
        moment = datetime(1970, 1, 1) + timedelta(microseconds=value)  # noqa: DTZ001 - the text ends in +00
        return f"{moment.isoformat(' ')}+00".encode()
    return str(value).encode()


class Polling:
    """The books, their memory, and everything that was ever sent; `restart` is a new process."""

    def __init__(self, directory: Path, books: Books, overlap_seconds: float = OVERLAP_SECONDS) -> None:
        self.books = books
        self.wire = Wire()
        self.counters = ReaderCounters()
        self.floors: dict[str, int] = {}
        """Table → the version below which all rows are gone."""
        self._path = directory / "poll-settlement.sqlite"
        poll = PollSettings(
            overlap_seconds=overlap_seconds, compare_interval_seconds=COMPARE_SECONDS, page_rows=PAGE_ROWS
        )
        self._source = SourceSettings(poll=poll)
        self.memory = PollMemory(self._path)
        self.poller = self._make()

    def _make(self) -> Poller:
        producer = cast(DeliveryProducer, self.wire)
        publishing = Publishing(self._source, "1", dict, producer, self.counters, POLLED_TABLES)
        return Poller(self.books, self.memory, publishing, lambda: False)

    def restart(self) -> None:
        """A new process begins with what was noted."""
        self.memory.close()
        self.memory = PollMemory(self._path)
        self.wire.dies_after = None
        self.poller = self._make()
        self.poller.resume()

    def lose_memory(self) -> None:
        """The file is gone, and a new process begins with an empty one."""
        self.memory.close()
        for file in self._path.parent.iterdir():
            file.unlink()
        self.memory = PollMemory(self._path)
        self.restart()

    def changes(self) -> list[tuple[Sent, Change]]:
        """The messages of the tables, decoded."""
        decoders = {table.topic("settlement"): ChangeDecoder(TABLES[table.name]) for table in POLLED_TABLES}
        decoded = []
        for number, sent in enumerate(self.wire.sent):
            if sent.topic in {HEARTBEAT_TOPIC, QUARANTINE_TOPIC}:
                continue
            change = decoders[sent.topic].decode(sent.value, 0, number)
            if isinstance(change, Truncation):
                floors = self.floors
                floors[change.table.name] = max(floors.get(change.table.name, 0), change.version)
                continue
            assert isinstance(change, Change)
            decoded.append((sent, change))
        return decoded

    def registers(self) -> dict[str, dict[Id, Row]]:
        """Table → primary key → the live row, as the newest version tells it."""
        newest: dict[tuple[str, Id], Change] = {}
        for _, change in self.changes():
            place = (change.table.name, change.primary_key)
            held = newest.get(place)
            if held is None or change.version > held.version:
                newest[place] = change
        rows: dict[str, dict[Id, Row]] = {table.name: {} for table in POLLED_TABLES}
        for (name, key), change in newest.items():
            if not change.deleted and change.version >= self.floors.get(name, 0):
                assert change.row is not None
                names = [column.name for column in TABLES[name].columns]
                rows[name][key] = dict(zip(names, change.row, strict=True))
        return rows
