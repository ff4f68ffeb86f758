"""How the rows of the pages' benchmark follow from their numbers: SQL expressions by table and column.

`n` is the number of the row, `o` that of its order, `c` of its case. Chance is a hash of number and salt.
Amounts are drawn as floating numbers once and rounded to whole minor units; from there on they are decimals. Totals of
statements and hash chains are drawn too: these books are for looking at, not for reconciling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

PERIODS: Final = 18
"""Statements of a seller: one for each 30 days."""

PARTITIONS: Final = 8
_SPREAD: Final = 2.5
"""The higher, the more of all orders the largest sellers have."""

Columns = dict[str, str]


class Rows(NamedTuple):
    """Rows of one table: how many, what several columns share, the columns; all others have their default.

    With `has_versions`, the expression `edition` is 0 in the first version of a row, 1 in the next, 2 in the newest of a few.
    """

    how_many: Callable[[int, int, int], int]
    shared: Columns
    columns: Columns
    has_versions: bool = False


def chance(number: str, salt: str) -> str:
    """A number from 0 to 1 that depends on both alone."""
    return f"(cityHash64({number}, '{salt}') / 18446744073709551616.)"


def drawn_minor(number: str, salt: str, digits: str) -> str:
    """A log-normal amount in minor units: half of them below 33 major units."""
    normal = f"sqrt(-2 * log({chance(number, salt)} + 1e-18)) * cos(2 * pi() * {chance(number, salt + ' angle')})"
    return f"toInt64(1 + round(exp(3.5 + 1.2 * {normal}) * exp10({digits})))"


def money(minor: str, digits: str) -> str:
    """Minor units as major units, exactly."""
    return f"toDecimal128({minor}, 4) / intExp10({digits})"


def time(micros: str) -> str:
    """A time from µs since the epoch."""
    return f"fromUnixTimestamp64Micro(toInt64({micros}), 'UTC')"


def label(number: str, salt: str, weights: dict[str, int]) -> str:
    """One of the words, as often as its weight says, out of 100."""
    below, reached = [], 0
    for word, weight in weights.items():
        reached += weight
        below.append(f"{chance(number, salt)} < {reached / 100}, '{word}'")
    return f"multiIf({', '.join(below)}, '{next(iter(weights))}')"


_CURRENCIES: Final = {"USD": 50, "EUR": 20, "GBP": 10, "JPY": 10, "CNY": 8, "KWD": 2}
_CHANNELS: Final = {"bank": 60, "card": 25, "wallet": 15}
_RULES: Final = {
    "missing-billing": 22, "missing-payout": 16, "wrong-billing-amount": 14, "wrong-payout-amount": 9, "stuck": 8,
    "statement-drift": 7, "status-mismatch": 6, "orphan-billing": 5, "duplicate-payout": 4, "wrong-payout-total": 4,
    "duplicate-billing": 3, "silent-repair": 2,
}  # fmt: skip
SELLER: Final = {
    "the_currency": label("shop", "currency", _CURRENCIES),
    "digits": "multiIf(the_currency = 'JPY', 0, the_currency = 'KWD', 3, 2)",
    "channel": label("shop", "channel", _CHANNELS),
}
ORDER: Final = {
    "shop": f"toUInt64(1 + floor(sellers * pow({chance('o', 'seller')}, {_SPREAD})))",
    **SELLER,
    "created_us": "until_us - span_us + toInt64(o * intDiv(span_us, orders))",
    "net_minor": drawn_minor("o", "net", "digits"),
    "the_net": money("net_minor", "digits"),
    "the_fee": money("intDiv(net_minor, 50)", "digits"),
    "the_tax": money("intDiv(net_minor, 10)", "digits"),
    "the_order": "toString(1000000 + o)",
    "the_period": f"intDiv(o * {PERIODS}, orders)",
    "the_statement": "toString(the_period * 1000000 + shop)",
    "is_young": "orders - o < orders / 200",
    "has_case": "o % orders_per_case = 0",
}
ON_ORDER: Final = {"o": "n", "c": "intDiv(o, orders_per_case)"}
ON_CASE: Final = {"c": "n", "o": "c * orders_per_case"}
ON_STEP: Final = {"c": "intDiv(n, 2)", "o": "c * orders_per_case"}
STANDING: Final = {
    "luck": chance("c", "standing"),
    "open_share": "0.04 + 0.45 * exp((c / cases - 1) * 15)",
    "rest": "(luck - open_share) / (1 - open_share)",
    "stands": (
        "multiIf(edition = 0 OR luck < open_share, 'open', rest < 0.02, 'regressed', rest < 0.05, 'acknowledged', "
        "rest < 0.09, 'assigned', rest < 0.11, 'snoozed', rest < 0.115, 'waive-requested', rest < 0.18, 'waived', "
        "rest < 0.24, 'resolved', 'auto-resolved')"
    ),
    "judged": "multiIf(stands = 'auto-resolved', 'auto-resolved', stands = 'regressed', 'regressed', 'open')",
    "found_by": label("c", "rule", _RULES),
}
CASE: Final = {
    **STANDING,
    "the_case": "lower(hex(MD5(toString(c))))",
    "place": f"cityHash64(the_case) % {PARTITIONS}",
    "the_class": (
        "multiIf(found_by IN ('missing-billing', 'missing-payout', 'orphan-billing'), 'one-sided', "
        "found_by IN ('wrong-billing-amount', 'wrong-payout-amount', 'statement-drift', 'wrong-payout-total', "
        "'silent-repair'), 'wrong-amount', 'mismatch')"
    ),
    "about": (
        "multiIf(found_by IN ('statement-drift', 'wrong-payout-total'), 'statement', found_by IN ('missing-payout', "
        "'orphan-billing', 'duplicate-billing'), 'billing_item', found_by IN ('wrong-payout-amount', "
        "'duplicate-payout'), 'payout_item', 'order')"
    ),
    "entity": (
        "multiIf(about = 'statement', the_statement, about = 'billing_item', concat('B', the_order), "
        "about = 'payout_item', concat('L', the_order), the_order)"
    ),
    "is_compared": "found_by NOT IN ('stuck', 'status-mismatch')",
    "wanted_minor": "if(found_by IN ('orphan-billing', 'duplicate-payout', 'duplicate-billing'), 0, net_minor)",
    "seen_minor": (
        "multiIf(found_by IN ('missing-billing', 'missing-payout'), 0, the_class = 'wrong-amount', "
        "net_minor + if(c % 2, 1, -1) * (1 + intDiv(net_minor * (c % 97), 100)), net_minor)"
    ),
    "expects": f"if(is_compared, {money('wanted_minor', 'digits')}, NULL)",
    "shows": f"if(is_compared, {money('seen_minor', 'digits')}, NULL)",
    "the_stake": "abs(shows - expects)",
    "raised_us": "created_us + 3600000000 + toInt64(c % 3600) * 1000000",
    "settled_us": f"least(until_us, raised_us + toInt64(60000000 * exp(10 * {chance('c', 'delay')})))",
    "has_settled": "judged = 'auto-resolved'",
    "times_raised": "if(stands = 'regressed' OR c % 23 = 0, 2, 1)",
    "words": "concat(found_by, ' of ', entity, ': expected ', toString(wanted_minor), ', found ', toString(seen_minor))",
}
FOUND: Final = {
    "entity_kind": "about", "entity_id": "entity", "order_id": "if(about = 'statement', '', the_order)",
    "statement_id": "if(about = 'statement', the_statement, '')", "shop_id": "toString(shop)",
    "currency": "the_currency", "expected": "expects", "actual": "shows", "delta": "shows - expects", "detail": "words",
}  # fmt: skip
SOURCE: Final = {
    "source": "'market'", "version": "orders * edition + n", "committed_at": time("created_us + 2000000"),
    "kafka_partition": f"n % {PARTITIONS}", "kafka_offset": "n",
}  # fmt: skip
MONTH: Final = f"toStartOfMonth(toDate32({time('created_us')}))"
"""Month of the order, by which wide tables are stored."""
