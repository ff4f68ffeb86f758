"""What pages ask about orders: one of them with all its legs and payouts, and where a number is known.

Each function gives a query on the views; amounts come back as Decimal in major units, times as aware datetimes in UTC.
"""

from __future__ import annotations

from typing import Final

from clickhouse.query import Query

LEGS_MAX: Final = 1000
"""Rows of one leg that a page shows."""

LEG_VIEWS: Final = {"orders": "v_source_orders", "billing_item": "v_billing_items", "payout_item": "v_payout_items"}
"""Source table → the view on its mirror."""

_SORTED_BY: Final = {"orders": "order_id", "billing_item": "billing_item_id", "payout_item": "payout_item_id"}


def order(database: str, order_id: str) -> Query:
    """Every column of the order; no row for an unknown one."""
    return Query(f"SELECT * FROM {database}.v_orders WHERE order_id = {{order_id:String}}", {"order_id": order_id})


def order_leg(database: str, table: str, order_id: str) -> Query:
    """Live rows of a source table that belong to the order, with their place in Kafka."""
    return _leg(database, table, order_id, "order_id = {order_id:String}")


def order_leg_by_key(database: str, table: str, order_id: str) -> Query:
    """The rows of `order_leg` in a faster way, for whoever may read the tables below the views.

    Beside a granule in which the index sees the order, rightly or not, FINAL reads all those that overlap its keys; of many
    granules there is always one that is seen wrongly. So the keys are looked up first, among all versions.
    """
    key = _SORTED_BY[table]
    keys = f"SELECT source, {key} FROM {database}.{table} WHERE order_id = {{order_id:String}}"
    return _leg(database, table, order_id, f"order_id = {{order_id:String}} AND (source, {key}) IN ({keys})")


def _leg(database: str, table: str, order_id: str, condition: str) -> Query:
    return Query(
        f"SELECT * FROM {database}.{LEG_VIEWS[table]} WHERE {condition} "
        f"ORDER BY {_SORTED_BY[table]}, source LIMIT {LEGS_MAX}",
        {"order_id": order_id},
    )


def payouts_of(database: str, payout_ids: list[str]) -> Query:
    """These payouts; at most as many as a leg has rows."""
    return Query(
        "SELECT payout_id, statement_id, payment_method, amount, currency, status, channel_ref, updated_at "
        f"FROM {database}.v_payouts WHERE payout_id IN {{ids:Array(String)}} ORDER BY payout_id LIMIT {LEGS_MAX}",
        {"ids": payout_ids[:LEGS_MAX]},
    )


def orders_with_number(database: str, number: str) -> Query:
    """what, order_id: orders that an order id, a billing item or a payout line of this number leads to."""
    return Query(
        f"SELECT 'order' AS what, order_id FROM {database}.v_orders WHERE order_id = {{number:String}} "
        f"UNION ALL SELECT 'billing_item', order_id FROM {database}.v_billing_items "
        "WHERE billing_item_id = {number:String} "
        f"UNION ALL SELECT 'payout_item', order_id FROM {database}.v_payout_items "
        "WHERE payout_item_id = {number:String} LIMIT 50",
        {"number": number},
    )


def order_steps(database: str, order_id: str) -> Query:
    """What the judges said of the order, step by step."""
    return Query(
        "SELECT at, status, rule, entity_kind, entity_id, currency, delta, detail "
        f"FROM {database}.v_discrepancy_events WHERE discrepancy_id IN "
        f"(SELECT discrepancy_id FROM {database}.v_discrepancies WHERE order_id = {{order_id:String}}) "
        f"ORDER BY at, discrepancy_id LIMIT {LEGS_MAX}",
        {"order_id": order_id},
    )
