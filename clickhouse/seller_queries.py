"""What pages ask about sellers: what was agreed with them, and what is in question between them and the books.

Each function gives a query on the views; amounts come back as Decimal in major units, times as aware datetimes in UTC.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from clickhouse.case_reader import STAKE, UNSETTLED
from clickhouse.keyset import cursor_parts
from clickhouse.query import Query

LIST_KEYS: Final = ("shop_id",)
RISKY_MAX: Final = 100

_AGREED: Final = (
    "shop_id, a.payment_method AS payment_method, a.currency AS currency, a.rule_id AS rule_id, r.cycle AS cycle, "
    "r.auto_payment AS auto_payment, r.payment_threshold AS payment_threshold, r.payment_currency AS payment_currency, "
    "r.is_hold AS is_hold"
)


class SellerFilter(NamedTuple):
    """Which sellers are meant; what is left empty does not restrict."""

    seller: str = ""
    currency: str = ""
    cycle: str = ""
    only_held: bool = False


def risk_by_seller(database: str) -> Query:
    """shop_id, currency, cases, amount: the sellers for whom most cases are unsettled, |actual − expected| added up."""
    return Query(
        f"SELECT shop_id, currency, count() AS cases, sum({STAKE}) AS at_risk FROM {database}.v_cases "
        "WHERE standing IN {unsettled:Array(String)} AND shop_id != '' GROUP BY shop_id, currency "
        f"ORDER BY cases DESC, shop_id, currency LIMIT {RISKY_MAX}",
        {"unsettled": list(UNSETTLED)},
    )


def risk_of(database: str, shop_ids: list[str]) -> Query:
    """shop_id, currency, cases, at_risk of these sellers; those with nothing unsettled have no row."""
    return Query(
        f"SELECT shop_id, currency, count() AS cases, sum({STAKE}) AS at_risk FROM {database}.v_cases "
        "WHERE standing IN {unsettled:Array(String)} AND shop_id IN {ids:Array(String)} "
        "GROUP BY shop_id, currency ORDER BY shop_id, currency LIMIT 5000",
        {"unsettled": list(UNSETTLED), "ids": shop_ids},
    )


def seller_list(database: str, chosen: SellerFilter, rows_max: int, after: str = "") -> Query:
    """Sellers with what was agreed, by their id, at most `rows_max` + 1. Errors: ConfigurationError for a bad cursor."""
    conditions: list[str] = []
    bound: dict[str, Any] = {}
    for name, column in (("seller", "shop_id"), ("currency", "currency"), ("cycle", "cycle")):
        value = getattr(chosen, name)
        if value:
            conditions.append(f"{column} = {{{name}:String}}")
            bound[name] = value
    if chosen.only_held:
        conditions.append("is_hold")
    if after:
        conditions.append("(length(shop_id), shop_id) > (length({last_id:String}), {last_id:String})")
        bound["last_id"] = cursor_parts(after, len(LIST_KEYS))[0]
    return Query(
        f"SELECT * FROM (SELECT {_AGREED} FROM {database}.v_accounts AS a "
        f"LEFT JOIN {database}.v_rules AS r ON r.rule_id = a.rule_id AND r.source = a.source) "
        f"WHERE {' AND '.join(conditions) or '1'} ORDER BY length(shop_id), shop_id LIMIT {{rows:UInt32}}",
        {**bound, "rows": rows_max + 1},
    )


def seller(database: str, shop_id: str) -> Query:
    """What was agreed with the seller, and when that changed last."""
    return Query(
        f"SELECT {_AGREED}, a.committed_at AS account_changed_at, r.committed_at AS rule_changed_at "
        f"FROM {database}.v_accounts AS a LEFT JOIN {database}.v_rules AS r ON r.rule_id = a.rule_id AND r.source = a.source "
        "WHERE shop_id = {shop_id:String} ORDER BY a.source LIMIT 10",
        {"shop_id": shop_id},
    )
