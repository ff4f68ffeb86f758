"""The source tables of the settlement schema: their columns, keys and typed rows.

A row travels as a tuple in column order; the NamedTuples below give its fields names where code reads them.
Amounts are integer minor units of the row's currency, times are microseconds since the epoch (UTC), dates are days
since the epoch. Ids keep the JSON type that the source gives them (int or str), because Kafka keys depend on it.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

Id = int | str
Kind = Literal["id", "text", "currency", "money", "time", "date", "int", "flag", "json"]


class Column(NamedTuple):
    """One source column: its SQL name, its kind, and whether NULL is allowed."""

    name: str
    kind: Kind
    nullable: bool = False
    comment: str = ""


class Table(NamedTuple):
    """One source table: primary key, the column that keys its Kafka topic, and all mirrored columns.

    `also_primary` are the further columns of a composite primary key, `tracked` the columns whose changes are told as moves,
    `fixed_currency` the currency of the amounts where no column tells it.
    """

    name: str
    primary_key: str
    topic_key: str
    columns: tuple[Column, ...]
    also_primary: tuple[str, ...] = ()
    tracked: tuple[str, ...] = ()
    fixed_currency: str = ""

    def place(self, column: str) -> int:
        """Position of a column in a row."""
        return next(number for number, known in enumerate(self.columns) if known.name == column)


class Order(NamedTuple):
    """A row of `orders`."""

    order_id: Id
    shop_id: Id
    currency: str
    gross_minor: int
    tax_minor: int
    fee_minor: int
    factors: str | None
    status: str
    completed_us: int | None
    updated_us: int

    @property
    def net_minor(self) -> int:
        """What the seller is owed for the order: gross − tax − fee."""
        return self.gross_minor - self.tax_minor - self.fee_minor


class BillingItem(NamedTuple):
    """A row of `billing_item`."""

    billing_item_id: Id
    order_id: Id
    shop_id: Id
    statement_id: Id
    kind: str
    source_no: str
    amount_minor: int
    currency: str
    status: str
    created_us: int
    updated_us: int


class PayoutItem(NamedTuple):
    """A row of `payout_item`."""

    payout_item_id: Id
    payout_id: Id
    order_id: Id
    billing_item_id: Id
    amount_minor: int
    currency: str


class Statement(NamedTuple):
    """A row of `statement`."""

    statement_id: Id
    shop_id: Id
    cycle: str
    period_start: int
    period_end: int
    currency: str
    item_count: int
    amount_minor: int
    status: str
    closed_us: int | None
    updated_us: int


class Payout(NamedTuple):
    """A row of `payout`."""

    payout_id: Id
    statement_id: Id
    shop_id: Id
    payment_method: str
    amount_minor: int
    currency: str
    status: str
    channel_ref: str | None
    updated_us: int


class Account(NamedTuple):
    """A row of `account`."""

    shop_id: Id
    payment_method: str
    rule_id: Id
    currency: str


class PayoutRule(NamedTuple):
    """A row of `rule`; the threshold is in minor units of the payment currency."""

    rule_id: Id
    cycle: str
    auto_payment: bool
    threshold_minor: int
    payment_currency: str
    is_hold: bool


class Funding(NamedTuple):
    """A row of `funding`."""

    funding_id: Id
    payment_method: str
    currency: str
    amount_minor: int
    status: str


class Release(NamedTuple):
    """A row of `release_summary`."""

    release_id: Id
    payment_method: str
    currency: str
    payout_count: int
    amount_minor: int
    status: str


ORDERS: Final = Table(
    "orders",
    "order_id",
    "order_id",
    (
        Column("order_id", "id", comment="order, the join key of all legs"),
        Column("shop_id", "id", comment="seller"),
        Column("currency", "currency", comment="ISO-4217 code of the amounts"),
        Column("gross_amount", "money", comment="what the buyer paid"),
        Column("tax_amount", "money", comment="tax kept back"),
        Column("fee_amount", "money", comment="platform fee kept back"),
        Column("factors", "json", nullable=True, comment="JSON of what charging used"),
        Column("status", "text", comment="created, paid, completed, refunded, partially_refunded, cancelled"),
        Column("completed_at", "time", nullable=True, comment="business time of completion"),
        Column("updated_at", "time", comment="business time of the last change"),
    ),
)
BILLING_ITEM: Final = Table(
    "billing_item",
    "billing_item_id",
    "order_id",
    (
        Column("billing_item_id", "id", comment="billing item"),
        Column("order_id", "id", comment="order that is billed"),
        Column("shop_id", "id", comment="seller who is owed"),
        Column("statement_id", "id", comment="statement that collects the item"),
        Column("kind", "text", comment="sale, refund, adjustment, rebate, fee"),
        Column(
            "source_no",
            "text",
            comment="number of the source document; (order_id, kind, source_no) is the business key",
        ),
        Column("amount", "money", comment="owed to the seller, negative for a refund"),
        Column("currency", "currency", comment="ISO-4217 code of the amount"),
        Column("status", "text", comment="statemented, paid, failed"),
        Column("created_at", "time", comment="business time of billing"),
        Column("updated_at", "time", comment="business time of the last change"),
    ),
)
PAYOUT_ITEM: Final = Table(
    "payout_item",
    "payout_item_id",
    "order_id",
    (
        Column("payout_item_id", "id", comment="payout line"),
        Column("payout_id", "id", comment="payout that carries the line"),
        Column("order_id", "id", comment="order that is paid out"),
        Column("billing_item_id", "id", comment="billing item that is paid out"),
        Column("amount", "money", comment="paid to the seller"),
        Column("currency", "currency", comment="ISO-4217 code of the amount"),
    ),
)
STATEMENT: Final = Table(
    "statement",
    "statement_id",
    "statement_id",
    (
        Column("statement_id", "id", comment="statement"),
        Column("shop_id", "id", comment="seller"),
        Column("cycle", "text", comment="daily, weekly, biweekly, monthly"),
        Column("period_start", "date", comment="first day of the cycle"),
        Column("period_end", "date", comment="last day of the cycle"),
        Column("currency", "currency", comment="ISO-4217 code of the amount"),
        Column("item_count", "int", comment="items as upstream counts them"),
        Column("amount", "money", comment="total as upstream counts it"),
        Column("status", "text", comment="open, closed, confirmed, paying, paid, failed"),
        Column("closed_at", "time", nullable=True, comment="business time of closing"),
        Column("updated_at", "time", comment="business time of the last change"),
    ),
)
PAYOUT: Final = Table(
    "payout",
    "payout_id",
    "statement_id",
    (
        Column("payout_id", "id", comment="payout"),
        Column("statement_id", "id", comment="statement that is paid"),
        Column("shop_id", "id", comment="seller"),
        Column("payment_method", "text", comment="payment channel"),
        Column("amount", "money", comment="paid to the seller"),
        Column("currency", "currency", comment="ISO-4217 code of the amount"),
        Column("status", "text", comment="created, ongoing, paid, failed, failed_no_retry"),
        Column("channel_ref", "text", nullable=True, comment="reference given by the channel"),
        Column("updated_at", "time", comment="business time of the last change"),
    ),
)
ACCOUNT: Final = Table(
    "account",
    "shop_id",
    "shop_id",
    (
        Column("shop_id", "id", comment="seller"),
        Column("payment_method", "text", comment="payment channel of the seller"),
        Column("rule_id", "id", comment="payout rule of the seller"),
        Column("currency", "currency", comment="ISO-4217 code of the account"),
    ),
)
RULE: Final = Table(
    "rule",
    "rule_id",
    "rule_id",
    (
        Column("rule_id", "id", comment="payout rule"),
        Column("cycle", "text", comment="daily, weekly, biweekly, monthly"),
        Column("auto_payment", "flag", comment="paid without a person's release"),
        Column("payment_threshold", "money", comment="smallest amount that is paid"),
        Column("payment_currency", "currency", comment="ISO-4217 code of payments"),
        Column("is_hold", "flag", comment="payments are on hold"),
    ),
)
FUNDING: Final = Table(
    "funding",
    "funding_id",
    "funding_id",
    (
        Column("funding_id", "id", comment="top-up of a payment channel"),
        Column("payment_method", "text", comment="payment channel"),
        Column("currency", "currency", comment="ISO-4217 code of the amount"),
        Column("amount", "money", comment="money put into the channel"),
        Column("status", "text", comment="created, funded, cancelled"),
    ),
)
RELEASE_SUMMARY: Final = Table(
    "release_summary",
    "release_id",
    "release_id",
    (
        Column("release_id", "id", comment="release of a channel's payouts"),
        Column("payment_method", "text", comment="payment channel"),
        Column("currency", "currency", comment="ISO-4217 code of the amount"),
        Column("payout_count", "int", comment="payouts released"),
        Column("amount", "money", comment="sum of the payouts released"),
        Column("status", "text", comment="created, funded, released"),
    ),
)

ORDER_TABLES: Final = (ORDERS, BILLING_ITEM, PAYOUT_ITEM)
"""Joined by order id in stage 1."""

STATEMENT_TABLES: Final = (STATEMENT, PAYOUT)
"""Joined by statement id in stage 2."""

REFERENCE_TABLES: Final = (ACCOUNT, RULE, FUNDING, RELEASE_SUMMARY)
"""Held whole, with their history, by every worker; few and small, and their topics are kept for ever."""

MIRRORED_TABLES: Final = (ACCOUNT, RULE, FUNDING)
"""Reference tables that no stage joins: they are only copied."""

TABLES: Final = {table.name: table for table in (*ORDER_TABLES, *STATEMENT_TABLES, *REFERENCE_TABLES)}

ROW_TYPES: Final[dict[str, type[Any]]] = {
    "orders": Order,
    "billing_item": BillingItem,
    "payout_item": PayoutItem,
    "statement": Statement,
    "payout": Payout,
    "account": Account,
    "rule": PayoutRule,
    "funding": Funding,
    "release_summary": Release,
}
"""Table → the type of its rows, where code reads them by name."""
