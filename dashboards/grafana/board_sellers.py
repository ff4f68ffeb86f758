"""The dashboard of sellers and their statements: who is concerned, and which totals differ. Pure."""

from __future__ import annotations

from clickhouse.case_reader import STAKE, UNSETTLED
from dashboards.grafana.panels import (
    CURRENCY_CHOSEN,
    Json,
    chart,
    currency_choice,
    dashboard,
    number,
    row_of,
    sql_target,
    table,
)

_UNSETTLED = ", ".join(f"'{standing}'" for standing in UNSETTLED)


def sellers_board(database: str) -> Json:
    """Uid `trueup-sellers`."""
    statements = f"FROM {database}.v_statements WHERE {CURRENCY_CHOSEN}"
    cases = f"FROM {database}.v_cases WHERE standing IN ({_UNSETTLED}) AND {CURRENCY_CHOSEN}"
    figures = [
        number(
            "Sellers concerned", "Sellers with open cases",
            sql_target(f"SELECT uniqExact(shop_id) AS sellers {cases} AND shop_id != ''", "table"),
        ),
        number(
            "Statements", "All that are known",
            sql_target(f"SELECT count() AS statements {statements}", "table"),
        ),
        number(
            "Statements that differ", "Upstream's total is not the sum of the items",
            sql_target(f"SELECT count() AS statements {statements} AND delta_amount != 0", "table"), red_from=1,
        ),
        number(
            "Orders concerned", "Orders with open cases",
            sql_target(f"SELECT uniqExact(order_id) AS orders {cases} AND order_id != ''", "table"),
        ),
    ]  # fmt: skip
    sellers = table(
        "Sellers by money at risk", "Open cases of each seller; |actual − expected| added up by currency",
        f"SELECT shop_id, currency, count() AS cases, sum({STAKE}) AS amount, min(opened_at) AS oldest {cases} "
        "AND shop_id != '' GROUP BY shop_id, currency ORDER BY amount DESC, shop_id LIMIT 100",
    )  # fmt: skip
    differing = table(
        "Statements that differ", "Upstream's total beside ours, the largest difference first",
        "SELECT statement_id, shop_id, cycle, period_end, status, currency, upstream_amount, running_amount, "
        f"delta_amount, payout_amount {statements} AND delta_amount != 0 ORDER BY abs(delta_amount) DESC LIMIT 100",
    )  # fmt: skip
    by_status = table(
        "Statements by status", "How many, and their running totals by currency",
        "SELECT status, currency, count() AS statements, sum(running_amount) AS amount, countIf(delta_amount != 0) AS "
        f"differing {statements} GROUP BY status, currency ORDER BY status, currency LIMIT 500",
    )  # fmt: skip
    closed = chart(
        "Statements closed", "By when they were closed, and how many of them differ",
        [
            sql_target(
                "SELECT $__timeInterval(closed_at) AS time, count() AS closed, countIf(delta_amount != 0) AS differing "
                f"{statements} AND $__timeFilter(closed_at) GROUP BY time ORDER BY time",
                "timeseries",
            )
        ],
        bars=True,
    )  # fmt: skip
    return dashboard(
        "trueup-sellers",
        "trueup: sellers and statements",
        [row_of(figures, 4), row_of([sellers, differing], 11, (9, 15)), row_of([by_status, closed], 9, (9, 15))],
        since="now-30d",
        choices=[currency_choice(database)],
    )
