"""The dashboard of accounting periods: what each month raised, resolved and left open. Pure."""

from __future__ import annotations

from dashboards.grafana.panels import (
    CURRENCY_CHOSEN,
    Json,
    chart,
    currency_choice,
    dashboard,
    row_of,
    sql_target,
    table,
)


def periods_board(database: str) -> Json:
    """Uid `trueup-periods`; a period is a calendar month in UTC."""
    within = f"FROM {database}.v_period_status WHERE $__dateFilter(month) AND {CURRENCY_CHOSEN}"
    time = "toDateTime(month) AS time"
    counts = chart(
        "Raised, resolved, left open", "Occurrences by accounting period",
        [
            sql_target(
                f"SELECT {time}, sum(raised) AS raised, sum(resolved_within) AS resolved_within, "
                f"sum(open_at_end) AS open_at_end {within} GROUP BY month ORDER BY month",
                "timeseries",
            )
        ],
        bars=True,
    )  # fmt: skip
    amounts = chart(
        "Left open, by currency", "What was in question at the end of each period, or now",
        [
            sql_target(
                f"SELECT {time}, currency, sum(open_at_end_amount) AS amount {within} AND currency != '' "
                "GROUP BY month, currency ORDER BY month, currency",
                "timeseries",
            )
        ],
        bars=True,
    )  # fmt: skip
    every = table(
        "By period, currency and class", "Every figure of the periods",
        "SELECT month, currency, class, raised, resolved_within, open_at_end, raised_amount, resolved_within_amount, "
        f"open_at_end_amount {within} ORDER BY month DESC, currency, class LIMIT 1000",
    )  # fmt: skip
    rows = [row_of([counts, amounts], 9), row_of([every], 12)]
    return dashboard("trueup-periods", "trueup: periods", rows, since="now-1y", choices=[currency_choice(database)])
