"""Where the reader puts changes: the topic of each table, and quarantine for what cannot become a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from cdc.counters import ReaderCounters
from cdc.delivery import DeliveryProducer
from cdc.envelope import Event, SourceIdentity, TableEnvelopes, TableShape
from cdc.source_tables import SourceTable
from cdc.topics import QUARANTINE_TOPIC
from trueup.model.errors import InvalidRecord
from trueup.settings import SourceSettings

_CONNECTORS: Final = {"postgres": "postgresql", "mysql": "mysql"}
QUARANTINED_BYTES_MAX: Final = 256 * 1024

_log = structlog.get_logger()


class TablePublisher:
    """Publishes the changes of one table.

    Args:
        envelopes: makes its messages; an InvalidRecord instead says why that is not possible.
        topic: of the table.
        producer: takes the messages.
        counters: counts what is quarantined.
        label: `schema.table`, to count by.
    """

    def __init__(
        self,
        envelopes: TableEnvelopes | InvalidRecord,
        topic: str,
        producer: DeliveryProducer,
        counters: ReaderCounters,
        label: str,
    ) -> None:
        self.count = counters.table(label)
        self._envelopes = envelopes
        self._topic = topic
        self._send = producer.send
        self._counters = counters

    @property
    def envelopes(self) -> TableEnvelopes:
        """Makes the messages. Errors: InvalidRecord when the table cannot be read."""
        if isinstance(self._envelopes, InvalidRecord):
            raise self._envelopes
        return self._envelopes

    def publish(self, events: list[Event]) -> None:
        """Send events in their order. Errors: InvalidRecord when one is too large, UnavailableError."""
        for key, value in events:
            self._send(self._topic, key, value)

    def quarantine(self, raw: bytes, lsn: int, error: InvalidRecord) -> None:
        """Keep a change that cannot be published, with its place and the reason; the stream goes on."""
        headers = {"topic": self._topic, "lsn": str(lsn), "code": error.code, "reason": error.what, "stage": "cdc"}
        encoded = [(name, text.encode()) for name, text in headers.items()]
        self._send(QUARANTINE_TOPIC, self._topic.encode(), raw[:QUARANTINED_BYTES_MAX], None, encoded)
        self._counters.quarantined_by_code[error.code] += 1
        _log.warning("change_quarantined", topic=self._topic, lsn=lsn, reason=error.what)


class Publishing:
    """Makes the publishers of the tables of one source.

    Args:
        source: settings of the source.
        version: of this program.
        domains: OID of a domain → OID of its base type.
        producer: takes the messages.
        counters: counts them.
        tables: what is read.
    """

    def __init__(
        self,
        source: SourceSettings,
        version: str,
        domains: Mapping[int, int],
        producer: DeliveryProducer,
        counters: ReaderCounters,
        tables: Sequence[SourceTable],
    ) -> None:
        self.source = source
        self.tables = tuple(tables)
        self.producer = producer
        self.counters = counters
        self._identity = SourceIdentity(version, source.name, source.database, _CONNECTORS[source.kind])
        self._domains = domains
        self._by_place = {table.place: table for table in tables}

    def table(self, shape: TableShape) -> TablePublisher | None:
        """The publisher of a table as it looks now; None for a table that is none of ours."""
        table = self._by_place.get((shape.schema, shape.table))
        if table is None:
            return None
        columns = tuple((name, self._domains.get(type_oid, type_oid)) for name, type_oid in shape.columns)
        envelopes: TableEnvelopes | InvalidRecord
        try:
            envelopes = TableEnvelopes(
                self._identity, shape._replace(columns=columns), table.topic_key, table.primary_key
            )
        except InvalidRecord as error:
            envelopes = error
        return TablePublisher(envelopes, table.topic(self.source.name), self.producer, self.counters, table.label)
