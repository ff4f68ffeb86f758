"""What pages ask about statements: the list, one of them with its payouts, its items and how its total grew.

Each function gives a query on the views; amounts come back as Decimal in major units, times as aware datetimes in UTC.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final, NamedTuple

from clickhouse.keyset import behind_id, cursor_parts
from clickhouse.query import Query
from trueup.model.errors import ConfigurationError

STATUSES: Final = ("open", "closed", "confirmed", "paying", "paid", "failed")
LIST_KEYS: Final = ("period_from", "statement_id")
ITEM_KEYS: Final = ("billing_item_id",)
STEPS_MAX: Final = 200
"""Points of the chart of a running total."""

_NEVER: Final = "toDate32('1970-01-01')"
_PERIOD: Final = f"coalesce(period_start, {_NEVER})"
_LIST_COLUMNS: Final = (
    "statement_id, shop_id, cycle, currency, status, period_start, period_end, upstream_count, upstream_amount, "
    "running_count, running_amount, delta_amount, payout_count, payout_amount, verdict, open_rules"
)


class StatementFilter(NamedTuple):
    """Which statements are meant; what is left empty does not restrict.

    `period` is a day: statements whose cycle holds it. `only_different` keeps those whose totals are not upstream's.
    """

    seller: str = ""
    status: str = ""
    currency: str = ""
    verdict: str = ""
    period: date | None = None
    only_different: bool = False


def statement_list(database: str, chosen: StatementFilter, rows_max: int, after: str = "") -> Query:
    """Columns of the list and `period_from`; newest cycles first, at most `rows_max` + 1 rows so that the end is known.

    Errors: ConfigurationError for a cursor that is none.
    """
    conditions, bound = _conditions(chosen)
    if after:
        day, statement_id = cursor_parts(after, len(LIST_KEYS))
        conditions.append(
            f"({_PERIOD} < {{last_day:Date32}} OR ({_PERIOD} = {{last_day:Date32}} AND (length(statement_id), statement_id) > (length({{last_id:String}}), {{last_id:String}})))"
        )
        bound |= {"last_day": _day(day), "last_id": statement_id}
    return Query(
        f"SELECT {_LIST_COLUMNS}, {_PERIOD} AS period_from FROM {database}.v_statements "
        f"WHERE {' AND '.join(conditions) or '1'} ORDER BY period_from DESC, length(statement_id), statement_id LIMIT {{rows:UInt32}}",
        {**bound, "rows": rows_max + 1},
    )


def statement(database: str, statement_id: str) -> Query:
    """Every column of the statement; no row for an unknown one."""
    return Query(
        f"SELECT * FROM {database}.v_statements WHERE statement_id = {{statement_id:String}}",
        {"statement_id": statement_id},
    )


def statement_payouts(database: str, statement_id: str) -> Query:
    """Live payouts of the statement."""
    return Query(
        f"SELECT payout_id, payment_method, amount, currency, status, channel_ref, updated_at FROM {database}.v_payouts "
        "WHERE statement_id = {statement_id:String} ORDER BY payout_id LIMIT 100",
        {"statement_id": statement_id},
    )


def statement_partials(database: str, statement_id: str) -> Query:
    """partition, currency, item_status, items, amount: what each partition of orders adds to the total."""
    return Query(
        "SELECT partition, one_currency AS currency, one_status AS item_status, one_count AS items, one_amount AS amount "
        f"FROM {database}.v_statement_partials "
        "ARRAY JOIN currency AS one_currency, status AS one_status, count AS one_count, amount AS one_amount "
        "WHERE statement_id = {statement_id:String} ORDER BY partition, currency, item_status LIMIT 2000",
        {"statement_id": statement_id},
    )


def statement_items(database: str, statement_id: str, rows_max: int, after: str = "") -> Query:
    """Live billing items of the statement by their id, at most `rows_max` + 1."""
    beyond, bound = behind_id("billing_item_id", after)
    return Query(
        "SELECT billing_item_id, order_id, kind, source_no, amount, currency, status, created_at, committed_at "
        f"FROM {database}.v_billing_items WHERE statement_id = {{statement_id:String}} {beyond}"
        "ORDER BY length(billing_item_id), billing_item_id LIMIT {rows:UInt32}",
        {**bound, "statement_id": statement_id, "rows": rows_max + 1},
    )


def statement_growth(database: str, statement_id: str, currency: str) -> Query:
    """at, items, total: how the total of the items that are live now built up, by the business time of their creation.

    No history of totals is kept: an item that was changed counts with its present amount from its creation on.
    """
    return Query(
        "SELECT at, sum(step_items) OVER (ORDER BY at) AS items, sum(step_amount) OVER (ORDER BY at) AS total FROM ("
        "SELECT max(created_at) AS at, count() AS step_items, sum(amount) AS step_amount FROM ("
        "SELECT created_at, amount, toInt64(floor((row_number() OVER (ORDER BY created_at, billing_item_id) - 1) "
        "* {steps:UInt32} / (count() OVER ()))) AS step "
        f"FROM {database}.v_billing_items WHERE statement_id = {{statement_id:String}} AND currency = {{currency:String}}) "
        "GROUP BY step) ORDER BY at LIMIT {steps:UInt32}",
        {"statement_id": statement_id, "currency": currency, "steps": STEPS_MAX},
    )


def _conditions(chosen: StatementFilter) -> tuple[list[str], dict[str, Any]]:
    conditions, bound = [], {}
    for name, column in (
        ("seller", "shop_id"), ("status", "status"), ("currency", "currency"), ("verdict", "verdict"),
    ):  # fmt: skip
        value = getattr(chosen, name)
        if value:
            conditions.append(f"{column} = {{{name}:String}}")
            bound[name] = value
    if chosen.period is not None:
        conditions.append("period_start <= {period:Date32} AND period_end >= {period:Date32}")
        bound["period"] = chosen.period
    if chosen.only_different:
        conditions.append("(delta_amount != 0 OR upstream_count != running_count)")
    return conditions, bound


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{text[:40]!r} is no day of a cursor", where="after", remedy="go back to the first page of the list"
        ) from None
