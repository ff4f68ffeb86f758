"""The dashboard for a glance: money at risk, what is open by rule, how fast it was found. Pure."""

from __future__ import annotations

from clickhouse.case_reader import STAKE, UNSETTLED
from dashboards.grafana.panels import (
    CURRENCY_CHOSEN,
    Json,
    chart,
    currency_choice,
    dashboard,
    metric_target,
    number,
    row_of,
    sql_target,
    table,
)

_UNSETTLED = ", ".join(f"'{standing}'" for standing in UNSETTLED)


def overview_board(database: str) -> Json:
    """Uid `trueup-overview`."""
    cases = f"FROM {database}.v_cases WHERE standing IN ({_UNSETTLED}) AND {CURRENCY_CHOSEN}"
    return dashboard(
        "trueup-overview",
        "trueup: overview",
        [row_of(_figures(cases), 4), row_of(_open(cases), 9, (8, 16)), row_of(_over_time(database), 9)],
        since="now-6h",
        choices=[currency_choice(database)],
    )


def _figures(cases: str) -> list[Json]:
    return [
        number(
            "Open cases", "Discrepancies that nobody has settled and that have not settled themselves",
            sql_target(f"SELECT count() AS cases {cases}", "table"),
        ),
        number(
            "Overdue", "Open cases past their due time",
            sql_target(f"SELECT count() AS cases {cases} AND due_at < now64(6)", "table"), red_from=1,
        ),
        number(
            "Detection latency p99", "Source commit to detection, last 5 minutes",
            metric_target(
                "histogram_quantile(0.99, sum by (le) (rate(trueup_detection_latency_seconds_bucket[5m])))", instant=True
            ), unit="s", red_from=1,
        ),
        number(
            "Behind the source", "How far the slowest stage is behind the clock",
            metric_target("time() - min(trueup_watermark_timestamp_seconds)", instant=True), unit="s", red_from=60,
        ),
    ]  # fmt: skip


def _open(cases: str) -> list[Json]:
    money = table(
        "Money at risk", "What is in question in open cases: |actual − expected| added up, by currency",
        f"SELECT currency, count() AS cases, sum({STAKE}) AS amount, max({STAKE}) AS largest {cases} AND currency != '' "
        "GROUP BY currency ORDER BY amount DESC LIMIT 200",
    )  # fmt: skip
    by_rule = table(
        "Open by rule", "Open cases of each rule, the oldest first raise, and what is in question by currency",
        f"SELECT rule, class, currency, count() AS cases, sum({STAKE}) AS amount, min(opened_at) AS oldest {cases} "
        "GROUP BY rule, class, currency ORDER BY cases DESC, rule, currency LIMIT 500",
    )  # fmt: skip
    return [money, by_rule]


def _over_time(database: str) -> list[Json]:
    flow = chart(
        "Raised and resolved", "Steps of the lifecycle of discrepancies",
        [
            sql_target(
                "SELECT $__timeInterval(at) AS time, status, count() AS steps "
                f"FROM {database}.v_discrepancy_events WHERE $__timeFilter(at) AND {CURRENCY_CHOSEN} "
                "GROUP BY time, status ORDER BY time, status",
                "timeseries",
            )
        ],
        bars=True,
        stacked=True,
    )  # fmt: skip
    latency = chart(
        "Detection latency", "Source commit to detection, by when it was detected",
        [
            sql_target(
                "SELECT $__timeInterval(detected_at) AS time, quantile(0.5)(latency_ms) AS p50, "
                f"quantile(0.99)(latency_ms) AS p99 FROM {database}.v_discrepancies "
                "WHERE $__timeFilter(detected_at) AND latency_ms IS NOT NULL GROUP BY time ORDER BY time",
                "timeseries",
            )
        ],
        unit="ms",
    )  # fmt: skip
    return [flow, latency]
