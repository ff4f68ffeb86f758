"""Every table that trueup keeps in ClickHouse; the migrations create them, the writers and readers follow them."""

from __future__ import annotations

from typing import Final

from clickhouse.audit_table import AUDIT_LOG
from clickhouse.definition import LABEL, LABELS, MINOR, MONEY, TIME, ColumnType, Definition
from clickhouse.release_table import RELEASE_WIDE
from clickhouse.truncation_table import TRUNCATION
from clickhouse.wide_columns import JUDGED, PLACE, STATE
from trueup.model.tables import TABLES, Column, Table

_KINDS: Final = {
    "id": "String",
    "text": "String",
    "currency": LABEL,
    "money": MONEY,
    "time": TIME,
    "date": "Date32",
    "int": "Int64",
    "flag": "Bool",
    "json": "String",
}
_LABELS: Final = frozenset({"status", "kind", "cycle", "payment_method"})
"""Text columns of the source with few distinct values."""

PROVENANCE: Final = (
    ColumnType("source", LABEL, "source database that the row came from"),
    ColumnType("version", "UInt64", "position of the change in its source; the highest one wins"),
    ColumnType(
        "is_deleted", "UInt8", "1 when the source deleted the row; columns it did not send hold their zero value"
    ),
    ColumnType("committed_at", TIME, "when the source committed the change"),
    ColumnType("kafka_partition", "UInt16", "Kafka partition that the change was read from"),
    ColumnType("kafka_offset", "UInt64", "Kafka offset that the change was read from"),
)
"""Trails the source columns of every mirror."""


_ALSO_SEARCHED: Final = {"billing_item": ("statement_id",), "payout_item": ("payout_id",), "payout": ("shop_id",)}
"""By table, what pages ask for besides the entity that it belongs to."""


def mirror(table: Table) -> Definition:
    """The mirror of one source table: its columns, then `PROVENANCE`; one row per (source, primary key).

    It has no PARTITION BY: a delete may carry only the key, so no month is known that stays the same for a row, and a
    row in two partitions would escape FINAL. Old rows leave by mutation or TTL instead.
    """
    searched = {table.topic_key, *_ALSO_SEARCHED.get(table.name, ())} - {table.primary_key}
    return Definition(
        table.name,
        f"mirror of the source table {table.name}: the newest version of every row",
        (*(_mirrored(column) for column in table.columns), *PROVENANCE),
        key=("source", table.primary_key),
        searched=tuple(sorted(searched)),
    )


def _mirrored(column: Column) -> ColumnType:
    inner = LABEL if column.name in _LABELS else _KINDS[column.kind]
    # Nullable text stays plain: LowCardinality(Nullable) is slower and no source label is nullable.
    return ColumnType(column.name, f"Nullable({inner})" if column.nullable else inner, column.comment)


MIRRORS: Final = {name: mirror(table) for name, table in TABLES.items()}
"""Source table name → its mirror."""

ORDER_WIDE: Final = Definition(
    "order_wide",
    "one row per order: all its legs joined, and the verdict on them",
    (
        ColumnType("order_id", "String", "order, the join key of all legs"),
        *PLACE,
        ColumnType("shop_id", "String", "seller; empty while the order is unknown"),
        ColumnType("currency", LABEL, "ISO-4217 code of the amounts; empty while unknown"),
        ColumnType("status", LABEL, "status of the order; empty while the order is unknown"),
        ColumnType("gross_amount", f"Nullable({MONEY})", "what the buyer paid"),
        ColumnType("tax_amount", f"Nullable({MONEY})", "tax kept back"),
        ColumnType("fee_amount", f"Nullable({MONEY})", "platform fee kept back"),
        ColumnType("net_amount", f"Nullable({MONEY})", "gross − tax − fee: what the seller is owed"),
        ColumnType("completed_at", f"Nullable({TIME})", "business time of completion"),
        ColumnType("updated_at", f"Nullable({TIME})", "business time of the order's last change"),
        ColumnType("billed_amount", MONEY, "sum of the live billing items in the order's currency"),
        ColumnType("billed_count", "Int64", "live billing items"),
        ColumnType("paid_out_amount", MONEY, "sum of the live payout lines in the order's currency"),
        ColumnType("line_count", "Int64", "live payout lines"),
        ColumnType("statement_ids", "Array(String)", "statements that collect the order's items"),
        *JUDGED,
        ColumnType("first_committed_at", TIME, "earliest source commit among the legs"),
        ColumnType("last_committed_at", TIME, "newest source commit among the legs"),
        ColumnType("contribution_kind", LABELS, "item or line, one entry per contribution to a statement"),
        ColumnType("contribution_statement", "Array(String)", "statement id as JSON; null for a line without its item"),
        ColumnType("contribution_payout", "Array(String)", "payout id as JSON; null for an item"),
        ColumnType("contribution_currency", LABELS, "ISO-4217 code of the contribution"),
        ColumnType("contribution_status", LABELS, "status of the billing item; empty for a line"),
        ColumnType("contribution_count", "Array(Int64)", "rows that the contribution counts"),
        ColumnType("contribution_amount_minor", f"Array({MINOR})", "amount in minor units of its currency"),
        ColumnType(
            "contribution_created_at", "Array(Int64)", "business time of the item in microseconds since 1970 UTC"
        ),
        ColumnType("contribution_item", "Array(String)", "billing item id as JSON"),
        ColumnType("order_key", "String", "order id as JSON: a number stays a number"),
        STATE,
    ),
    key=("partition", "order_id"),
    month="month",
    searched=("order_id",),
)

STATEMENT_WIDE: Final = Definition(
    "statement_wide",
    "one row per statement: upstream's total beside ours, its payouts, and the verdict",
    (
        ColumnType("statement_id", "String", "statement"),
        *PLACE,
        ColumnType("shop_id", "String", "seller; empty while the statement is unknown"),
        ColumnType("cycle", LABEL, "daily, weekly, biweekly, monthly"),
        ColumnType("currency", LABEL, "ISO-4217 code of the amounts"),
        ColumnType("status", LABEL, "status of the statement; empty while it is unknown"),
        ColumnType("period_start", "Nullable(Date32)", "first day of the cycle"),
        ColumnType("period_end", "Nullable(Date32)", "last day of the cycle"),
        ColumnType("closed_at", f"Nullable({TIME})", "business time of closing"),
        ColumnType("upstream_count", "Nullable(Int64)", "items as upstream counts them"),
        ColumnType("upstream_amount", f"Nullable({MONEY})", "total as upstream counts it"),
        ColumnType("running_count", "Int64", "live billing items, all currencies"),
        ColumnType("running_amount", MONEY, "sum of the live billing items in the statement's currency"),
        ColumnType("delta_amount", f"Nullable({MONEY})", "upstream_amount − running_amount"),
        ColumnType("totals_currency", LABELS, "currencies of the items"),
        ColumnType("totals_count", "Array(Int64)", "live billing items by currency"),
        ColumnType("totals_amount", f"Array({MONEY})", "sum of the live billing items by currency"),
        ColumnType("payout_count", "Int64", "live payouts of the statement"),
        ColumnType("payout_amount", MONEY, "sum of the live payouts in the statement's currency"),
        ColumnType("line_count", "Int64", "live payout lines of these payouts"),
        ColumnType("line_amount", MONEY, "sum of these lines in the statement's currency"),
        *JUDGED,
        ColumnType("last_committed_at", TIME, "newest source commit among the statement's rows and items"),
        STATE,
    ),
    key=("partition", "statement_id"),
    month="month",
    searched=("statement_id", "shop_id"),
    granule_rows=1024,
)

GROUP_WIDE: Final = Definition(
    "group_wide",
    "one row per match key of a group of a user's spec: what its legs hold, and the verdict on them",
    (
        ColumnType("group_id", "String", "JSON list of the spec, the group and the values of the match key"),
        *PLACE,
        ColumnType("spec", LABEL, "spec that the group belongs to"),
        ColumnType("group_name", LABEL, "group of the spec"),
        ColumnType("match_key", "Array(String)", "values of the match key, in the order of the group's key"),
        ColumnType("leg_name", LABELS, "legs that have live rows, one entry per (leg, currency)"),
        ColumnType("leg_currency", LABELS, "ISO-4217 code of the amounts; empty for a leg without amounts"),
        ColumnType("leg_count", "Array(Int64)", "live rows"),
        ColumnType("leg_amount", f"Array({MONEY})", "sum of the amounts of these rows"),
        *JUDGED,
        ColumnType("last_committed_at", TIME, "newest source commit among the rows"),
        STATE,
    ),
    key=("partition", "group_id"),
    month="month",
)

STATEMENT_PARTIAL: Final = Definition(
    "statement_partial",
    "what the orders of one Kafka partition contribute to a statement; absolute sums",
    (
        ColumnType("statement_id", "String", "statement"),
        ColumnType("partition", "UInt16", "Kafka partition of the orders"),
        ColumnType("version", "UInt64", "source progress that the row was computed from; the highest one wins"),
        ColumnType("currency", LABELS, "ISO-4217 codes, one entry per (currency, status)"),
        ColumnType("status", LABELS, "status of the billing items"),
        ColumnType("count", "Array(Int64)", "live billing items"),
        ColumnType("amount", f"Array({MONEY})", "sum of these items"),
    ),
    key=("partition", "statement_id"),
)

_FOUND: Final = (
    ColumnType("entity_kind", LABEL, "order, billing_item, payout_item, statement, payout"),
    ColumnType("entity_id", "String", "primary key of the entity"),
    ColumnType("order_id", "String", "order it belongs to, or empty"),
    ColumnType("statement_id", "String", "statement it belongs to, or empty"),
    ColumnType("shop_id", "String", "seller, or empty"),
    ColumnType("currency", LABEL, "ISO-4217 code of the amounts, or empty"),
    ColumnType("expected", f"Nullable({MONEY})", "amount that the rule expects"),
    ColumnType("actual", f"Nullable({MONEY})", "amount that the books show"),
    ColumnType("delta", f"Nullable({MONEY})", "actual − expected"),
    ColumnType("detail", "String", "the finding in words"),
)
"""What a finding is about, and what it found."""

DISCREPANCY: Final = Definition(
    "discrepancy",
    "one row per (rule, entity) on which the books disagree or once disagreed",
    (
        ColumnType(
            "discrepancy_id", "String", "hash of rule, entity and its owner; the same finding always has the same id"
        ),
        ColumnType("version", "UInt64", "source progress and lifecycle step; the highest one wins"),
        ColumnType("month", "Date32", "first day of the month of the order or statement; the storage partition"),
        ColumnType("rule", LABEL, "rule that found it"),
        ColumnType("spec", LABEL, "spec that holds the rule"),
        ColumnType("rule_version", "UInt32", "version of the spec that judged"),
        ColumnType("class", LABEL, "one-sided, wrong-amount, mismatch"),
        ColumnType("direction", LABEL, "short, long, or empty"),
        ColumnType("status", LABEL, "open, auto-resolved, regressed"),
        *_FOUND,
        ColumnType("cause", LABEL, "likely cause, as docs/rules lists them"),
        ColumnType("cause_detail", "String", "the evidence for the cause, in words"),
        ColumnType("evidence", "String", "JSON of the rows it rests on, with their Kafka positions"),
        ColumnType("due_at", f"Nullable({TIME})", "when the grace of the rule ended"),
        ColumnType("source_committed_at", f"Nullable({TIME})", "source commit that made the books disagree"),
        ColumnType("opened_at", TIME, "when it was raised, or raised again after it had resolved"),
        ColumnType("detected_at", TIME, "when the newest state of it was computed"),
        ColumnType("resolved_at", f"Nullable({TIME})", "when the books agreed again"),
        ColumnType("latency_ms", "Nullable(Float64)", "source commit to detection, in milliseconds"),
        ColumnType("occurrences", "UInt32", "how often it was raised"),
        ColumnType("watermark_at", f"Nullable({TIME})", "watermark at which it was judged"),
    ),
    key=("discrepancy_id",),
    month="month",
    searched=("order_id", "statement_id"),
    granule_rows=1024,
)

DISCREPANCY_EVENT: Final = Definition(
    "discrepancy_event",
    "history of the discrepancies: one row per step, never changed",
    (
        ColumnType("discrepancy_id", "String", "discrepancy"),
        ColumnType("step_id", "String", "hash of what happened: a replay makes the same step again"),
        ColumnType("version", "UInt64", "version of the discrepancy that the step made"),
        ColumnType("month", "Date32", "first day of the month of the order or statement; the storage partition"),
        ColumnType("status", LABEL, "status after the step"),
        ColumnType("at", TIME, "when the step happened"),
        ColumnType("rule", LABEL, "rule that found it"),
        ColumnType("entity_kind", LABEL, "order, billing_item, payout_item, statement, payout"),
        ColumnType("entity_id", "String", "primary key of the entity"),
        ColumnType("currency", LABEL, "ISO-4217 code of the amounts, or empty"),
        ColumnType("expected", f"Nullable({MONEY})", "amount that the rule expected then"),
        ColumnType("actual", f"Nullable({MONEY})", "amount that the books showed then"),
        ColumnType("delta", f"Nullable({MONEY})", "actual − expected"),
        ColumnType("detail", "String", "the step in words"),
        ColumnType("occurrences", "UInt32", "how often it had been raised by then"),
    ),
    key=("discrepancy_id", "step_id"),
    version="",
    month="month",
    granule_rows=1024,
)

QUARANTINE: Final = Definition(
    "quarantine",
    "messages that could not be decoded or applied, with their bytes",
    (
        ColumnType("topic", LABEL, "Kafka topic"),
        ColumnType("kafka_partition", "UInt16", "Kafka partition"),
        ColumnType("kafka_offset", "UInt64", "Kafka offset"),
        ColumnType("stage", LABEL, "part of trueup that refused it"),
        ColumnType("code", LABEL, "short stable reason"),
        ColumnType("reason", "String", "the reason in words"),
        ColumnType("key", "String", "bytes of the message key"),
        ColumnType("value", "String", "bytes of the message value"),
        ColumnType("headers", "String", "the message's own headers as a JSON object"),
        ColumnType("quarantined_at", TIME, "when it was refused"),
    ),
    key=("topic", "kafka_partition", "kafka_offset"),
    # A replay refuses a message again for the same reason, so the rows of a key are equal but for the clock.
    version="",
)

QUARANTINE_REPLAY: Final = Definition(
    "quarantine_replay",
    "refused messages that were put on their topic again, by whom and with which corrections",
    (
        ColumnType("topic", LABEL, "Kafka topic of the refused message, and of its replay"),
        ColumnType("kafka_partition", "UInt16", "Kafka partition of the refused message"),
        ColumnType("kafka_offset", "UInt64", "Kafka offset of the refused message"),
        ColumnType(
            "replay_id",
            "String",
            "hash of the message, its corrected bytes and who asked; the replay carries it in a header",
        ),
        ColumnType("replayed_at", TIME, "when it was asked for"),
        ColumnType("actor", "String", "who asked for it"),
        ColumnType("outcome", LABEL, "sent, refused"),
        ColumnType("reason", "String", "why it was refused"),
        ColumnType("mapping", "String", "corrections as JSON, an empty list for none"),
        ColumnType("note", "String", "why, in the words of who asked"),
        ColumnType(
            "to_partition", "Nullable(UInt16)", "Kafka partition it was put on; null where its corrected key decides"
        ),
        ColumnType("value", "String", "bytes that were put on the topic"),
    ),
    key=("topic", "kafka_partition", "kafka_offset", "replay_id"),
    # The rows of a key follow from one request.
    version="",
)

WATERMARK: Final = Definition(
    "watermark",
    "how far in source time each stage has seen everything",
    (
        ColumnType("stage", LABEL, "part of trueup that keeps the watermark"),
        ColumnType("partition", "UInt16", "Kafka partition"),
        ColumnType("source", LABEL, "source database"),
        ColumnType("version", "UInt64", "source progress that the row was computed from; the highest one wins"),
        ColumnType("watermark_at", TIME, "source time up to which everything was seen"),
        ColumnType("recorded_at", TIME, "when the row was written"),
    ),
    key=("stage", "partition", "source"),
)

CASE_WIDE: Final = Definition(
    "case_wide",
    "one row per discrepancy: what the judges say, what people decided, and where it stands",
    (
        ColumnType("discrepancy_id", "String", "discrepancy"),
        ColumnType("partition", "UInt16", "Kafka partition of its verdicts and commands"),
        ColumnType(
            "version", "UInt64", "progress of the partition that the row was computed from; the highest one wins"
        ),
        ColumnType("rule", LABEL, "rule that found it; empty before its first verdict"),
        ColumnType("class", LABEL, "one-sided, wrong-amount, mismatch"),
        ColumnType("direction", LABEL, "short, long, or empty"),
        *_FOUND,
        ColumnType(
            "stake",
            f"Nullable({MONEY})",
            "|actual − expected|, a missing side counting as nothing; null without amounts",
        ),
        ColumnType(
            "standing",
            LABEL,
            "open, acknowledged, assigned, snoozed, waive-requested, waived, resolved, auto-resolved, regressed",
        ),
        ColumnType("standing_awake", LABEL, "where it stands once the time of a snooze is over"),
        ColumnType("status", LABEL, "what the judges say: open, auto-resolved, regressed"),
        ColumnType("lapse", "String", "why an earlier decision no longer holds, or empty"),
        ColumnType("assignee", "String", "who deals with it, or empty"),
        ColumnType("snoozed_until", f"Nullable({TIME})", "when the snooze ends by itself"),
        ColumnType("snooze_condition", LABEL, "what else ends the snooze: amount-changed, comes-back, amount-above"),
        ColumnType("requester", "String", "who asks for a waiver that waits for approval, or empty"),
        ColumnType("note", "String", "note of the last decision"),
        ColumnType("comments", "UInt32", "comments; their text is in the audit log"),
        ColumnType("revision", "UInt32", "accepted commands so far; a new command must name it"),
        ColumnType("occurrences", "UInt32", "how often it was raised; a command must name it"),
        ColumnType("severity", LABEL, "low, medium, high, critical"),
        ColumnType("due_at", f"Nullable({TIME})", "when it should be dealt with"),
        ColumnType("opened_at", f"Nullable({TIME})", "source time at which it was first raised"),
        ColumnType("raised_at", f"Nullable({TIME})", "source time at which it was last raised"),
        ColumnType("resolved_at", f"Nullable({TIME})", "source time at which the books agreed again"),
        ColumnType("last_at", TIME, "last verdict or accepted command"),
        ColumnType("occurrence_number", "Array(UInt32)", "one entry per time it was raised, oldest first"),
        ColumnType("occurrence_raised_at", f"Array({TIME})", "source time of the raise"),
        ColumnType("occurrence_period", "Array(Date32)", "accounting period of the raise: first day of its month, UTC"),
        ColumnType("occurrence_resolved_at", f"Array(Nullable({TIME}))", "source time of its resolution"),
        ColumnType("occurrence_currency", LABELS, "ISO-4217 code of its amounts"),
        ColumnType(
            "occurrence_stake", f"Array(Nullable({MONEY}))", "|actual − expected|, a missing side counting as nothing"
        ),
        STATE,
    ),
    # No PARTITION BY: a command may come before the verdict that knows a month.
    key=("partition", "discrepancy_id"),
    searched=("entity_id", "order_id", "statement_id", "shop_id"),
    granule_rows=1024,
)

DERIVED: Final = (
    ORDER_WIDE,
    STATEMENT_WIDE,
    RELEASE_WIDE,
    GROUP_WIDE,
    STATEMENT_PARTIAL,
    DISCREPANCY,
    DISCREPANCY_EVENT,
    QUARANTINE,
    QUARANTINE_REPLAY,
    WATERMARK,
    TRUNCATION,
    CASE_WIDE,
    AUDIT_LOG,
)
"""Tables that trueup computes."""

DEFINITIONS: Final = {definition.name: definition for definition in (*MIRRORS.values(), *DERIVED)}
"""Table name → definition, every table but the record of migrations."""
