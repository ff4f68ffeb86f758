-- Cases and the audit log, as clickhouse/schema.py, views.py and case_views.py define them.

CREATE TABLE IF NOT EXISTS {database}.case_wide
(
    `discrepancy_id` String CODEC(ZSTD(1)) COMMENT 'discrepancy',
    `partition` UInt16 COMMENT 'Kafka partition of its verdicts and commands',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'progress of the partition that the row was computed from; the highest one wins',
    `rule` LowCardinality(String) COMMENT 'rule that found it; empty before its first verdict',
    `class` LowCardinality(String) COMMENT 'one-sided, wrong-amount, mismatch',
    `direction` LowCardinality(String) COMMENT 'short, long, or empty',
    `entity_kind` LowCardinality(String) COMMENT 'order, billing_item, payout_item, statement, payout',
    `entity_id` String CODEC(ZSTD(1)) COMMENT 'primary key of the entity',
    `order_id` String CODEC(ZSTD(1)) COMMENT 'order it belongs to, or empty',
    `statement_id` String CODEC(ZSTD(1)) COMMENT 'statement it belongs to, or empty',
    `shop_id` String CODEC(ZSTD(1)) COMMENT 'seller, or empty',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts, or empty',
    `expected` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'amount that the rule expects',
    `actual` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'amount that the books show',
    `delta` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'actual − expected',
    `detail` String CODEC(ZSTD(1)) COMMENT 'the finding in words',
    `stake` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT '|actual − expected|, a missing side counting as nothing; null without amounts',
    `standing` LowCardinality(String) COMMENT 'open, acknowledged, assigned, snoozed, waive-requested, waived, resolved, auto-resolved, regressed',
    `standing_awake` LowCardinality(String) COMMENT 'where it stands once the time of a snooze is over',
    `status` LowCardinality(String) COMMENT 'what the judges say: open, auto-resolved, regressed',
    `lapse` String CODEC(ZSTD(1)) COMMENT 'why an earlier decision no longer holds, or empty',
    `assignee` String CODEC(ZSTD(1)) COMMENT 'who deals with it, or empty',
    `snoozed_until` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'when the snooze ends by itself',
    `snooze_condition` LowCardinality(String) COMMENT 'what else ends the snooze: amount-changed, comes-back, amount-above',
    `requester` String CODEC(ZSTD(1)) COMMENT 'who asks for a waiver that waits for approval, or empty',
    `note` String CODEC(ZSTD(1)) COMMENT 'note of the last decision',
    `comments` UInt32 COMMENT 'comments; their text is in the audit log',
    `revision` UInt32 COMMENT 'accepted commands so far; a new command must name it',
    `occurrences` UInt32 COMMENT 'how often it was raised; a command must name it',
    `severity` LowCardinality(String) COMMENT 'low, medium, high, critical',
    `due_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'when it should be dealt with',
    `opened_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'source time at which it was first raised',
    `raised_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'source time at which it was last raised',
    `resolved_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'source time at which the books agreed again',
    `last_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'last verdict or accepted command',
    `occurrence_number` Array(UInt32) CODEC(ZSTD(1)) COMMENT 'one entry per time it was raised, oldest first',
    `occurrence_raised_at` Array(DateTime64(6, 'UTC')) CODEC(ZSTD(1)) COMMENT 'source time of the raise',
    `occurrence_period` Array(Date32) CODEC(ZSTD(1)) COMMENT 'accounting period of the raise: first day of its month, UTC',
    `occurrence_resolved_at` Array(Nullable(DateTime64(6, 'UTC'))) CODEC(ZSTD(1)) COMMENT 'source time of its resolution',
    `occurrence_currency` Array(String) CODEC(ZSTD(1)) COMMENT 'ISO-4217 code of its amounts',
    `occurrence_stake` Array(Nullable(Decimal(38, 4))) CODEC(ZSTD(1)) COMMENT '|actual − expected|, a missing side counting as nothing',
    `state` String CODEC(ZSTD(1)) COMMENT 'encoded state of the worker, copied back on a rebuild; not for reading',
    INDEX by_entity_id `entity_id` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_order_id `order_id` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_statement_id `statement_id` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_shop_id `shop_id` TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (partition, discrepancy_id)
SETTINGS index_granularity = 1024, min_compress_block_size = 4096
COMMENT 'one row per discrepancy: what the judges say, what people decided, and where it stands';

CREATE TABLE IF NOT EXISTS {database}.audit_log
(
    `topic` LowCardinality(String) COMMENT 'Kafka topic',
    `partition` UInt16 COMMENT 'Kafka partition',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset',
    `at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when it was judged or decided',
    `discrepancy_id` String CODEC(ZSTD(1)) COMMENT 'discrepancy; empty when the message could not be read',
    `command_id` String CODEC(ZSTD(1)) COMMENT 'command; empty for a verdict',
    `kind` LowCardinality(String) COMMENT 'raised, changed, resolved, regressed, the kind of the command, replay, or unreadable',
    `actor` String CODEC(ZSTD(1)) COMMENT 'who gave the command; empty for a verdict',
    `outcome` LowCardinality(String) COMMENT 'applied, refused, repeated, quarantined',
    `reason` String CODEC(ZSTD(1)) COMMENT 'why it was not applied',
    `revision` UInt32 COMMENT 'accepted commands of the discrepancy after this one; 0 for a verdict',
    `note` String CODEC(ZSTD(1)) COMMENT 'note of the command, or the finding in words',
    `body` String CODEC(ZSTD(1)) COMMENT 'bytes of the message value',
    `prev_hash` String CODEC(ZSTD(1)) COMMENT 'hash of the row before it in the chain',
    `hash` String CODEC(ZSTD(1)) COMMENT 'SHA-256 over all other columns',
    INDEX by_command_id `command_id` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_discrepancy_id `discrepancy_id` TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree()
ORDER BY (topic, partition, kafka_offset)
COMMENT 'every verdict and command in the order of its topic, one hash chain per topic and partition; never changed';

CREATE VIEW IF NOT EXISTS {database}.v_audit_log
(
    `topic` LowCardinality(String) COMMENT 'Kafka topic',
    `partition` UInt16 COMMENT 'Kafka partition',
    `kafka_offset` UInt64 COMMENT 'Kafka offset',
    `at` DateTime64(6, 'UTC') COMMENT 'when it was judged or decided',
    `discrepancy_id` String COMMENT 'discrepancy; empty when the message could not be read',
    `command_id` String COMMENT 'command; empty for a verdict',
    `kind` LowCardinality(String) COMMENT 'raised, changed, resolved, regressed, the kind of the command, replay, or unreadable',
    `actor` String COMMENT 'who gave the command; empty for a verdict',
    `outcome` LowCardinality(String) COMMENT 'applied, refused, repeated, quarantined',
    `reason` String COMMENT 'why it was not applied',
    `revision` UInt32 COMMENT 'accepted commands of the discrepancy after this one; 0 for a verdict',
    `note` String COMMENT 'note of the command, or the finding in words',
    `body` String COMMENT 'bytes of the message value',
    `prev_hash` String COMMENT 'hash of the row before it in the chain',
    `hash` String COMMENT 'SHA-256 over all other columns'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `topic`,
    `partition`,
    `kafka_offset`,
    `at`,
    `discrepancy_id`,
    `command_id`,
    `kind`,
    `actor`,
    `outcome`,
    `reason`,
    `revision`,
    `note`,
    `body`,
    `prev_hash`,
    `hash`
FROM {database}.audit_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'every verdict and command, and what came of it';

CREATE VIEW IF NOT EXISTS {database}.v_cases
(
    `discrepancy_id` String COMMENT 'discrepancy',
    `rule` LowCardinality(String) COMMENT 'rule that found it; empty before its first verdict',
    `class` LowCardinality(String) COMMENT 'one-sided, wrong-amount, mismatch',
    `direction` LowCardinality(String) COMMENT 'short, long, or empty',
    `entity_kind` LowCardinality(String) COMMENT 'order, billing_item, payout_item, statement, payout',
    `entity_id` String COMMENT 'primary key of the entity',
    `order_id` String COMMENT 'order it belongs to, or empty',
    `statement_id` String COMMENT 'statement it belongs to, or empty',
    `shop_id` String COMMENT 'seller, or empty',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts, or empty',
    `expected` Nullable(Decimal(38, 4)) COMMENT 'amount that the rule expects',
    `actual` Nullable(Decimal(38, 4)) COMMENT 'amount that the books show',
    `delta` Nullable(Decimal(38, 4)) COMMENT 'actual − expected',
    `detail` String COMMENT 'the finding in words',
    `stake` Nullable(Decimal(38, 4)) COMMENT '|actual − expected|, a missing side counting as nothing; null without amounts',
    `standing` LowCardinality(String) COMMENT 'open, acknowledged, assigned, snoozed, waive-requested, waived, resolved, auto-resolved, regressed',
    `status` LowCardinality(String) COMMENT 'what the judges say: open, auto-resolved, regressed',
    `lapse` String COMMENT 'why an earlier decision no longer holds, or empty',
    `assignee` String COMMENT 'who deals with it, or empty',
    `snoozed_until` Nullable(DateTime64(6, 'UTC')) COMMENT 'when the snooze ends by itself',
    `snooze_condition` LowCardinality(String) COMMENT 'what else ends the snooze: amount-changed, comes-back, amount-above',
    `requester` String COMMENT 'who asks for a waiver that waits for approval, or empty',
    `note` String COMMENT 'note of the last decision',
    `comments` UInt32 COMMENT 'comments; their text is in the audit log',
    `revision` UInt32 COMMENT 'accepted commands so far; a new command must name it',
    `occurrences` UInt32 COMMENT 'how often it was raised; a command must name it',
    `severity` LowCardinality(String) COMMENT 'low, medium, high, critical',
    `due_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'when it should be dealt with',
    `opened_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'source time at which it was first raised',
    `raised_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'source time at which it was last raised',
    `resolved_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'source time at which the books agreed again',
    `last_at` DateTime64(6, 'UTC') COMMENT 'last verdict or accepted command'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `discrepancy_id`,
    `rule`,
    `class`,
    `direction`,
    `entity_kind`,
    `entity_id`,
    `order_id`,
    `statement_id`,
    `shop_id`,
    `currency`,
    `expected`,
    `actual`,
    `delta`,
    `detail`,
    `stake`,
    if(`case_wide`.`standing` = 'snoozed' AND `case_wide`.`snoozed_until` <= now64(6), `case_wide`.`standing_awake`, `case_wide`.`standing`) AS `standing`,
    `status`,
    `lapse`,
    `assignee`,
    `snoozed_until`,
    `snooze_condition`,
    `requester`,
    `note`,
    `comments`,
    `revision`,
    `occurrences`,
    `severity`,
    `due_at`,
    `opened_at`,
    `raised_at`,
    `resolved_at`,
    `last_at`
FROM {database}.case_wide FINAL
WHERE `case_wide`.`standing` != 'unknown'
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'where each discrepancy stands now, and who deals with it';

CREATE VIEW IF NOT EXISTS {database}.v_period_status
(
    `month` Date32 COMMENT 'first day of the accounting period, a calendar month in UTC',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts, or empty',
    `class` LowCardinality(String) COMMENT 'one-sided, wrong-amount, mismatch',
    `raised` UInt64 COMMENT 'occurrences raised in the period',
    `resolved_within` UInt64 COMMENT 'of these, resolved by themselves before the period ended',
    `open_at_end` UInt64 COMMENT 'occurrences of this or an earlier period still open at its end, or now',
    `raised_amount` Decimal(38, 4) COMMENT 'sum of what was in question when raised: |actual − expected|',
    `resolved_within_amount` Decimal(38, 4) COMMENT 'the same of those resolved within the period',
    `open_at_end_amount` Decimal(38, 4) COMMENT 'the same of those open at its end'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    month,
    currency,
    class,
    countIf(raised_month = month) AS raised,
    countIf(raised_month = month AND resolved_month = month) AS resolved_within,
    countIf(resolved_month > month) AS open_at_end,
    sumIf(stake, raised_month = month) AS raised_amount,
    sumIf(stake, raised_month = month AND resolved_month = month) AS resolved_within_amount,
    sumIf(stake, resolved_month > month) AS open_at_end_amount
FROM
(
    SELECT
        class,
        one_currency AS currency,
        coalesce(one_stake, toDecimal128(0, 4)) AS stake,
        toStartOfMonth(one_raised_at) AS raised_month,
        if(isNull(one_resolved_at), toDate32('2299-12-31'), toStartOfMonth(assumeNotNull(one_resolved_at))) AS resolved_month,
        arrayJoin(arrayMap(
            step -> addMonths(raised_month, step),
            range(toUInt32(1 + greatest(0, dateDiff('month', raised_month, least(resolved_month, toDate32(now64(6)))))))
        )) AS month
    FROM {database}.case_wide FINAL
    ARRAY JOIN
        occurrence_currency AS one_currency,
        occurrence_stake AS one_stake,
        occurrence_raised_at AS one_raised_at,
        occurrence_resolved_at AS one_resolved_at
)
GROUP BY month, currency, class
COMMENT 'by accounting period: what was raised in it, resolved within it, and still open at its end';
