"""Messages that no source should send, by the reason they must be refused for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

COMMIT_US = 1_760_000_000_000_000
LSN = 1_000

ORDER: dict[str, Any] = {
    "order_id": 999_000_001,
    "shop_id": 7,
    "currency": "USD",
    "gross_amount": "100.0000",
    "tax_amount": "10.0000",
    "fee_amount": "5.0000",
    "factors": None,
    "status": "created",
    "completed_at": None,
    "updated_at": "2026-01-01T00:00:00.000000Z",
}
ITEM: dict[str, Any] = {
    "billing_item_id": 999_000_002,
    "order_id": 999_000_001,
    "shop_id": 7,
    "statement_id": 999_000_003,
    "kind": "sale",
    "source_no": "1",
    "amount": "85.0000",
    "currency": "USD",
    "status": "statemented",
    "created_at": "2026-01-01T00:00:00.000000Z",
    "updated_at": "2026-01-01T00:00:00.000000Z",
}
STATEMENT: dict[str, Any] = {
    "statement_id": 999_000_003,
    "shop_id": 7,
    "cycle": "daily",
    "period_start": 20_454,
    "period_end": 20_455,
    "currency": "USD",
    "item_count": 1,
    "amount": "85.0000",
    "status": "open",
    "closed_at": None,
    "updated_at": "2026-01-01T00:00:00.000000Z",
}
ACCOUNT: dict[str, Any] = {"shop_id": 999_000_004, "payment_method": "bank", "rule_id": 1, "currency": "USD"}

ROWS = {"orders": ORDER, "billing_item": ITEM, "statement": STATEMENT, "account": ACCOUNT}


class BadMessage(NamedTuple):
    """What goes to the topic of a table, and the code of the refusal."""

    table: str
    code: str
    value: bytes


def envelope(row: dict[str, Any], op: str = "c", **changed: Any) -> dict[str, Any]:
    """A change event as Debezium writes it."""
    return {
        "before": None,
        "after": row,
        "source": {"name": "settlement", "lsn": LSN, "ts_us": COMMIT_US, "ts_ms": COMMIT_US // 1000},
        "op": op,
        "ts_ms": COMMIT_US // 1000,
        **changed,
    }


def with_row(table: str, **changed: Any) -> bytes:
    """An event of the table whose row has other values."""
    return orjson.dumps(envelope({**ROWS[table], **changed}))


def without(table: str, column: str) -> bytes:
    """An event of the table whose row lacks a column."""
    return orjson.dumps(envelope({name: value for name, value in ROWS[table].items() if name != column}))


def with_source(**changed: Any) -> bytes:
    """An event of an order from a source that says other things of itself."""
    event = envelope(ORDER)
    return orjson.dumps({**event, "source": {**event["source"], **changed}})


def bad_messages() -> list[BadMessage]:
    """Every kind of refusal, over the topics of all three stages."""
    whole = orjson.dumps(envelope(ORDER))
    made = [*_not_events(whole), *_wrong_columns(), *_wrong_amounts()]
    for table, column in (("billing_item", "amount"), ("statement", "item_count"), ("account", "payment_method")):
        made.append(BadMessage(table, "missing-field", without(table, column)))
        made.append(BadMessage(table, "malformed-json", with_row(table)[:-20]))
    return made


def _not_events(whole: bytes) -> list[BadMessage]:
    cut: list[Callable[[], bytes]] = [lambda: whole[: len(whole) // 2], lambda: whole[1:], lambda: b""]
    return [
        *(BadMessage("orders", "malformed-json", make()) for make in cut),
        BadMessage("orders", "malformed-json", b"{not json at all"),
        BadMessage("orders", "malformed-json", b"\x00\xff\xfe\x80" * 64),
        BadMessage("orders", "malformed-json", whole.replace(b"USD", b"US\xff")),
        BadMessage("orders", "malformed-json", whole.replace(b'"100.0000"', b"NaN")),
        BadMessage("orders", "malformed-json", b"[" * 100_000),
        BadMessage("orders", "wrong-type", b"[1, 2, 3]"),
        BadMessage("orders", "wrong-type", b'"text"'),
        BadMessage("orders", "missing-field", b"{}"),
        BadMessage("orders", "unknown-operation", orjson.dumps(envelope(ORDER, op="x"))),
        BadMessage("orders", "missing-field", orjson.dumps(envelope(ORDER, after=None))),
        BadMessage("orders", "missing-field", orjson.dumps(envelope(ORDER, op="d"))),
        BadMessage("orders", "missing-field", with_source(lsn=None)),
        BadMessage("orders", "missing-field", with_source(lsn=-1)),
        BadMessage("orders", "missing-field", with_source(name=5)),
        BadMessage("orders", "missing-field", with_source(ts_us=None, ts_ms=None)),
        BadMessage("orders", "out-of-range", with_source(ts_us=10**18)),
    ]


def _wrong_columns() -> list[BadMessage]:
    return [
        BadMessage("orders", "missing-field", without("orders", "status")),
        BadMessage("orders", "missing-field", with_row("orders", order_id=None)),
        BadMessage("orders", "wrong-type", with_row("orders", order_id=1.5)),
        BadMessage("orders", "wrong-type", with_row("orders", order_id=["a"])),
        BadMessage("orders", "wrong-type", with_row("orders", shop_id=True)),
        BadMessage("orders", "wrong-type", with_row("orders", status=7)),
        BadMessage("orders", "wrong-type", with_row("orders", updated_at="yesterday")),
        BadMessage("orders", "wrong-type", with_row("orders", updated_at="2026-01-01T00:00:00")),
        BadMessage("orders", "out-of-range", with_row("orders", updated_at=10**18)),
        BadMessage("orders", "wrong-type", with_row("orders", factors={"a": 1})),
        BadMessage("statement", "wrong-type", with_row("statement", item_count="1")),
        BadMessage("statement", "out-of-range", with_row("statement", period_start=10**7)),
    ]


def _wrong_amounts() -> list[BadMessage]:
    return [
        BadMessage("orders", "not-finite", with_row("orders", gross_amount="NaN")),
        BadMessage("orders", "not-finite", with_row("orders", gross_amount="Infinity")),
        BadMessage("orders", "amount-overflow", with_row("orders", gross_amount="9" * 35)),
        BadMessage("orders", "amount-overflow", with_row("orders", gross_amount="1e1000000")),
        # A valid NUMERIC(38,4), but two of them add up to none.
        BadMessage("billing_item", "amount-overflow", with_row("billing_item", amount="9" * 34 + ".99")),
        BadMessage("orders", "float-amount", with_row("orders", gross_amount=100.5)),
        BadMessage("orders", "not-a-number", with_row("orders", gross_amount="1_000")),
        BadMessage("orders", "too-fine", with_row("orders", gross_amount="0.0001")),
        BadMessage("orders", "unknown-currency", with_row("orders", currency="ZZZ")),
        BadMessage("orders", "unknown-currency", with_row("orders", currency="XAU")),
        BadMessage("billing_item", "unknown-currency", with_row("billing_item", currency="usd")),
        BadMessage("statement", "not-finite", with_row("statement", amount="-Infinity")),
        BadMessage("account", "unknown-currency", with_row("account", currency="")),
    ]
