-- Mirrors of the source tables, as clickhouse/schema.py defines them.

CREATE TABLE IF NOT EXISTS {database}.orders
(
    `order_id` String CODEC(ZSTD(1)) COMMENT 'order, the join key of all legs',
    `shop_id` String CODEC(ZSTD(1)) COMMENT 'seller',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts',
    `gross_amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'what the buyer paid',
    `tax_amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'tax kept back',
    `fee_amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'platform fee kept back',
    `factors` Nullable(String) CODEC(ZSTD(1)) COMMENT 'JSON of what charging used',
    `status` LowCardinality(String) COMMENT 'created, paid, completed, refunded, partially_refunded, cancelled',
    `completed_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'business time of completion',
    `updated_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'business time of the last change',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'position of the change in its source; the highest one wins',
    `is_deleted` UInt8 COMMENT '1 when the source deleted the row; columns it did not send hold their zero value',
    `committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset that the change was read from'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (source, order_id)
COMMENT 'mirror of the source table orders: the newest version of every row';

CREATE TABLE IF NOT EXISTS {database}.billing_item
(
    `billing_item_id` String CODEC(ZSTD(1)) COMMENT 'billing item',
    `order_id` String CODEC(ZSTD(1)) COMMENT 'order that is billed',
    `shop_id` String CODEC(ZSTD(1)) COMMENT 'seller who is owed',
    `statement_id` String CODEC(ZSTD(1)) COMMENT 'statement that collects the item',
    `kind` LowCardinality(String) COMMENT 'sale, refund, adjustment, rebate, fee',
    `source_no` String CODEC(ZSTD(1)) COMMENT 'number of the source document; (order_id, kind, source_no) is the business key',
    `amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'owed to the seller, negative for a refund',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amount',
    `status` LowCardinality(String) COMMENT 'statemented, paid, failed',
    `created_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'business time of billing',
    `updated_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'business time of the last change',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'position of the change in its source; the highest one wins',
    `is_deleted` UInt8 COMMENT '1 when the source deleted the row; columns it did not send hold their zero value',
    `committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset that the change was read from',
    INDEX by_order_id `order_id` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_statement_id `statement_id` TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (source, billing_item_id)
COMMENT 'mirror of the source table billing_item: the newest version of every row';

CREATE TABLE IF NOT EXISTS {database}.payout_item
(
    `payout_item_id` String CODEC(ZSTD(1)) COMMENT 'payout line',
    `payout_id` String CODEC(ZSTD(1)) COMMENT 'payout that carries the line',
    `order_id` String CODEC(ZSTD(1)) COMMENT 'order that is paid out',
    `billing_item_id` String CODEC(ZSTD(1)) COMMENT 'billing item that is paid out',
    `amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'paid to the seller',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amount',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'position of the change in its source; the highest one wins',
    `is_deleted` UInt8 COMMENT '1 when the source deleted the row; columns it did not send hold their zero value',
    `committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset that the change was read from',
    INDEX by_order_id `order_id` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_payout_id `payout_id` TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (source, payout_item_id)
COMMENT 'mirror of the source table payout_item: the newest version of every row';

CREATE TABLE IF NOT EXISTS {database}.statement
(
    `statement_id` String CODEC(ZSTD(1)) COMMENT 'statement',
    `shop_id` String CODEC(ZSTD(1)) COMMENT 'seller',
    `cycle` LowCardinality(String) COMMENT 'daily, weekly, biweekly, monthly',
    `period_start` Date32 COMMENT 'first day of the cycle',
    `period_end` Date32 COMMENT 'last day of the cycle',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amount',
    `item_count` Int64 COMMENT 'items as upstream counts them',
    `amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'total as upstream counts it',
    `status` LowCardinality(String) COMMENT 'open, closed, confirmed, paying, paid, failed',
    `closed_at` Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'business time of closing',
    `updated_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'business time of the last change',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'position of the change in its source; the highest one wins',
    `is_deleted` UInt8 COMMENT '1 when the source deleted the row; columns it did not send hold their zero value',
    `committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset that the change was read from'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (source, statement_id)
COMMENT 'mirror of the source table statement: the newest version of every row';

CREATE TABLE IF NOT EXISTS {database}.payout
(
    `payout_id` String CODEC(ZSTD(1)) COMMENT 'payout',
    `statement_id` String CODEC(ZSTD(1)) COMMENT 'statement that is paid',
    `shop_id` String CODEC(ZSTD(1)) COMMENT 'seller',
    `payment_method` LowCardinality(String) COMMENT 'payment channel',
    `amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'paid to the seller',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amount',
    `status` LowCardinality(String) COMMENT 'created, ongoing, paid, failed, failed_no_retry',
    `channel_ref` Nullable(String) CODEC(ZSTD(1)) COMMENT 'reference given by the channel',
    `updated_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'business time of the last change',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'position of the change in its source; the highest one wins',
    `is_deleted` UInt8 COMMENT '1 when the source deleted the row; columns it did not send hold their zero value',
    `committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset that the change was read from',
    INDEX by_shop_id `shop_id` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_statement_id `statement_id` TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (source, payout_id)
COMMENT 'mirror of the source table payout: the newest version of every row';

CREATE TABLE IF NOT EXISTS {database}.account
(
    `shop_id` String CODEC(ZSTD(1)) COMMENT 'seller',
    `payment_method` LowCardinality(String) COMMENT 'payment channel of the seller',
    `rule_id` String CODEC(ZSTD(1)) COMMENT 'payout rule of the seller',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the account',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'position of the change in its source; the highest one wins',
    `is_deleted` UInt8 COMMENT '1 when the source deleted the row; columns it did not send hold their zero value',
    `committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset that the change was read from'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (source, shop_id)
COMMENT 'mirror of the source table account: the newest version of every row';

CREATE TABLE IF NOT EXISTS {database}.rule
(
    `rule_id` String CODEC(ZSTD(1)) COMMENT 'payout rule',
    `cycle` LowCardinality(String) COMMENT 'daily, weekly, biweekly, monthly',
    `auto_payment` Bool COMMENT 'paid without a person\'s release',
    `payment_threshold` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'smallest amount that is paid',
    `payment_currency` LowCardinality(String) COMMENT 'ISO-4217 code of payments',
    `is_hold` Bool COMMENT 'payments are on hold',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'position of the change in its source; the highest one wins',
    `is_deleted` UInt8 COMMENT '1 when the source deleted the row; columns it did not send hold their zero value',
    `committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset that the change was read from'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (source, rule_id)
COMMENT 'mirror of the source table rule: the newest version of every row';

CREATE TABLE IF NOT EXISTS {database}.funding
(
    `funding_id` String CODEC(ZSTD(1)) COMMENT 'top-up of a payment channel',
    `payment_method` LowCardinality(String) COMMENT 'payment channel',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amount',
    `amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'money put into the channel',
    `status` LowCardinality(String) COMMENT 'created, funded, cancelled',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'position of the change in its source; the highest one wins',
    `is_deleted` UInt8 COMMENT '1 when the source deleted the row; columns it did not send hold their zero value',
    `committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset that the change was read from'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (source, funding_id)
COMMENT 'mirror of the source table funding: the newest version of every row';

CREATE TABLE IF NOT EXISTS {database}.release_summary
(
    `release_id` String CODEC(ZSTD(1)) COMMENT 'release of a channel\'s payouts',
    `payment_method` LowCardinality(String) COMMENT 'payment channel',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amount',
    `payout_count` Int64 COMMENT 'payouts released',
    `amount` Decimal(38, 4) CODEC(ZSTD(1)) COMMENT 'sum of the payouts released',
    `status` LowCardinality(String) COMMENT 'created, funded, released',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'position of the change in its source; the highest one wins',
    `is_deleted` UInt8 COMMENT '1 when the source deleted the row; columns it did not send hold their zero value',
    `committed_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset that the change was read from'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (source, release_id)
COMMENT 'mirror of the source table release_summary: the newest version of every row';
