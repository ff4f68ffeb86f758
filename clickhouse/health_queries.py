"""What the page on the pipeline's health asks of ClickHouse: how far every partition is, and what the tables weigh."""

from __future__ import annotations

from clickhouse.query import Query


def watermarks_by_partition(database: str) -> Query:
    """stage, partition, source, watermark_at, recorded_at, lag_ms: the partition that is furthest behind first in its stage."""
    return Query(
        "SELECT stage, partition, source, watermark_at, recorded_at, "
        "dateDiff('millisecond', watermark_at, now64(6)) AS lag_ms "
        f"FROM {database}.v_watermarks ORDER BY stage, lag_ms DESC, partition, source LIMIT 2000"
    )


def storage(database: str) -> Query:
    """table, parts, stored_rows (older versions included), bytes: the heaviest first."""
    return Query(
        "SELECT table, count() AS parts, sum(rows) AS stored_rows, sum(bytes_on_disk) AS bytes FROM system.parts "
        "WHERE database = {database:String} AND active GROUP BY table ORDER BY bytes DESC, table LIMIT 200",
        {"database": database},
    )
