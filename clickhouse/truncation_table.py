"""The table of truncations, and how a truncation reaches the mirror of its table."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from clickhouse.definition import FINAL_CLAUSE, LABEL, TIME, ColumnType, Definition
from trueup.model.change import Truncation

TRUNCATION: Final = Definition(
    "truncation",
    "the newest truncation of each source table, as each Kafka partition of a stage has read it",
    (
        ColumnType("stage", LABEL, "part of trueup that keeps the table's rows"),
        ColumnType("partition", "UInt16", "Kafka partition of the stage"),
        ColumnType("source", LABEL, "source database"),
        ColumnType("source_table", LABEL, "table that was truncated"),
        ColumnType("version", "UInt64", "position of the truncation in its source; rows below it are gone"),
        ColumnType("committed_at", TIME, "when the source committed it"),
        ColumnType("kafka_partition", "UInt16", "Kafka partition that it was read from"),
        ColumnType("kafka_offset", "UInt64", "Kafka offset that it was read from"),
    ),
    key=("stage", "partition", "source", "source_table"),
)

_PROVENANCE: Final = "`source`, `version`, `is_deleted`, `committed_at`, `kafka_partition`, `kafka_offset`"


class Erasure(NamedTuple):
    """The rows of a mirror that a truncation took: those that were read from one Kafka partition."""

    truncation: Truncation
    partition: int


def truncation_row(stage: str, partition: int, truncation: Truncation) -> tuple[object, ...]:
    """One row of `truncation`."""
    return (
        stage, partition, truncation.source, truncation.table.name, truncation.version, truncation.commit_us,
        truncation.partition, truncation.offset,
    )  # fmt: skip


def erasure_query(erasure: Erasure, database: str) -> tuple[str, dict[str, Any]]:
    """The statement that writes a deleted version of every such row, and its parameters; it may be repeated."""
    truncation = erasure.truncation
    mirror = f"{database}.{truncation.table.name}"
    columns = ", ".join(f"`{column.name}`" for column in truncation.table.columns)
    query = (
        f"INSERT INTO {mirror} ({columns}, {_PROVENANCE}) "
        f"SELECT {columns}, source, {{version:UInt64}}, 1, fromUnixTimestamp64Micro({{commit_us:Int64}}, 'UTC'), "
        f"kafka_partition, {{offset:UInt64}} FROM {mirror} FINAL "
        "WHERE source = {source:String} AND kafka_partition = {partition:UInt16} AND version < {version:UInt64} "
        f"AND is_deleted = 0 {FINAL_CLAUSE}"
    )
    return query, {
        "version": truncation.version,
        "commit_us": truncation.commit_us,
        "offset": truncation.offset,
        "source": truncation.source,
        "partition": erasure.partition,
    }
