"""A source database in miniature for tests: rows change, Debezium envelopes come out, keyed and versioned as Postgres would."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from cdc.decode import ChangeDecoder
from trueup.model.change import Change, Truncation
from trueup.model.tables import ORDER_TABLES, REFERENCE_TABLES, STATEMENT_TABLES, TABLES, Id, Table

SECOND_US = 1_000_000
START_US = 1_700_000_000 * SECOND_US
FAR_US = START_US + 10**15
"""After everything that a test lets happen."""

SOURCE = "settlement"
Row = dict[str, Any]
"""A row as JSON has it: column name → value, amounts as decimal strings, times in µs."""

DEFAULTS: dict[str, Row] = {
    "orders": {
        "order_id": 1, "shop_id": 9, "currency": "USD", "gross_amount": "10.00", "tax_amount": "1.00",
        "fee_amount": "1.00", "factors": None, "status": "completed", "completed_at": START_US, "updated_at": START_US,
    },
    "billing_item": {
        "billing_item_id": 1, "order_id": 1, "shop_id": 9, "statement_id": 1, "kind": "sale", "source_no": "1",
        "amount": "8.00", "currency": "USD", "status": "statemented", "created_at": START_US, "updated_at": START_US,
    },
    "payout_item": {
        "payout_item_id": 1, "payout_id": 1, "order_id": 1, "billing_item_id": 1, "amount": "8.00", "currency": "USD",
    },
    "statement": {
        "statement_id": 1, "shop_id": 9, "cycle": "daily", "period_start": 19_675, "period_end": 19_675,
        "currency": "USD", "item_count": 1, "amount": "8.00", "status": "open", "closed_at": None,
        "updated_at": START_US,
    },
    "payout": {
        "payout_id": 1, "statement_id": 1, "shop_id": 9, "payment_method": "bank", "amount": "8.00", "currency": "USD",
        "status": "created", "channel_ref": None, "updated_at": START_US,
    },
    "account": {"shop_id": 9, "payment_method": "bank", "rule_id": 1, "currency": "USD"},
    "rule": {
        "rule_id": 1, "cycle": "daily", "auto_payment": True, "payment_threshold": "1.00", "payment_currency": "USD",
        "is_hold": False,
    },
    "funding": {"funding_id": 1, "payment_method": "bank", "currency": "USD", "amount": "8.00", "status": "funded"},
    "release_summary": {
        "release_id": 1, "payment_method": "bank", "currency": "USD", "payout_count": 1, "amount": "8.00",
        "status": "released",
    },
}  # fmt: skip
"""Books that agree: one completed order, its sale item, statement and payout, by the seller's rule, funded and released."""

LEG_TABLES = (*ORDER_TABLES, *STATEMENT_TABLES)
DECODERS = {table.name: ChangeDecoder(table) for table in (*LEG_TABLES, *REFERENCE_TABLES)}


class Event(NamedTuple):
    """One message of a source topic, and what it stands for."""

    table: Table
    key: Id
    value: bytes
    commit_us: int


class Version(NamedTuple):
    """One step in the history of a row; `before` or `after` is None where there is none."""

    table: str
    source: str
    primary_key: Id
    lsn: int
    commit_us: int
    before: Row | None
    after: Row | None


def envelope(before: Row | None, after: Row | None, op: str, lsn: int, commit_us: int, source: str = SOURCE) -> bytes:
    """A Debezium envelope without the embedded schema."""
    origin = {"name": source, "lsn": lsn, "ts_ms": commit_us // 1000, "ts_us": commit_us}
    return orjson.dumps({"before": before, "after": after, "source": origin, "op": op})


def row_of(table: str, **fields: Any) -> Row:
    """A row that agrees with the other defaults but for `fields`."""
    return {**DEFAULTS[table], **fields}


class SourceLog:
    """Several source databases that share one clock; everything committed is in `events`, in commit order."""

    def __init__(self) -> None:
        self.now_us = START_US
        self.lsn = 1000
        self.rows: dict[tuple[str, str, Id], Row] = {}
        self.first_us: dict[tuple[str, str, Id, Id], int] = {}
        self.events: list[Event] = []
        self.history: list[Version] = []

    def tick(self, seconds: int = 1) -> SourceLog:
        """Later transactions commit so much later."""
        self.now_us += seconds * SECOND_US
        return self

    def put(self, table_name: str, source: str = SOURCE, **fields: Any) -> SourceLog:
        """Insert or update the row with the primary key among `fields` (default 1) in one statement of a transaction."""
        table = TABLES[table_name]
        primary_key: Id = fields.get(table.primary_key, 1)
        place = (source, table_name, primary_key)
        before = self.rows.get(place)
        after = {**(DEFAULTS[table_name] if before is None else before), **fields}
        if before == after:
            return self
        self.lsn += 10
        self.rows[place] = after
        self.first_us.setdefault((*place, after[table.topic_key]), self.now_us)
        if before is not None and before[table.topic_key] != after[table.topic_key]:
            self._emit(table, before[table.topic_key], envelope(before, None, "d", self.lsn - 1, self.now_us, source))
            self._emit(table, after[table.topic_key], envelope(None, after, "c", self.lsn, self.now_us, source))
        else:
            op = "c" if before is None else "u"
            self._emit(table, after[table.topic_key], envelope(before, after, op, self.lsn, self.now_us, source))
            self.history.append(Version(table_name, source, primary_key, self.lsn, self.now_us, before, after))
        return self

    def delete(self, table_name: str, primary_key: Id = 1, source: str = SOURCE) -> SourceLog:
        """Delete the row if it is there."""
        before = self.rows.pop((source, table_name, primary_key), None)
        if before is not None:
            self.lsn += 10
            table = TABLES[table_name]
            self._emit(table, before[table.topic_key], envelope(before, None, "d", self.lsn, self.now_us, source))
        return self

    def truncate(self, table_name: str, source: str = SOURCE) -> SourceLog:
        """Delete all rows of a table at once; told even if there was none."""
        for place in [place for place in self.rows if place[:2] == (source, table_name)]:
            del self.rows[place]
        self.lsn += 10
        self._emit(TABLES[table_name], 0, envelope(None, None, "t", self.lsn, self.now_us, source))
        return self

    def live(self, table_name: str) -> list[Row]:
        """The rows of a table over all sources."""
        return [row for (_source, table, _key), row in self.rows.items() if table == table_name]

    def first_commit_us(self, table_name: str, row: Row, source: str = SOURCE) -> int:
        """When the row was first committed under its present key."""
        table = TABLES[table_name]
        return self.first_us[source, table_name, row[table.primary_key], row[table.topic_key]]

    def _emit(self, table: Table, key: Id, value: bytes) -> None:
        self.events.append(Event(table, key, value, self.now_us))


def decoded_of(log: SourceLog) -> list[Change | Truncation]:
    """Every event decoded, in commit order; offsets count from 0 per table."""
    offsets: dict[str, int] = {}
    events: list[Change | Truncation] = []
    for event in log.events:
        offset = offsets[event.table.name] = offsets.get(event.table.name, -1) + 1
        decoded = DECODERS[event.table.name].decode(event.value, 0, offset)
        assert isinstance(decoded, Change | Truncation)
        events.append(decoded)
    return events


def changes_of(log: SourceLog) -> list[Change]:
    """Every change of a row decoded, in commit order."""
    return [decoded for decoded in decoded_of(log) if isinstance(decoded, Change)]
