"""Every page of the dashboard, and where it is in the books of the stack under test."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from tests.browser.site import Site

PAGES: Final = {
    "overview": "/",
    "discrepancies": "/discrepancies",
    "largest discrepancies": "/discrepancies?sort=amount",
    "filtered discrepancies": "/discrepancies?standing=all&currency=USD&sort=amount",
    "case": "/discrepancies/{case}",
    "rule": "/rules/wrong-billing-amount",
    "statements": "/statements",
    "statement": "/statements/{statement}",
    "payouts": "/payouts",
    "payout": "/payouts/{payout}",
    "channel": "/channels/{channel}",
    "release": "/releases/{release}",
    "sellers": "/sellers",
    "seller": "/sellers/{seller}",
    "orders": "/orders",
    "found order": "/orders?number={order}",
    "order": "/orders/{order}",
    "quarantine": "/quarantine",
    "refused message": "/quarantine/message?{message}",
    "refused messages": "/quarantine/kind?{kind}",
    "health": "/health",
    "account": "/account",
    "users": "/users",
    "actions": "/actions",
    "search": "/search?q=nothing",
    "api": "/api/docs",
}
"""Name → address; what stands in braces is looked up in the books."""

_KEYS: Final = {
    "case": "SELECT discrepancy_id FROM {db}.v_cases WHERE order_id != '' AND expected > 0 AND actual > 0 "
    "ORDER BY toUInt64OrZero(order_id) LIMIT 1",
    "statement": "SELECT statement_id FROM {db}.v_statements WHERE payout_count > 0 "
    "ORDER BY running_count DESC, statement_id LIMIT 1",
    "payout": "SELECT payout_id FROM {db}.payout FINAL WHERE is_deleted = 0 ORDER BY payout_id LIMIT 1",
    "release": "SELECT release_id FROM {db}.v_releases ORDER BY release_id LIMIT 1",
    "seller": "SELECT shop_id FROM {db}.v_statements GROUP BY shop_id ORDER BY count() DESC, shop_id LIMIT 1",
    "order": "SELECT order_id FROM {db}.v_orders WHERE paid_out_amount > 0 ORDER BY order_id LIMIT 1",
}
_CHANNEL: Final = (
    "SELECT payment_method, currency FROM {db}.payout FINAL WHERE is_deleted = 0 ORDER BY payout_id LIMIT 1"
)
_MESSAGE: Final = (
    "SELECT topic, kafka_partition, kafka_offset, code FROM {db}.quarantine FINAL ORDER BY kafka_offset LIMIT 1"
)


def address_of(site: Site, name: str) -> str:
    """The address of a page, for something that is in the books."""
    address = PAGES[name]
    for key, statement in _KEYS.items():
        if f"{{{key}}}" in address:
            address = address.replace(f"{{{key}}}", quote(str(site.value(statement)), safe=""))
    if "{channel}" in address:
        ((method, currency),) = site.rig.query(_CHANNEL)
        address = address.replace("{channel}", f"{quote(str(method), safe='')}/{currency}")
    if "{message}" in address or "{kind}" in address:
        ((topic, partition, offset, code),) = site.rig.query(_MESSAGE)
        address = address.replace("{message}", f"topic={topic}&partition={partition}&offset={offset}")
        address = address.replace("{kind}", f"topic={topic}&code={code}")
    return address
