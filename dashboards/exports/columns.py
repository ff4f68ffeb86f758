"""The columns of an export of discrepancies: the same in every format."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from clickhouse.case_reader import STAKE

_TIME: Final = pa.timestamp("us", tz="UTC")
_MONEY: Final = pa.decimal128(38, 4)

_OF_CASES: Final[dict[str, pa.DataType]] = {
    "discrepancy_id": pa.string(),
    "rule": pa.string(),
    "class": pa.string(),
    "direction": pa.string(),
    "standing": pa.string(),
    "severity": pa.string(),
    "entity_kind": pa.string(),
    "entity_id": pa.string(),
    "order_id": pa.string(),
    "statement_id": pa.string(),
    "shop_id": pa.string(),
    "currency": pa.string(),
    "expected": _MONEY,
    "actual": _MONEY,
    "delta": _MONEY,
    "in_question": _MONEY,
    "raised_at": _TIME,
    "due_at": _TIME,
    "resolved_at": _TIME,
    "occurrences": pa.int64(),
    "assignee": pa.string(),
    "requester": pa.string(),
    "snoozed_until": _TIME,
    "lapse": pa.string(),
    "note": pa.string(),
    "comments": pa.int64(),
    "detail": pa.string(),
}

SCHEMA: Final = pa.schema([pa.field(name, kind) for name, kind in _OF_CASES.items()])

COLUMNS: Final = tuple(
    # The difference may need one digit more than its column has; then the export fails rather than tell something else.
    f"toDecimal128({STAKE}, 4) AS in_question" if name == "in_question" else f"`{name}`"
    for name in _OF_CASES
)
"""What is selected from `v_cases`, in the order of the schema."""


def to_schema(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch as ClickHouse sends it, in exactly the types of the schema."""
    columns = [column.cast(field.type) for column, field in zip(batch.columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
