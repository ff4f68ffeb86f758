-- The groups of users' own specs, and the view on them.

CREATE TABLE IF NOT EXISTS {database}.group_wide
(
    `group_id` String CODEC(ZSTD(1)) COMMENT 'JSON list of the spec, the group and the values of the match key',
    `partition` UInt16 COMMENT 'Kafka partition that owns the entity',
    `month` Date32 COMMENT 'first day of a month that never changes for the entity; the storage partition',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'source progress that the row was computed from; the highest one wins',
    `spec` LowCardinality(String) COMMENT 'spec that the group belongs to',
    `group_name` LowCardinality(String) COMMENT 'group of the spec',
    `match_key` Array(String) CODEC(ZSTD(1)) COMMENT 'values of the match key, in the order of the group\'s key',
    `leg_name` Array(String) CODEC(ZSTD(1)) COMMENT 'legs that have live rows, one entry per (leg, currency)',
    `leg_currency` Array(String) CODEC(ZSTD(1)) COMMENT 'ISO-4217 code of the amounts; empty for a leg without amounts',
    `leg_count` Array(Int64) CODEC(ZSTD(1)) COMMENT 'live rows',
    `leg_amount` Array(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'sum of the amounts of these rows',
    `verdict` LowCardinality(String) COMMENT 'pending, matched, discrepant',
    `open_rules` Array(String) CODEC(ZSTD(1)) COMMENT 'rules with an open discrepancy',
    `next_due_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'when the next rule falls due',
    `last_committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'newest source commit among the rows',
    `state` String CODEC(ZSTD(1)) COMMENT 'encoded state of the worker, copied back on a rebuild; not for reading'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY month
ORDER BY (partition, group_id)
COMMENT 'one row per match key of a group of a user\'s spec: what its legs hold, and the verdict on them';

CREATE VIEW IF NOT EXISTS {database}.v_groups
(
    `group_id` String COMMENT 'JSON list of the spec, the group and the values of the match key',
    `spec` LowCardinality(String) COMMENT 'spec that the group belongs to',
    `group_name` LowCardinality(String) COMMENT 'group of the spec',
    `match_key` Array(String) COMMENT 'values of the match key, in the order of the group\'s key',
    `leg_name` Array(String) COMMENT 'legs that have live rows, one entry per (leg, currency)',
    `leg_currency` Array(String) COMMENT 'ISO-4217 code of the amounts; empty for a leg without amounts',
    `leg_count` Array(Int64) COMMENT 'live rows',
    `leg_amount` Array(Decimal(38, 4)) COMMENT 'sum of the amounts of these rows',
    `verdict` LowCardinality(String) COMMENT 'pending, matched, discrepant',
    `open_rules` Array(String) COMMENT 'rules with an open discrepancy',
    `next_due_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'when the next rule falls due',
    `last_committed_at` DateTime64(6, 'UTC') COMMENT 'newest source commit among the rows'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `group_id`,
    `spec`,
    `group_name`,
    `match_key`,
    `leg_name`,
    `leg_currency`,
    `leg_count`,
    `leg_amount`,
    `verdict`,
    `open_rules`,
    `next_due_at`,
    `last_committed_at`
FROM {database}.group_wide FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'match keys of users\' own specs: what their legs hold, and the verdict on them';
