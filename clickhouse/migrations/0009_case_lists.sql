-- Copies of case_wide in the orders of lists, as clickhouse/case_lists.py defines them.

ALTER TABLE {database}.case_wide MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild';

ALTER TABLE {database}.case_wide ADD PROJECTION IF NOT EXISTS by_raised_at
(
    SELECT `partition`, `discrepancy_id`, `version`, `rule`, `class`, `shop_id`, `currency`, `order_id`, `statement_id`, `stake`, `standing`, `standing_awake`, `assignee`, `snoozed_until`, `severity`, `raised_at`, `occurrence_period`
    ORDER BY toUnixTimestamp64Micro(assumeNotNull(raised_at))
);

ALTER TABLE {database}.case_wide ADD PROJECTION IF NOT EXISTS by_seller
(
    SELECT `partition`, `discrepancy_id`, `version`, `rule`, `class`, `shop_id`, `currency`, `order_id`, `statement_id`, `stake`, `standing`, `standing_awake`, `assignee`, `snoozed_until`, `severity`, `raised_at`, `occurrence_period`
    ORDER BY shop_id, toUnixTimestamp64Micro(assumeNotNull(raised_at))
);

ALTER TABLE {database}.case_wide ADD PROJECTION IF NOT EXISTS by_stake
(
    SELECT `partition`, `discrepancy_id`, `version`, `rule`, `class`, `shop_id`, `currency`, `order_id`, `statement_id`, `stake`, `standing`, `standing_awake`, `assignee`, `snoozed_until`, `severity`, `raised_at`, `occurrence_period`
    ORDER BY coalesce(stake, toDecimal128(-1, 4))
);

ALTER TABLE {database}.case_wide MATERIALIZE PROJECTION by_raised_at;

ALTER TABLE {database}.case_wide MATERIALIZE PROJECTION by_seller;

ALTER TABLE {database}.case_wide MATERIALIZE PROJECTION by_stake;
