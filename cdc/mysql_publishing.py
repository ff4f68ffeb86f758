"""Where the reader of a MySQL or MariaDB source puts changes: the topic of each table, or quarantine."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from cdc.broadcast import BROADCAST
from cdc.counters import ReaderCounters
from cdc.delivery import DeliveryProducer
from cdc.mysql_columns import MysqlColumn
from cdc.mysql_envelope import BinlogEnvelopes, Event, Identity, Place, Stamp, truncation
from cdc.publishing import QUARANTINED_BYTES_MAX
from cdc.source_tables import SourceTable
from cdc.topics import QUARANTINE_TOPIC
from trueup.model.errors import InvalidRecord

_log = structlog.get_logger()

Make = Callable[[BinlogEnvelopes], list[Event]]


class BinlogTable:
    """Publishes the changes of one table with the columns that it has now.

    Args:
        table: what is read.
        columns: of its rows.
        publishing: of the source.
    """

    def __init__(self, table: SourceTable, columns: tuple[MysqlColumn, ...], publishing: BinlogPublishing) -> None:
        self.table = table
        self.columns = columns
        self.names = tuple(column.name for column in columns)
        self.count = publishing.counters.table(table.label)
        self._topic = table.topic(publishing.identity.name)
        self._publishing = publishing
        self._envelopes: BinlogEnvelopes | InvalidRecord
        try:
            self._envelopes = BinlogEnvelopes(publishing.identity, table, columns)
        except InvalidRecord as error:
            self._envelopes = error

    @property
    def stopped(self) -> str:
        """Why no change of the table can be published; "" when they can."""
        return self._envelopes.what if isinstance(self._envelopes, InvalidRecord) else ""

    def publish(self, make: Make, raw: Callable[[], bytes], version: int) -> int:
        """Send the events that `make` makes, or put the change in quarantine; how many were sent. Errors: UnavailableError.

        Args:
            make: builds the events.
            raw: the change for people, should it be put in quarantine.
            version: where it stands.
        """
        try:
            if isinstance(self._envelopes, InvalidRecord):
                raise self._envelopes
            events = make(self._envelopes)
            for key, value in events:
                self._publishing.producer.send(self._topic, key, value)
        except InvalidRecord as error:
            self.quarantine(raw(), version, error)
            return 0
        return len(events)

    def quarantine(self, raw: bytes, version: int, error: InvalidRecord) -> None:
        """Keep a change that cannot be published, with its place and the reason; the stream goes on."""
        headers = {"topic": self._topic, "lsn": str(version), "code": error.code, "reason": error.what, "stage": "cdc"}
        encoded = [(name, text.encode()) for name, text in headers.items()]
        producer = self._publishing.producer
        producer.send(QUARANTINE_TOPIC, self._topic.encode(), raw[:QUARANTINED_BYTES_MAX], None, encoded)
        self._publishing.counters.quarantined_by_code[error.code] += 1
        # That the table is stopped was told once; it may have many changes.
        if not self.stopped:
            _log.warning("change_quarantined", topic=self._topic, version=version, reason=error.what)


class BinlogPublishing:
    """The tables of one source.

    Args:
        identity: of the source.
        producer: takes the messages.
        counters: counts them.
        tables: what is read.
    """

    def __init__(
        self, identity: Identity, producer: DeliveryProducer, counters: ReaderCounters, tables: Sequence[SourceTable]
    ) -> None:
        self.identity = identity
        self.producer = producer
        self.counters = counters
        self.tables = tuple(tables)
        self._by_place = {table.place: table for table in tables}
        self._known: dict[tuple[str, str], BinlogTable] = {}
        self._written = {topic for topic, ends in producer.positions().items() if any(ends)}
        self._streams = False
        self.copied: deque[str] = deque()
        """Labels of tables that were copied beside the stream, and are not in the place that is kept yet."""

    def was_told(self, table: SourceTable) -> bool:
        """Whether the topic of a table had messages when this was made, or may have some by now."""
        return self._streams or table.topic(self.identity.name) in self._written

    def began_streaming(self) -> None:
        """From here on, every table may have been told of."""
        self._streams = True

    def truncate(self, table: SourceTable, place: Place, stamp: Stamp) -> None:
        """Say in every partition that the rows with a version below the place's are gone. Errors: UnavailableError."""
        topic = table.topic(self.identity.name)
        value = truncation(self.identity, table, place, stamp, time.time_ns() // 1000)
        for partition in range(len(self.producer.positions()[topic])):
            self.producer.send(topic, None, value, partition, [BROADCAST])

    def table(self, place: tuple[str, str], columns: tuple[MysqlColumn, ...]) -> BinlogTable | None:
        """The publisher of a table with these columns; None for a table that is none of ours."""
        held = self._known.get(place)
        if held is not None and held.columns == columns:
            return held
        table = self._by_place.get(place)
        if table is None:
            return None
        if held is not None:
            _log.info("table_altered", table=table.label, columns=[column.name for column in columns])
        made = self._known[place] = BinlogTable(table, columns, self)
        return made
