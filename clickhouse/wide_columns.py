"""Columns that every wide table has: where the entity is kept, the verdict on it, and its encoded state."""

from __future__ import annotations

from typing import Final

from clickhouse.definition import LABEL, LABELS, TIME, ColumnType

PLACE: Final = (
    ColumnType("partition", "UInt16", "Kafka partition that owns the entity"),
    ColumnType("month", "Date32", "first day of a month that never changes for the entity; the storage partition"),
    ColumnType("version", "UInt64", "source progress that the row was computed from; the highest one wins"),
)
JUDGED: Final = (
    ColumnType("verdict", LABEL, "pending, matched, discrepant"),
    ColumnType("open_rules", LABELS, "rules with an open discrepancy"),
    ColumnType("next_due_at", f"Nullable({TIME})", "when the next rule falls due"),
)
STATE: Final = ColumnType("state", "String", "encoded state of the worker, copied back on a rebuild; not for reading")
