-- What trueup computes, as clickhouse/schema.py defines it.

CREATE TABLE IF NOT EXISTS {database}.order_wide
(
    `order_id` String CODEC(ZSTD(1)) COMMENT 'order, the join key of all legs',
    `partition` UInt16 COMMENT 'Kafka partition that owns the entity',
    `month` Date32 COMMENT 'first day of a month that never changes for the entity; the storage partition',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'source progress that the row was computed from; the highest one wins',
    `shop_id` String CODEC(ZSTD(1)) COMMENT 'seller; empty while the order is unknown',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts; empty while unknown',
    `status` LowCardinality(String) COMMENT 'status of the order; empty while the order is unknown',
    `gross_amount` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'what the buyer paid',
    `tax_amount` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'tax kept back',
    `fee_amount` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'platform fee kept back',
    `net_amount` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'gross − tax − fee: what the seller is owed',
    `completed_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'business time of completion',
    `updated_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'business time of the order\'s last change',
    `billed_amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'sum of the live billing items in the order\'s currency',
    `billed_count` Int64 COMMENT 'live billing items',
    `paid_out_amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'sum of the live payout lines in the order\'s currency',
    `line_count` Int64 COMMENT 'live payout lines',
    `statement_ids` Array(String) CODEC(ZSTD(1)) COMMENT 'statements that collect the order\'s items',
    `verdict` LowCardinality(String) COMMENT 'pending, matched, discrepant',
    `open_rules` Array(String) CODEC(ZSTD(1)) COMMENT 'rules with an open discrepancy',
    `next_due_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'when the next rule falls due',
    `first_committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'earliest source commit among the legs',
    `last_committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'newest source commit among the legs',
    `contribution_kind` Array(String) CODEC(ZSTD(1)) COMMENT 'item or line, one entry per contribution to a statement',
    `contribution_statement` Array(String) CODEC(ZSTD(1)) COMMENT 'statement id as JSON; null for a line without its item',
    `contribution_payout` Array(String) CODEC(ZSTD(1)) COMMENT 'payout id as JSON; null for an item',
    `contribution_currency` Array(String) CODEC(ZSTD(1)) COMMENT 'ISO-4217 code of the contribution',
    `contribution_status` Array(String) CODEC(ZSTD(1)) COMMENT 'status of the billing item; empty for a line',
    `contribution_count` Array(Int64) CODEC(ZSTD(1)) COMMENT 'rows that the contribution counts',
    `contribution_amount_minor` Array(Decimal(38, 0)) CODEC(ZSTD(1)) COMMENT 'amount in minor units of its currency',
    `contribution_created_at` Array(Int64) CODEC(ZSTD(1)) COMMENT 'business time of the item in microseconds since 1970 UTC',
    `contribution_item` Array(String) CODEC(ZSTD(1)) COMMENT 'billing item id as JSON',
    `order_key` String CODEC(ZSTD(1)) COMMENT 'order id as JSON: a number stays a number',
    `state` String CODEC(ZSTD(1)) COMMENT 'encoded state of the worker, copied back on a rebuild; not for reading',
    INDEX by_order_id `order_id` TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY month
ORDER BY (partition, order_id)
COMMENT 'one row per order: all its legs joined, and the verdict on them';

CREATE TABLE IF NOT EXISTS {database}.statement_wide
(
    `statement_id` String CODEC(ZSTD(1)) COMMENT 'statement',
    `partition` UInt16 COMMENT 'Kafka partition that owns the entity',
    `month` Date32 COMMENT 'first day of a month that never changes for the entity; the storage partition',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'source progress that the row was computed from; the highest one wins',
    `shop_id` String CODEC(ZSTD(1)) COMMENT 'seller; empty while the statement is unknown',
    `cycle` LowCardinality(String) COMMENT 'daily, weekly, biweekly, monthly',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts',
    `status` LowCardinality(String) COMMENT 'status of the statement; empty while it is unknown',
    `period_start` Nullable(Date32) COMMENT 'first day of the cycle',
    `period_end` Nullable(Date32) COMMENT 'last day of the cycle',
    `closed_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'business time of closing',
    `upstream_count` Nullable(Int64) COMMENT 'items as upstream counts them',
    `upstream_amount` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'total as upstream counts it',
    `running_count` Int64 COMMENT 'live billing items, all currencies',
    `running_amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'sum of the live billing items in the statement\'s currency',
    `delta_amount` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'upstream_amount − running_amount',
    `totals_currency` Array(String) CODEC(ZSTD(1)) COMMENT 'currencies of the items',
    `totals_count` Array(Int64) CODEC(ZSTD(1)) COMMENT 'live billing items by currency',
    `totals_amount` Array(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'sum of the live billing items by currency',
    `payout_count` Int64 COMMENT 'live payouts of the statement',
    `payout_amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'sum of the live payouts in the statement\'s currency',
    `line_count` Int64 COMMENT 'live payout lines of these payouts',
    `line_amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'sum of these lines in the statement\'s currency',
    `verdict` LowCardinality(String) COMMENT 'pending, matched, discrepant',
    `open_rules` Array(String) CODEC(ZSTD(1)) COMMENT 'rules with an open discrepancy',
    `next_due_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'when the next rule falls due',
    `last_committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'newest source commit among the statement\'s rows and items',
    `state` String CODEC(ZSTD(1)) COMMENT 'encoded state of the worker, copied back on a rebuild; not for reading',
    INDEX by_statement_id `statement_id` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_shop_id `shop_id` TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY month
ORDER BY (partition, statement_id)
SETTINGS index_granularity = 1024, min_compress_block_size = 4096
COMMENT 'one row per statement: upstream\'s total beside ours, its payouts, and the verdict';

CREATE TABLE IF NOT EXISTS {database}.statement_partial
(
    `statement_id` String CODEC(ZSTD(1)) COMMENT 'statement',
    `partition` UInt16 COMMENT 'Kafka partition of the orders',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'source progress that the row was computed from; the highest one wins',
    `currency` Array(String) CODEC(ZSTD(1)) COMMENT 'ISO-4217 codes, one entry per (currency, status)',
    `status` Array(String) CODEC(ZSTD(1)) COMMENT 'status of the billing items',
    `count` Array(Int64) CODEC(ZSTD(1)) COMMENT 'live billing items',
    `amount` Array(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'sum of these items'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (partition, statement_id)
COMMENT 'what the orders of one Kafka partition contribute to a statement; absolute sums';

CREATE TABLE IF NOT EXISTS {database}.discrepancy
(
    `discrepancy_id` String CODEC(ZSTD(1)) COMMENT 'hash of rule, entity and its owner; the same finding always has the same id',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'source progress and lifecycle step; the highest one wins',
    `month` Date32 COMMENT 'first day of the month of the order or statement; the storage partition',
    `rule` LowCardinality(String) COMMENT 'rule that found it',
    `spec` LowCardinality(String) COMMENT 'spec that holds the rule',
    `rule_version` UInt32 COMMENT 'version of the spec that judged',
    `class` LowCardinality(String) COMMENT 'one-sided, wrong-amount, mismatch',
    `direction` LowCardinality(String) COMMENT 'short, long, or empty',
    `status` LowCardinality(String) COMMENT 'open, auto-resolved, regressed',
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
    `cause` LowCardinality(String) COMMENT 'likely cause, as docs/rules lists them',
    `cause_detail` String CODEC(ZSTD(1)) COMMENT 'the evidence for the cause, in words',
    `evidence` String CODEC(ZSTD(1)) COMMENT 'JSON of the rows it rests on, with their Kafka positions',
    `due_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'when the grace of the rule ended',
    `source_committed_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'source commit that made the books disagree',
    `opened_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when it was raised, or raised again after it had resolved',
    `detected_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the newest state of it was computed',
    `resolved_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'when the books agreed again',
    `latency_ms` Nullable(Float64) COMMENT 'source commit to detection, in milliseconds',
    `occurrences` UInt32 COMMENT 'how often it was raised',
    `watermark_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'watermark at which it was judged',
    INDEX by_order_id `order_id` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_statement_id `statement_id` TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY month
ORDER BY (discrepancy_id)
SETTINGS index_granularity = 1024, min_compress_block_size = 4096
COMMENT 'one row per (rule, entity) on which the books disagree or once disagreed';

CREATE TABLE IF NOT EXISTS {database}.discrepancy_event
(
    `discrepancy_id` String CODEC(ZSTD(1)) COMMENT 'discrepancy',
    `step_id` String CODEC(ZSTD(1)) COMMENT 'hash of what happened: a replay makes the same step again',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'version of the discrepancy that the step made',
    `month` Date32 COMMENT 'first day of the month of the order or statement; the storage partition',
    `status` LowCardinality(String) COMMENT 'status after the step',
    `at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the step happened',
    `rule` LowCardinality(String) COMMENT 'rule that found it',
    `entity_kind` LowCardinality(String) COMMENT 'order, billing_item, payout_item, statement, payout',
    `entity_id` String CODEC(ZSTD(1)) COMMENT 'primary key of the entity',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts, or empty',
    `expected` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'amount that the rule expected then',
    `actual` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'amount that the books showed then',
    `delta` Nullable(Decimal(38, 4)) CODEC(ZSTD(1)) COMMENT 'actual − expected',
    `detail` String CODEC(ZSTD(1)) COMMENT 'the step in words',
    `occurrences` UInt32 COMMENT 'how often it had been raised by then'
)
ENGINE = ReplacingMergeTree()
PARTITION BY month
ORDER BY (discrepancy_id, step_id)
SETTINGS index_granularity = 1024, min_compress_block_size = 4096
COMMENT 'history of the discrepancies: one row per step, never changed';

CREATE TABLE IF NOT EXISTS {database}.quarantine
(
    `topic` LowCardinality(String) COMMENT 'Kafka topic',
    `kafka_partition` UInt16 COMMENT 'Kafka partition',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset',
    `stage` LowCardinality(String) COMMENT 'part of trueup that refused it',
    `code` LowCardinality(String) COMMENT 'short stable reason',
    `reason` String CODEC(ZSTD(1)) COMMENT 'the reason in words',
    `key` String CODEC(ZSTD(1)) COMMENT 'bytes of the message key',
    `value` String CODEC(ZSTD(1)) COMMENT 'bytes of the message value',
    `headers` String CODEC(ZSTD(1)) COMMENT 'the message\'s own headers as a JSON object',
    `quarantined_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when it was refused'
)
ENGINE = ReplacingMergeTree()
ORDER BY (topic, kafka_partition, kafka_offset)
COMMENT 'messages that could not be decoded or applied, with their bytes';

CREATE TABLE IF NOT EXISTS {database}.watermark
(
    `stage` LowCardinality(String) COMMENT 'part of trueup that keeps the watermark',
    `partition` UInt16 COMMENT 'Kafka partition',
    `source` LowCardinality(String) COMMENT 'source database',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'source progress that the row was computed from; the highest one wins',
    `watermark_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'source time up to which everything was seen',
    `recorded_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the row was written'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (stage, partition, source)
COMMENT 'how far in source time each stage has seen everything';
