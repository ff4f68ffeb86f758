"""In which order the tables of a window are written."""

from __future__ import annotations

from clickhouse.schema import DEFINITIONS
from streams.stage import insert_order


def test_wide_rows_come_first_and_what_tells_that_all_is_there_last() -> None:
    order = sorted(DEFINITIONS, key=insert_order)
    wide = [table for table in DEFINITIONS if table.endswith("_wide")]
    assert set(order[: len(wide)]) == set(wide)
    assert order[-2:] == ["audit_log", "watermark"]
