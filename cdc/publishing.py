"""Where the reader puts changes: the topic of each table, and quarantine for what cannot become a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import uuid4

import structlog

from cdc.broadcast import BROADCAST
from cdc.counters import ReaderCounters
from cdc.delivery import DeliveryProducer
from cdc.envelope import Event, SourceIdentity, TableEnvelopes, TableShape
from cdc.fitting import misfit
from cdc.postgres_state import ask_for_copy
from cdc.source_tables import SourceTable
from cdc.topics import QUARANTINE_TOPIC
from trueup.model.errors import InvalidRecord
from trueup.settings import SourceSettings

_CONNECTORS: Final = {"postgres": "postgresql", "mysql": "mysql"}
QUARANTINED_BYTES_MAX: Final = 256 * 1024
OID_OF_USERS_MIN: Final = 16_384
"""Types from here on were made in this database."""

_log = structlog.get_logger()


class TablePublisher:
    """Publishes the changes of one table.

    Args:
        envelopes: makes its messages; an InvalidRecord instead says why that is not possible.
        topic: of the table; the producer must tell its positions.
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
        self.label = label
        self.count = counters.table(label)
        self._envelopes = envelopes
        self._topic = topic
        self._producer = producer
        self._send = producer.send
        self._counters = counters

    @property
    def stopped(self) -> str:
        """Why no change of the table can be published; "" when they can."""
        return self._envelopes.what if isinstance(self._envelopes, InvalidRecord) else ""

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

    def truncate(self, lsn: int, transaction: bytes, processing: bytes) -> None:
        """Say in every partition that the rows with a version below `lsn` are gone. Errors: InvalidRecord, UnavailableError."""
        value = self.envelopes.truncate(lsn, transaction, processing)
        for partition in range(self._producer.partition_count(self._topic)):
            self._send(self._topic, None, value, partition, [BROADCAST])

    def quarantine(self, raw: bytes, lsn: int, error: InvalidRecord) -> None:
        """Keep a change that cannot be published, with its place and the reason; the stream goes on."""
        headers = {"topic": self._topic, "lsn": str(lsn), "code": error.code, "reason": error.what, "stage": "cdc"}
        encoded = [(name, text.encode()) for name, text in headers.items()]
        self._send(QUARANTINE_TOPIC, self._topic.encode(), raw[:QUARANTINED_BYTES_MAX], None, encoded)
        self._counters.quarantined_by_code[error.code] += 1
        # That the table is stopped was told once; it may have many changes.
        if not self.stopped:
            _log.warning("change_quarantined", topic=self._topic, lsn=lsn, reason=error.what)


class Publishing:
    """Makes the publishers of the tables of one source.

    Args:
        source: settings of the source.
        version: of this program.
        domains_of: asks for the domains there are: OID → OID of the base type.
        producer: takes the messages.
        counters: counts them.
        tables: what is read.
    """

    def __init__(
        self,
        source: SourceSettings,
        version: str,
        domains_of: Callable[[], Mapping[int, int]],
        producer: DeliveryProducer,
        counters: ReaderCounters,
        tables: Sequence[SourceTable],
    ) -> None:
        self.source = source
        self.tables = tuple(tables)
        self.producer = producer
        self.counters = counters
        self._identity = SourceIdentity(version, source.name, source.database, _CONNECTORS[source.kind])
        self._domains_of = domains_of
        self._domains = domains_of()
        self._looked_up: set[int] = set()
        self._by_place = {table.place: table for table in tables}

    def is_written(self, table: SourceTable) -> bool:
        """Whether the topic of a table has had messages."""
        return any(self.producer.positions()[table.topic(self.source.name)])

    def stop(self, label: str, reason: str) -> None:
        """A table cannot be read any more: tell it, and ask for a copy once it can be read again.

        The request is durable before the changes behind it are confirmed, so no restart forgets it.
        """
        self.counters.stopped[label] = reason
        ask_for_copy(self.producer, self.source.name, label, uuid4().hex)
        _log.error("table_stopped", table=label, reason=reason)

    def table(self, shape: TableShape) -> TablePublisher | None:
        """The publisher of a table as it looks now; None for a table that is none of ours."""
        table = self._by_place.get((shape.schema, shape.table))
        if table is None:
            return None
        columns = tuple((name, self._base_of(type_oid)) for name, type_oid in shape.columns)
        envelopes: TableEnvelopes | InvalidRecord | None = misfit(table, dict(columns))
        try:
            envelopes = envelopes or TableEnvelopes(
                self._identity, shape._replace(columns=columns), table.topic_key, table.primary_key
            )
        except InvalidRecord as error:
            envelopes = error
        return TablePublisher(envelopes, table.topic(self.source.name), self.producer, self.counters, table.label)

    def _base_of(self, type_oid: int) -> int:
        """The type itself, or what its domain is made of, also of a domain that was made while this runs."""
        if type_oid >= OID_OF_USERS_MIN and type_oid not in self._domains and type_oid not in self._looked_up:
            self._looked_up.add(type_oid)
            self._domains = self._domains_of()
        return self._domains.get(type_oid, type_oid)
