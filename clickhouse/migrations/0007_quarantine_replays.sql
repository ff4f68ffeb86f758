-- Replays of quarantined messages, as clickhouse/schema.py and views.py define them.

CREATE TABLE IF NOT EXISTS {database}.quarantine_replay
(
    `topic` LowCardinality(String) COMMENT 'Kafka topic of the refused message, and of its replay',
    `kafka_partition` UInt16 COMMENT 'Kafka partition of the refused message',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset of the refused message',
    `replay_id` String CODEC(ZSTD(1)) COMMENT 'hash of the message, its corrected bytes and who asked; the replay carries it in a header',
    `replayed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when it was asked for',
    `actor` String CODEC(ZSTD(1)) COMMENT 'who asked for it',
    `outcome` LowCardinality(String) COMMENT 'sent, refused',
    `reason` String CODEC(ZSTD(1)) COMMENT 'why it was refused',
    `mapping` String CODEC(ZSTD(1)) COMMENT 'corrections as JSON, an empty list for none',
    `note` String CODEC(ZSTD(1)) COMMENT 'why, in the words of who asked',
    `to_partition` Nullable(UInt16) COMMENT 'Kafka partition it was put on; null where its corrected key decides',
    `value` String CODEC(ZSTD(1)) COMMENT 'bytes that were put on the topic'
)
ENGINE = ReplacingMergeTree()
ORDER BY (topic, kafka_partition, kafka_offset, replay_id)
COMMENT 'refused messages that were put on their topic again, by whom and with which corrections';

CREATE VIEW IF NOT EXISTS {database}.v_quarantine_replays
(
    `topic` LowCardinality(String) COMMENT 'Kafka topic of the refused message, and of its replay',
    `kafka_partition` UInt16 COMMENT 'Kafka partition of the refused message',
    `kafka_offset` UInt64 COMMENT 'Kafka offset of the refused message',
    `replay_id` String COMMENT 'hash of the message, its corrected bytes and who asked; the replay carries it in a header',
    `replayed_at` DateTime64(6, 'UTC') COMMENT 'when it was asked for',
    `actor` String COMMENT 'who asked for it',
    `outcome` LowCardinality(String) COMMENT 'sent, refused',
    `reason` String COMMENT 'why it was refused',
    `mapping` String COMMENT 'corrections as JSON, an empty list for none',
    `note` String COMMENT 'why, in the words of who asked',
    `to_partition` Nullable(UInt16) COMMENT 'Kafka partition it was put on; null where its corrected key decides',
    `value` String COMMENT 'bytes that were put on the topic'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `topic`,
    `kafka_partition`,
    `kafka_offset`,
    `replay_id`,
    `replayed_at`,
    `actor`,
    `outcome`,
    `reason`,
    `mapping`,
    `note`,
    `to_partition`,
    `value`
FROM {database}.quarantine_replay FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'refused messages that were put on their topic again';
