-- Truncations of source tables, as clickhouse/truncation_table.py defines them.

CREATE TABLE IF NOT EXISTS {database}.truncation
(
    `stage` LowCardinality(String) COMMENT 'part of trueup that keeps the table\'s rows',
    `partition` UInt16 COMMENT 'Kafka partition of the stage',
    `source` LowCardinality(String) COMMENT 'source database',
    `source_table` LowCardinality(String) COMMENT 'table that was truncated',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'position of the truncation in its source; rows below it are gone',
    `committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the source committed it',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that it was read from',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset that it was read from'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (stage, partition, source, source_table)
COMMENT 'the newest truncation of each source table, as each Kafka partition of a stage has read it';
