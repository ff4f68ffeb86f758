"""The figures of the overview, each as a query: what is open and for how much, how fast it was found, how far the stages are.

Every figure is read as rows (dictionaries by column name); amounts are Decimal in major units, times aware datetimes in UTC.
Times within a query are relative to now, so that the same figure always has the same SQL.
"""

from __future__ import annotations

from typing import Final

from clickhouse.case_reader import STAKE, UNSETTLED
from clickhouse.query import Query

RECENT_MINUTES: Final = 15
"""Latency "now" looks back so far."""

FLOW_MINUTES: Final = 60
"""The chart of what was opened and resolved looks back so far."""

RISK_DAYS: Final = 90
LATENCY_BOUNDS_MS: Final = (10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000)
"""Upper bounds of the bars of the latency histogram; the last bar is open."""


def orders_by_verdict(database: str) -> Query:
    """verdict, orders: how many orders have each verdict."""
    return Query(
        f"SELECT verdict, count() AS orders FROM {database}.v_orders GROUP BY verdict ORDER BY orders DESC, verdict"
    )


def cases_by_rule(database: str) -> Query:
    """rule, class, and how many of its cases are unsettled, decided by people, or resolved by themselves."""
    return Query(
        "SELECT rule, class, countIf(standing IN {unsettled:Array(String)}) AS unsettled, "
        "countIf(standing IN ('waived', 'resolved')) AS decided, countIf(standing = 'auto-resolved') AS auto_resolved "
        f"FROM {database}.v_cases GROUP BY rule, class ORDER BY unsettled DESC, rule, class LIMIT 200",
        {"unsettled": list(UNSETTLED)},
    )


def money_at_risk(database: str) -> Query:
    """currency, severity, cases, amount: what is in question in unsettled cases, |actual − expected| added up."""
    return Query(
        f"SELECT currency, severity, count() AS cases, sum({STAKE}) AS amount FROM {database}.v_cases "
        "WHERE standing IN {unsettled:Array(String)} AND currency != '' GROUP BY currency, severity "
        "ORDER BY currency, severity LIMIT 1000",
        {"unsettled": list(UNSETTLED)},
    )


def latency(database: str) -> Query:
    """recent_count, recent_p50_ms, recent_p99_ms, all_count, all_p50_ms, all_p99_ms: source commit to detection."""
    recent = "detected_at > now64(6) - toIntervalMinute({minutes:UInt32})"
    return Query(
        f"SELECT countIf({recent}) AS recent_count, quantileIf(0.5)(latency_ms, {recent}) AS recent_p50_ms, "
        f"quantileIf(0.99)(latency_ms, {recent}) AS recent_p99_ms, count() AS all_count, "
        f"quantile(0.5)(latency_ms) AS all_p50_ms, quantile(0.99)(latency_ms) AS all_p99_ms "
        f"FROM {database}.v_discrepancies WHERE latency_ms IS NOT NULL",
        {"minutes": RECENT_MINUTES},
    )


def latency_histogram(database: str) -> Query:
    """bar, findings: how many were found within each bound of `LATENCY_BOUNDS_MS`; bar 0 is below the first."""
    return Query(
        # The first bound that is not exceeded; 0 from arrayFirstIndex means none was, which is the last bar.
        "SELECT toInt64(if(first_held = 0, length({bounds:Array(UInt32)}) + 1, first_held)) - 1 AS bar, count() AS findings FROM "
        "(SELECT arrayFirstIndex(bound -> assumeNotNull(latency_ms) <= bound, {bounds:Array(UInt32)}) AS first_held "
        f"FROM {database}.v_discrepancies WHERE latency_ms IS NOT NULL) GROUP BY bar ORDER BY bar",
        {"bounds": list(LATENCY_BOUNDS_MS)},
    )


def flow_by_minute(database: str) -> Query:
    """minute, opened, resolved over the last hour, by the time of detection; minutes without any are left out."""
    return Query(
        "SELECT toStartOfMinute(at) AS minute, countIf(kind IN ('raised', 'regressed')) AS opened, "
        f"countIf(kind = 'resolved') AS resolved FROM {database}.v_audit_log "
        "WHERE at > toStartOfMinute(now64(6)) - toIntervalMinute({minutes:UInt32}) AND command_id = '' "
        "GROUP BY minute ORDER BY minute",
        {"minutes": FLOW_MINUTES},
    )


def risk_by_day(database: str) -> Query:
    """day, currency, amount: what was in question at the end of each of the last days (UTC), by the books' own time.

    What was raised before the first day is part of every amount. Decisions of people do not count: a waived difference is still
    a difference in the books.
    """
    return Query(
        "SELECT day, currency, sum(moved) OVER (PARTITION BY currency ORDER BY day) AS amount FROM ("
        "SELECT greatest(toDate(step.1), today() - {days:UInt32}) AS day, currency, sum(step.2) AS moved FROM ("
        "SELECT occurrence_currency_one AS currency, arrayJoin(arrayFilter(step -> isNotNull(step.1), "
        "[(toNullable(raised_at_one), stake_one), (resolved_at_one, -stake_one)])) AS step FROM "
        f"(SELECT one.1 AS occurrence_currency_one, one.2 AS raised_at_one, one.3 AS resolved_at_one, "
        "coalesce(one.4, toDecimal128(0, 4)) AS stake_one FROM "
        f"(SELECT arrayJoin(arrayZip(occurrence_currency, occurrence_raised_at, occurrence_resolved_at, "
        f"occurrence_stake)) AS one FROM {database}.case_wide FINAL) WHERE one.1 != '')) "
        "GROUP BY day, currency) ORDER BY currency, day",
        {"days": RISK_DAYS},
    )


def watermarks(database: str) -> Query:
    """stage, source, partitions, oldest_at (of the partition that is furthest behind), newest_at, lag_ms."""
    return Query(
        "SELECT stage, source, count() AS partitions, min(watermark_at) AS oldest_at, max(recorded_at) AS newest_at, "
        "dateDiff('millisecond', oldest_at, now64(6)) AS lag_ms "
        f"FROM {database}.v_watermarks GROUP BY stage, source ORDER BY stage, source LIMIT 200"
    )


def written_by_table(database: str) -> Query:
    """table, rows_per_second: what was written in the last minute, rows that are merged away by now included."""
    return Query(
        # A part of level 0 is one insert; those that were merged since are kept for some minutes.
        "SELECT table, sum(rows) / 60 AS rows_per_second FROM system.parts WHERE database = {database:String} "
        "AND level = 0 AND modification_time > now() - 60 GROUP BY table ORDER BY table LIMIT 100",
        {"database": database},
    )
