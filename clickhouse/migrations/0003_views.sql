-- Views for analysts, as clickhouse/views.py defines them.

CREATE VIEW IF NOT EXISTS {database}.v_orders
(
    `order_id` String COMMENT 'order, the join key of all legs',
    `partition` UInt16 COMMENT 'Kafka partition that owns the entity',
    `shop_id` String COMMENT 'seller; empty while the order is unknown',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts; empty while unknown',
    `status` LowCardinality(String) COMMENT 'status of the order; empty while the order is unknown',
    `gross_amount` Nullable(Decimal(38, 4)) COMMENT 'what the buyer paid',
    `tax_amount` Nullable(Decimal(38, 4)) COMMENT 'tax kept back',
    `fee_amount` Nullable(Decimal(38, 4)) COMMENT 'platform fee kept back',
    `net_amount` Nullable(Decimal(38, 4)) COMMENT 'gross − tax − fee: what the seller is owed',
    `completed_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'business time of completion',
    `updated_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'business time of the order\'s last change',
    `billed_amount` Decimal(38, 4) COMMENT 'sum of the live billing items in the order\'s currency',
    `billed_count` Int64 COMMENT 'live billing items',
    `paid_out_amount` Decimal(38, 4) COMMENT 'sum of the live payout lines in the order\'s currency',
    `line_count` Int64 COMMENT 'live payout lines',
    `statement_ids` Array(String) COMMENT 'statements that collect the order\'s items',
    `verdict` LowCardinality(String) COMMENT 'pending, matched, discrepant',
    `open_rules` Array(String) COMMENT 'rules with an open discrepancy',
    `next_due_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'when the next rule falls due',
    `first_committed_at` DateTime64(6, 'UTC') COMMENT 'earliest source commit among the legs',
    `last_committed_at` DateTime64(6, 'UTC') COMMENT 'newest source commit among the legs'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `order_id`,
    `partition`,
    `shop_id`,
    `currency`,
    `status`,
    `gross_amount`,
    `tax_amount`,
    `fee_amount`,
    `net_amount`,
    `completed_at`,
    `updated_at`,
    `billed_amount`,
    `billed_count`,
    `paid_out_amount`,
    `line_count`,
    `statement_ids`,
    `verdict`,
    `open_rules`,
    `next_due_at`,
    `first_committed_at`,
    `last_committed_at`
FROM {database}.order_wide FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'orders with all their legs joined, and the verdict on them';

CREATE VIEW IF NOT EXISTS {database}.v_statements
(
    `statement_id` String COMMENT 'statement',
    `shop_id` String COMMENT 'seller; empty while the statement is unknown',
    `cycle` LowCardinality(String) COMMENT 'daily, weekly, biweekly, monthly',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts',
    `status` LowCardinality(String) COMMENT 'status of the statement; empty while it is unknown',
    `period_start` Nullable(Date32) COMMENT 'first day of the cycle',
    `period_end` Nullable(Date32) COMMENT 'last day of the cycle',
    `closed_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'business time of closing',
    `upstream_count` Nullable(Int64) COMMENT 'items as upstream counts them',
    `upstream_amount` Nullable(Decimal(38, 4)) COMMENT 'total as upstream counts it',
    `running_count` Int64 COMMENT 'live billing items, all currencies',
    `running_amount` Decimal(38, 4) COMMENT 'sum of the live billing items in the statement\'s currency',
    `delta_amount` Nullable(Decimal(38, 4)) COMMENT 'upstream_amount − running_amount',
    `totals_currency` Array(String) COMMENT 'currencies of the items',
    `totals_count` Array(Int64) COMMENT 'live billing items by currency',
    `totals_amount` Array(Decimal(38, 4)) COMMENT 'sum of the live billing items by currency',
    `payout_count` Int64 COMMENT 'live payouts of the statement',
    `payout_amount` Decimal(38, 4) COMMENT 'sum of the live payouts in the statement\'s currency',
    `line_count` Int64 COMMENT 'live payout lines of these payouts',
    `line_amount` Decimal(38, 4) COMMENT 'sum of these lines in the statement\'s currency',
    `verdict` LowCardinality(String) COMMENT 'pending, matched, discrepant',
    `open_rules` Array(String) COMMENT 'rules with an open discrepancy',
    `next_due_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'when the next rule falls due',
    `last_committed_at` DateTime64(6, 'UTC') COMMENT 'newest source commit among the statement\'s rows and items'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `statement_id`,
    `shop_id`,
    `cycle`,
    `currency`,
    `status`,
    `period_start`,
    `period_end`,
    `closed_at`,
    `upstream_count`,
    `upstream_amount`,
    `running_count`,
    `running_amount`,
    `delta_amount`,
    `totals_currency`,
    `totals_count`,
    `totals_amount`,
    `payout_count`,
    `payout_amount`,
    `line_count`,
    `line_amount`,
    `verdict`,
    `open_rules`,
    `next_due_at`,
    `last_committed_at`
FROM {database}.statement_wide FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'statements: upstream\'s total beside ours, their payouts, and the verdict';

CREATE VIEW IF NOT EXISTS {database}.v_statement_partials
(
    `statement_id` String COMMENT 'statement',
    `partition` UInt16 COMMENT 'Kafka partition of the orders',
    `currency` Array(String) COMMENT 'ISO-4217 codes, one entry per (currency, status)',
    `status` Array(String) COMMENT 'status of the billing items',
    `count` Array(Int64) COMMENT 'live billing items',
    `amount` Array(Decimal(38, 4)) COMMENT 'sum of these items'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `statement_id`,
    `partition`,
    `currency`,
    `status`,
    `count`,
    `amount`
FROM {database}.statement_partial FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'what the orders of each Kafka partition add to a statement';

CREATE VIEW IF NOT EXISTS {database}.v_discrepancies
(
    `discrepancy_id` String COMMENT 'hash of rule, entity and its owner; the same finding always has the same id',
    `rule` LowCardinality(String) COMMENT 'rule that found it',
    `spec` LowCardinality(String) COMMENT 'spec that holds the rule',
    `rule_version` UInt32 COMMENT 'version of the spec that judged',
    `class` LowCardinality(String) COMMENT 'one-sided, wrong-amount, mismatch',
    `direction` LowCardinality(String) COMMENT 'short, long, or empty',
    `status` LowCardinality(String) COMMENT 'open, auto-resolved, regressed',
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
    `cause` LowCardinality(String) COMMENT 'likely cause, as docs/rules lists them',
    `cause_detail` String COMMENT 'the evidence for the cause, in words',
    `evidence` String COMMENT 'JSON of the rows it rests on, with their Kafka positions',
    `due_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'when the grace of the rule ended',
    `source_committed_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'source commit that made the books disagree',
    `opened_at` DateTime64(6, 'UTC') COMMENT 'when it was raised, or raised again after it had resolved',
    `detected_at` DateTime64(6, 'UTC') COMMENT 'when the newest state of it was computed',
    `resolved_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'when the books agreed again',
    `latency_ms` Nullable(Float64) COMMENT 'source commit to detection, in milliseconds',
    `occurrences` UInt32 COMMENT 'how often it was raised',
    `watermark_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'watermark at which it was judged'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `discrepancy_id`,
    `rule`,
    `spec`,
    `rule_version`,
    `class`,
    `direction`,
    `status`,
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
    `cause`,
    `cause_detail`,
    `evidence`,
    `due_at`,
    `source_committed_at`,
    `opened_at`,
    `detected_at`,
    `resolved_at`,
    `latency_ms`,
    `occurrences`,
    `watermark_at`
FROM {database}.discrepancy FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'everything on which the books disagree or once disagreed';

CREATE VIEW IF NOT EXISTS {database}.v_open_discrepancies
(
    `discrepancy_id` String COMMENT 'hash of rule, entity and its owner; the same finding always has the same id',
    `rule` LowCardinality(String) COMMENT 'rule that found it',
    `spec` LowCardinality(String) COMMENT 'spec that holds the rule',
    `rule_version` UInt32 COMMENT 'version of the spec that judged',
    `class` LowCardinality(String) COMMENT 'one-sided, wrong-amount, mismatch',
    `direction` LowCardinality(String) COMMENT 'short, long, or empty',
    `status` LowCardinality(String) COMMENT 'open, auto-resolved, regressed',
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
    `cause` LowCardinality(String) COMMENT 'likely cause, as docs/rules lists them',
    `cause_detail` String COMMENT 'the evidence for the cause, in words',
    `evidence` String COMMENT 'JSON of the rows it rests on, with their Kafka positions',
    `due_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'when the grace of the rule ended',
    `source_committed_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'source commit that made the books disagree',
    `opened_at` DateTime64(6, 'UTC') COMMENT 'when it was raised, or raised again after it had resolved',
    `detected_at` DateTime64(6, 'UTC') COMMENT 'when the newest state of it was computed',
    `resolved_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'when the books agreed again',
    `latency_ms` Nullable(Float64) COMMENT 'source commit to detection, in milliseconds',
    `occurrences` UInt32 COMMENT 'how often it was raised',
    `watermark_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'watermark at which it was judged'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `discrepancy_id`,
    `rule`,
    `spec`,
    `rule_version`,
    `class`,
    `direction`,
    `status`,
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
    `cause`,
    `cause_detail`,
    `evidence`,
    `due_at`,
    `source_committed_at`,
    `opened_at`,
    `detected_at`,
    `resolved_at`,
    `latency_ms`,
    `occurrences`,
    `watermark_at`
FROM {database}.discrepancy FINAL
WHERE status IN ('open', 'regressed')
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'what the books disagree on now';

CREATE VIEW IF NOT EXISTS {database}.v_discrepancy_events
(
    `discrepancy_id` String COMMENT 'discrepancy',
    `version` UInt64 COMMENT 'version of the discrepancy that the step made',
    `status` LowCardinality(String) COMMENT 'status after the step',
    `at` DateTime64(6, 'UTC') COMMENT 'when the step happened',
    `rule` LowCardinality(String) COMMENT 'rule that found it',
    `entity_kind` LowCardinality(String) COMMENT 'order, billing_item, payout_item, statement, payout',
    `entity_id` String COMMENT 'primary key of the entity',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts, or empty',
    `expected` Nullable(Decimal(38, 4)) COMMENT 'amount that the rule expected then',
    `actual` Nullable(Decimal(38, 4)) COMMENT 'amount that the books showed then',
    `delta` Nullable(Decimal(38, 4)) COMMENT 'actual − expected',
    `detail` String COMMENT 'the step in words',
    `occurrences` UInt32 COMMENT 'how often it had been raised by then'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `discrepancy_id`,
    `version`,
    `status`,
    `at`,
    `rule`,
    `entity_kind`,
    `entity_id`,
    `currency`,
    `expected`,
    `actual`,
    `delta`,
    `detail`,
    `occurrences`
FROM {database}.discrepancy_event FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'history of the discrepancies';

CREATE VIEW IF NOT EXISTS {database}.v_quarantine
(
    `topic` LowCardinality(String) COMMENT 'Kafka topic',
    `kafka_partition` UInt16 COMMENT 'Kafka partition',
    `kafka_offset` UInt64 COMMENT 'Kafka offset',
    `stage` LowCardinality(String) COMMENT 'part of trueup that refused it',
    `code` LowCardinality(String) COMMENT 'short stable reason',
    `reason` String COMMENT 'the reason in words',
    `key` String COMMENT 'bytes of the message key',
    `value` String COMMENT 'bytes of the message value',
    `headers` String COMMENT 'the message\'s own headers as a JSON object',
    `quarantined_at` DateTime64(6, 'UTC') COMMENT 'when it was refused'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `topic`,
    `kafka_partition`,
    `kafka_offset`,
    `stage`,
    `code`,
    `reason`,
    `key`,
    `value`,
    `headers`,
    `quarantined_at`
FROM {database}.quarantine FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'messages that could not be decoded or applied';

CREATE VIEW IF NOT EXISTS {database}.v_watermarks
(
    `stage` LowCardinality(String) COMMENT 'part of trueup that keeps the watermark',
    `partition` UInt16 COMMENT 'Kafka partition',
    `source` LowCardinality(String) COMMENT 'source database',
    `watermark_at` DateTime64(6, 'UTC') COMMENT 'source time up to which everything was seen',
    `recorded_at` DateTime64(6, 'UTC') COMMENT 'when the row was written'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `stage`,
    `partition`,
    `source`,
    `watermark_at`,
    `recorded_at`
FROM {database}.watermark FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'how far in source time each stage has seen everything';

CREATE VIEW IF NOT EXISTS {database}.v_source_orders
(
    `order_id` String COMMENT 'order, the join key of all legs',
    `shop_id` String COMMENT 'seller',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amounts',
    `gross_amount` Decimal(38, 4) COMMENT 'what the buyer paid',
    `tax_amount` Decimal(38, 4) COMMENT 'tax kept back',
    `fee_amount` Decimal(38, 4) COMMENT 'platform fee kept back',
    `factors` Nullable(String) COMMENT 'JSON of what charging used',
    `status` LowCardinality(String) COMMENT 'created, paid, completed, refunded, partially_refunded, cancelled',
    `completed_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'business time of completion',
    `updated_at` DateTime64(6, 'UTC') COMMENT 'business time of the last change',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 COMMENT 'position of the change in its source; the highest one wins',
    `committed_at` DateTime64(6, 'UTC') COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 COMMENT 'Kafka offset that the change was read from'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `order_id`,
    `shop_id`,
    `currency`,
    `gross_amount`,
    `tax_amount`,
    `fee_amount`,
    `factors`,
    `status`,
    `completed_at`,
    `updated_at`,
    `source`,
    `version`,
    `committed_at`,
    `kafka_partition`,
    `kafka_offset`
FROM {database}.orders FINAL
WHERE is_deleted = 0
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'live rows of the source table orders';

CREATE VIEW IF NOT EXISTS {database}.v_billing_items
(
    `billing_item_id` String COMMENT 'billing item',
    `order_id` String COMMENT 'order that is billed',
    `shop_id` String COMMENT 'seller who is owed',
    `statement_id` String COMMENT 'statement that collects the item',
    `kind` LowCardinality(String) COMMENT 'sale, refund, adjustment, rebate, fee',
    `source_no` String COMMENT 'number of the source document; (order_id, kind, source_no) is the business key',
    `amount` Decimal(38, 4) COMMENT 'owed to the seller, negative for a refund',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amount',
    `status` LowCardinality(String) COMMENT 'statemented, paid, failed',
    `created_at` DateTime64(6, 'UTC') COMMENT 'business time of billing',
    `updated_at` DateTime64(6, 'UTC') COMMENT 'business time of the last change',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 COMMENT 'position of the change in its source; the highest one wins',
    `committed_at` DateTime64(6, 'UTC') COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 COMMENT 'Kafka offset that the change was read from'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `billing_item_id`,
    `order_id`,
    `shop_id`,
    `statement_id`,
    `kind`,
    `source_no`,
    `amount`,
    `currency`,
    `status`,
    `created_at`,
    `updated_at`,
    `source`,
    `version`,
    `committed_at`,
    `kafka_partition`,
    `kafka_offset`
FROM {database}.billing_item FINAL
WHERE is_deleted = 0
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'live rows of the source table billing_item';

CREATE VIEW IF NOT EXISTS {database}.v_payout_items
(
    `payout_item_id` String COMMENT 'payout line',
    `payout_id` String COMMENT 'payout that carries the line',
    `order_id` String COMMENT 'order that is paid out',
    `billing_item_id` String COMMENT 'billing item that is paid out',
    `amount` Decimal(38, 4) COMMENT 'paid to the seller',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amount',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 COMMENT 'position of the change in its source; the highest one wins',
    `committed_at` DateTime64(6, 'UTC') COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 COMMENT 'Kafka offset that the change was read from'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `payout_item_id`,
    `payout_id`,
    `order_id`,
    `billing_item_id`,
    `amount`,
    `currency`,
    `source`,
    `version`,
    `committed_at`,
    `kafka_partition`,
    `kafka_offset`
FROM {database}.payout_item FINAL
WHERE is_deleted = 0
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'live rows of the source table payout_item';

CREATE VIEW IF NOT EXISTS {database}.v_source_statements
(
    `statement_id` String COMMENT 'statement',
    `shop_id` String COMMENT 'seller',
    `cycle` LowCardinality(String) COMMENT 'daily, weekly, biweekly, monthly',
    `period_start` Date32 COMMENT 'first day of the cycle',
    `period_end` Date32 COMMENT 'last day of the cycle',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amount',
    `item_count` Int64 COMMENT 'items as upstream counts them',
    `amount` Decimal(38, 4) COMMENT 'total as upstream counts it',
    `status` LowCardinality(String) COMMENT 'open, closed, confirmed, paying, paid, failed',
    `closed_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'business time of closing',
    `updated_at` DateTime64(6, 'UTC') COMMENT 'business time of the last change',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 COMMENT 'position of the change in its source; the highest one wins',
    `committed_at` DateTime64(6, 'UTC') COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 COMMENT 'Kafka offset that the change was read from'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `statement_id`,
    `shop_id`,
    `cycle`,
    `period_start`,
    `period_end`,
    `currency`,
    `item_count`,
    `amount`,
    `status`,
    `closed_at`,
    `updated_at`,
    `source`,
    `version`,
    `committed_at`,
    `kafka_partition`,
    `kafka_offset`
FROM {database}.statement FINAL
WHERE is_deleted = 0
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'live rows of the source table statement';

CREATE VIEW IF NOT EXISTS {database}.v_payouts
(
    `payout_id` String COMMENT 'payout',
    `statement_id` String COMMENT 'statement that is paid',
    `shop_id` String COMMENT 'seller',
    `payment_method` LowCardinality(String) COMMENT 'payment channel',
    `amount` Decimal(38, 4) COMMENT 'paid to the seller',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amount',
    `status` LowCardinality(String) COMMENT 'created, ongoing, paid, failed, failed_no_retry',
    `channel_ref` Nullable(String) COMMENT 'reference given by the channel',
    `updated_at` DateTime64(6, 'UTC') COMMENT 'business time of the last change',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 COMMENT 'position of the change in its source; the highest one wins',
    `committed_at` DateTime64(6, 'UTC') COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 COMMENT 'Kafka offset that the change was read from'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `payout_id`,
    `statement_id`,
    `shop_id`,
    `payment_method`,
    `amount`,
    `currency`,
    `status`,
    `channel_ref`,
    `updated_at`,
    `source`,
    `version`,
    `committed_at`,
    `kafka_partition`,
    `kafka_offset`
FROM {database}.payout FINAL
WHERE is_deleted = 0
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'live rows of the source table payout';

CREATE VIEW IF NOT EXISTS {database}.v_accounts
(
    `shop_id` String COMMENT 'seller',
    `payment_method` LowCardinality(String) COMMENT 'payment channel of the seller',
    `rule_id` String COMMENT 'payout rule of the seller',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the account',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 COMMENT 'position of the change in its source; the highest one wins',
    `committed_at` DateTime64(6, 'UTC') COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 COMMENT 'Kafka offset that the change was read from'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `shop_id`,
    `payment_method`,
    `rule_id`,
    `currency`,
    `source`,
    `version`,
    `committed_at`,
    `kafka_partition`,
    `kafka_offset`
FROM {database}.account FINAL
WHERE is_deleted = 0
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'live rows of the source table account';

CREATE VIEW IF NOT EXISTS {database}.v_rules
(
    `rule_id` String COMMENT 'payout rule',
    `cycle` LowCardinality(String) COMMENT 'daily, weekly, biweekly, monthly',
    `auto_payment` Bool COMMENT 'paid without a person\'s release',
    `payment_threshold` Decimal(38, 4) COMMENT 'smallest amount that is paid',
    `payment_currency` LowCardinality(String) COMMENT 'ISO-4217 code of payments',
    `is_hold` Bool COMMENT 'payments are on hold',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 COMMENT 'position of the change in its source; the highest one wins',
    `committed_at` DateTime64(6, 'UTC') COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 COMMENT 'Kafka offset that the change was read from'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `rule_id`,
    `cycle`,
    `auto_payment`,
    `payment_threshold`,
    `payment_currency`,
    `is_hold`,
    `source`,
    `version`,
    `committed_at`,
    `kafka_partition`,
    `kafka_offset`
FROM {database}.rule FINAL
WHERE is_deleted = 0
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'live rows of the source table rule';

CREATE VIEW IF NOT EXISTS {database}.v_fundings
(
    `funding_id` String COMMENT 'top-up of a payment channel',
    `payment_method` LowCardinality(String) COMMENT 'payment channel',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amount',
    `amount` Decimal(38, 4) COMMENT 'money put into the channel',
    `status` LowCardinality(String) COMMENT 'created, funded, cancelled',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 COMMENT 'position of the change in its source; the highest one wins',
    `committed_at` DateTime64(6, 'UTC') COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 COMMENT 'Kafka offset that the change was read from'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `funding_id`,
    `payment_method`,
    `currency`,
    `amount`,
    `status`,
    `source`,
    `version`,
    `committed_at`,
    `kafka_partition`,
    `kafka_offset`
FROM {database}.funding FINAL
WHERE is_deleted = 0
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'live rows of the source table funding';

CREATE VIEW IF NOT EXISTS {database}.v_release_summaries
(
    `release_id` String COMMENT 'release of a channel\'s payouts',
    `payment_method` LowCardinality(String) COMMENT 'payment channel',
    `currency` LowCardinality(String) COMMENT 'ISO-4217 code of the amount',
    `payout_count` Int64 COMMENT 'payouts released',
    `amount` Decimal(38, 4) COMMENT 'sum of the payouts released',
    `status` LowCardinality(String) COMMENT 'created, funded, released',
    `source` LowCardinality(String) COMMENT 'source database that the row came from',
    `version` UInt64 COMMENT 'position of the change in its source; the highest one wins',
    `committed_at` DateTime64(6, 'UTC') COMMENT 'when the source committed the change',
    `kafka_partition` UInt16 COMMENT 'Kafka partition that the change was read from',
    `kafka_offset` UInt64 COMMENT 'Kafka offset that the change was read from'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    `release_id`,
    `payment_method`,
    `currency`,
    `payout_count`,
    `amount`,
    `status`,
    `source`,
    `version`,
    `committed_at`,
    `kafka_partition`,
    `kafka_offset`
FROM {database}.release_summary FINAL
WHERE is_deleted = 0
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'live rows of the source table release_summary';
