"""Debezium envelope bytes → `Change`. Pure; every fault is an `InvalidRecord` with a reason to count by.

Source: Debezium 3 connectors, JSON with or without the embedded schema, whole or flattened; `cdc/dialect.py` brings what
connectors write differently to the form of the PostgreSQL connector with `decimal.handling.mode=string` and
`time.precision.mode=adaptive`, which is read without a detour.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from cdc.dialect import (
    PLAIN,
    SCHEMAS_KEPT_MAX,
    UNAVAILABLE,
    Dialect,
    dialect_of_schema,
    exact_dialect,
    schema_text,
)
from cdc.flattened import as_envelope, is_flattened
from cdc.position import position_of
from cdc.row_reader import CONVERTERS, INT64_LIMIT, TIME_LIMIT_US, RowReader, amount_minor
from trueup.model.change import Change, Decoded, Incomplete, Row, Truncation
from trueup.model.errors import InvalidRecord
from trueup.model.tables import Id, Table

TICDC: Final = "TiCDC"
"""What TiCDC calls itself in `source.connector`."""

_TRUNCATES: Final = re.compile(r"\s*TRUNCATE\b", re.IGNORECASE)
_OPERATIONS: Final = frozenset("cudrt")
_UNAVAILABLE_BYTES: Final = UNAVAILABLE.encode()
_LONG_KINDS: Final = frozenset({"text", "json"})
"""Kinds whose values may be so long that a source leaves them out where they did not change."""

TRACKED: Final[dict[str, tuple[str, ...]]] = {
    "orders": ("status", "gross_amount", "tax_amount", "fee_amount", "factors"),
    "billing_item": ("status", "amount", "currency", "shop_id", "statement_id"),
    "statement": ("status",),
    "payout": ("status",),
}
"""Fields whose changes rules judge; a change of another field leaves no trace in the state's history."""


class ChangeDecoder:
    """Decodes the messages of one table's topic.

    `dialect` says how messages without a schema are written.
    """

    def __init__(self, table: Table, dialect: Dialect = PLAIN) -> None:
        self.table = table
        self._declared = dialect
        self._dialects: dict[bytes, Dialect] = {}
        self._columns = [(column.name, column, CONVERTERS.get(column.kind)) for column in table.columns]
        self._read_row = RowReader(table).read
        self._currency = next((column.name for column in table.columns if column.kind == "currency"), "")
        tracked = table.tracked or TRACKED.get(table.name, ())
        self._tracked = [known for known in self._columns if known[0] in tracked]
        self._key_place = table.place(table.topic_key)
        self._primary_place = table.place(table.primary_key)
        self._primary_places = [table.place(name) for name in (table.primary_key, *table.also_primary)]

    def decode(self, value: bytes | None, partition: int, offset: int) -> Decoded:
        """What one message says; None for one that says nothing of the table's rows: a tombstone (its delete event said it),
        a change of the schema.

        Errors: InvalidRecord with codes malformed-json, missing-field, wrong-type, unknown-operation, out-of-range, and
        those of money.
        """
        if value is None:
            return None
        envelope, source, dialect = self._opened(value)
        if envelope is None:
            return None
        operation = envelope.get("op")
        if type(operation) is not str or operation not in _OPERATIONS:
            operation = _beside_rows(envelope, source)
            if not operation:
                return None
        version, commit_us, name = source.get("lsn"), source.get("ts_us"), source.get("name")
        if type(version) is not int or not 0 <= version < INT64_LIMIT:
            version, dialect = position_of(source), self._dialect_from(source, dialect)
        if type(commit_us) is not int or not 0 <= commit_us < TIME_LIMIT_US:
            commit_us = _commit_us(commit_us, source.get("ts_ms"))
        if type(name) is not str:
            raise InvalidRecord("missing-field", f"source.name {name!r} is not a name")
        if operation == "t":
            return Truncation(self.table, name, version, commit_us, partition, offset)
        before, after = envelope.get("before"), envelope.get("after")
        deleted = operation == "d"
        image = before if deleted else after
        if type(image) is not dict:
            lacking = "before" if deleted else "after"
            raise InvalidRecord("missing-field", f"{lacking} is missing from an event with op {operation}")
        if dialect.rewrites:
            image = dialect.apply(image)
            before = dialect.apply(before) if type(before) is dict else before
        holes: tuple[int, ...] = ()
        if _UNAVAILABLE_BYTES in value:
            image, holes = self._filled(image, before)
        row = self._read_row(image)
        moves = self._moves(before, image) if operation == "u" and type(before) is dict else ()
        primary_key = self._composite_key(row) if self.table.also_primary else row[self._primary_place]
        change = Change(
            self.table, name, row[self._key_place], primary_key,  # type: ignore[arg-type]
            _before(version, source) if deleted else version, commit_us, deleted, row, moves, partition, offset, source.get("polled") is True,
        )  # fmt: skip
        return Incomplete(change, holes) if holes and not deleted else change

    def _filled(self, image: dict[str, Any], before: object) -> tuple[dict[str, Any], tuple[int, ...]]:
        """The image with what the source did not send taken from the before-image, and the places that stay open."""
        # A null before the change was not sent: what is left out for its length is no null.
        known = {name: held for name, held in before.items() if held is not None} if type(before) is dict else {}
        filled = {name: known.get(name, raw) if raw == UNAVAILABLE else raw for name, raw in image.items()}
        return filled, tuple(
            place
            for place, (name, column, _) in enumerate(self._columns)
            if column.kind in _LONG_KINDS and filled.get(name) == UNAVAILABLE
        )

    def _opened(self, value: bytes) -> tuple[dict[str, Any] | None, dict[str, Any], Dialect]:
        """The envelope of a message, its source block, and how it is written; None for a tombstone with a schema."""
        try:
            envelope = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise InvalidRecord("malformed-json", f"not JSON: {error}") from None
        dialect = self._declared
        if type(envelope) is dict and "payload" in envelope:
            if envelope.get("schema") is not None:
                dialect = self._dialect_of(envelope["schema"], value)
            elif "schema" in envelope and envelope["payload"] is None:
                return None, {}, dialect
            envelope = envelope["payload"]
        if type(envelope) is not dict:
            raise InvalidRecord("wrong-type", "the envelope is not a JSON object")
        if is_flattened(envelope):
            envelope = as_envelope(envelope)
        source = envelope.get("source")
        if type(source) is not dict:
            raise InvalidRecord("missing-field", "source is missing from the envelope")
        return envelope, source, dialect

    def _dialect_from(self, source: Mapping[str, Any], dialect: Dialect) -> Dialect:
        return exact_dialect(dialect, self.table) if source.get("connector") == TICDC else dialect

    def _dialect_of(self, schema: object, value: bytes) -> Dialect:
        text = schema_text(value)
        dialect = self._dialects.get(text)
        if dialect is None:
            dialect = dialect_of_schema(schema, self.table)
            if len(self._dialects) >= SCHEMAS_KEPT_MAX:
                self._dialects.clear()
            self._dialects[text] = dialect
        return dialect

    def _composite_key(self, row: Row) -> Id:
        """The values of a composite primary key as a JSON list, so that no two keys are alike."""
        return orjson.dumps([row[place] for place in self._primary_places]).decode()

    def _currency_of(self, image: dict[str, Any]) -> str:
        return str(image.get(self._currency)) if self._currency else self.table.fixed_currency

    def _amount(self, name: str, raw: object, currency: str) -> int:
        try:
            return amount_minor(raw, currency)
        except InvalidRecord as error:
            raise InvalidRecord(error.code, f"{self.table.name}.{name}: {error.what}") from None

    def _moves(self, before: dict[str, Any], after: dict[str, Any]) -> tuple[tuple[str, object, object], ...]:
        """Tracked fields that differ; amounts in minor units of the image they stand in.

        A field that the before-image lacks or has as null was not sent, or is given its first value.
        """
        moves = []
        currency_of = self._currency_of
        same_currency = currency_of(before) == currency_of(after)
        for name, column, convert in self._tracked:
            old, new = before.get(name), after.get(name)
            if old is None or (old == new and (convert is not None or same_currency)):
                continue
            if convert is None:
                old = self._amount(name, old, currency_of(before))
                new = self._amount(name, new, currency_of(after))
            else:
                old = convert(old, self.table, column)
                new = None if new is None else convert(new, self.table, column)
            if old != new:
                moves.append((name, old, new))
        return tuple(moves)


def _beside_rows(envelope: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    """The operation of a message that is no change of a row: `t`, or "" for one that says nothing of the table's rows.

    Changes of the schema come on topics of their own, but TiCDC's and its watermarks on those of the tables.
    """
    operation, ddl = envelope.get("op"), envelope.get("ddl")
    from_ticdc = source.get("connector") == TICDC
    if operation is None and type(ddl) is str:
        return "t" if from_ticdc and _TRUNCATES.match(ddl) else ""
    if from_ticdc and operation == "m":
        return ""
    raise InvalidRecord("unknown-operation", f"op {operation!r:.60} is none of c, u, d, r, t")


def _commit_us(microseconds: object, milliseconds: object) -> int:
    """The commit time where it is told in ms; InvalidRecord where it is not told, or nothing that ClickHouse could keep."""
    commit_us = microseconds if type(microseconds) is int else _milliseconds(milliseconds)
    if not 0 <= commit_us < TIME_LIMIT_US:
        raise InvalidRecord("out-of-range", f"the commit time {commit_us} is outside the years 1970 to 2299")
    return commit_us


def _before(position: int, source: Mapping[str, Any]) -> int:
    """The version of a deletion: just before its record, where nothing else can lie.

    Debezium gives a row that moves to another key one position for both its deletion and its creation; so the creation wins
    wherever only the primary key tells rows apart.
    """
    return position if position == 0 or source.get("polled") is True else position - 1


def _milliseconds(value: object) -> int:
    if type(value) is not int:
        raise InvalidRecord("missing-field", "source.ts_us and source.ts_ms are missing: the commit time is unknown")
    return value * 1000
