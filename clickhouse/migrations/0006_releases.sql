-- Releases of channels' payouts, as clickhouse/release_table.py and views.py define them.

CREATE TABLE IF NOT EXISTS {database}.release_wide
(
    `release_id` String CODEC(ZSTD(1)) COMMENT 'release',
    `partition` UInt16 COMMENT 'Kafka partition that owns the entity',
    `month` Date32 COMMENT 'first day of a month that never changes for the entity; the storage partition',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'source progress that the row was computed from; the highest one wins',
    `payment_method` LowCardinality(String) COMMENT 'payment channel; empty while the release is unknown',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts; empty while unknown',
    `status` LowCardinality(String) COMMENT 'status of the release; empty while it is unknown',
    `upstream_count` Nullable(Int64) COMMENT 'payouts as upstream counts them',
    `upstream_amount` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'amount as upstream counts it',
    `payout_count` Int64 COMMENT 'live payouts that name the release, of all channels',
    `payout_amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'sum of those of the release\'s own channel',
    `verdict` LowCardinality(String) COMMENT 'pending, matched, discrepant',
    `open_rules` Array(String) CODEC(ZSTD(1)) COMMENT 'rules with an open discrepancy',
    `next_due_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'when the next rule falls due',
    `last_committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'newest source commit among the release and its payouts',
    `state` String CODEC(ZSTD(1)) COMMENT 'encoded state of the worker, copied back on a rebuild; not for reading'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY month
ORDER BY (partition, release_id)
COMMENT 'one row per release of a channel\'s payouts: upstream\'s count and amount beside ours, and the verdict';

CREATE VIEW IF NOT EXISTS {database}.v_releases
(
    `release_id` String COMMENT 'release',
    `payment_method` LowCardinality(String) COMMENT 'payment channel; empty while the release is unknown',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts; empty while unknown',
    `status` LowCardinality(String) COMMENT 'status of the release; empty while it is unknown',
    `upstream_count` Nullable(Int64) COMMENT 'payouts as upstream counts them',
    `upstream_amount` Nullable(Decimal(38, 4)) COMMENT 'amount as upstream counts it',
    `payout_count` Int64 COMMENT 'live payouts that name the release, of all channels',
    `payout_amount` Decimal(38, 4) COMMENT 'sum of those of the release\'s own channel',
    `verdict` LowCardinality(String) COMMENT 'pending, matched, discrepant',
    `open_rules` Array(String) COMMENT 'rules with an open discrepancy',
    `next_due_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'when the next rule falls due',
    `last_committed_at` DateTime64(6, 'UTC') COMMENT 'newest source commit among the release and its payouts'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `release_id`,
    `payment_method`,
    `currency`,
    `status`,
    `upstream_count`,
    `upstream_amount`,
    `payout_count`,
    `payout_amount`,
    `verdict`,
    `open_rules`,
    `next_due_at`,
    `last_committed_at`
FROM {database}.release_wide FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'releases: upstream\'s count and amount beside ours, and the verdict';
