"""Pre-generated change envelopes of clean orders, written to Kafka with heartbeats, as the CDC reader would have.

Five changes an order (order created and completed, item billed and paid, payout line) and a statement with its payout
per `ORDERS_PER_STATEMENT` orders, spread over time like a real day: the legs of one order are thousands of changes apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import orjson

from cdc.delivery import DeliveryProducer
from cdc.topics import HEARTBEAT_TOPIC, READ_PARTITION, source_topic, source_topics
from trueup.settings import SourceSettings

ORDERS_PER_STATEMENT: Final = 100
SHOPS: Final = 500
LEG_DISTANCE_ORDERS: Final = 1_000
"""How many orders are begun between two legs of one."""

HEARTBEAT_EVERY_CHANGES: Final = 4_000
DRAIN_SECONDS: Final = 60.0


class Traffic(NamedTuple):
    """What was written: changes, their bytes, and the last commit time, which the last heartbeat tells."""

    orders: int
    changes: int
    value_bytes: int
    last_commit_us: int


class Event(NamedTuple):
    table: str
    key: dict[str, int]
    operation: str
    before: dict[str, object] | None
    after: dict[str, object]


def write_traffic(
    bootstrap: str, source: SourceSettings, orders: int, first_order: int = 1, after_us: int = 0
) -> Traffic:
    """Write the changes of `orders` orders and heartbeats between them, then one last heartbeat behind everything.

    Commit times begin an hour ago, or after those of earlier traffic, which ended at `after_us`: a source does not go back.
    """
    topics = source_topics(source.name, source.schema_name)
    producer = DeliveryProducer(bootstrap, topics)
    topic_of = {table: source_topic(source.name, source.schema_name, table) for table in _TABLES}
    start = max(datetime.now(UTC) - timedelta(hours=1), datetime.fromtimestamp(after_us // 1_000_000 + 1, UTC))
    start_us = int(start.timestamp()) * 1_000_000
    count = size = commit_us = 0
    for event in events(orders, first_order, start):
        count += 1
        commit_us = start_us + count * 100
        value = orjson.dumps(
            {
                "before": event.before,
                "after": event.after,
                "source": {
                    "version": "1", "connector": "postgresql", "name": source.name, "ts_ms": commit_us // 1000,
                    "ts_us": commit_us, "snapshot": "false", "db": source.database, "schema": source.schema_name,
                    "table": event.table, "txId": count, "lsn": (first_order << 24) + count,
                },
                "op": event.operation,
                "ts_ms": commit_us // 1000,
            }
        )  # fmt: skip
        size += len(value)
        producer.send(topic_of[event.table], orjson.dumps(event.key), value)
        if count % HEARTBEAT_EVERY_CHANGES == 0:
            _heartbeat(producer, source, commit_us)
    _heartbeat(producer, source, commit_us)
    producer.drain(DRAIN_SECONDS)
    producer.close()
    return Traffic(orders, count, size, commit_us)


def _heartbeat(producer: DeliveryProducer, source: SourceSettings, commit_us: int) -> None:
    producer.drain(DRAIN_SECONDS)
    value = orjson.dumps({"source": source.name, "ts_us": commit_us, "lsn": 0, "positions": producer.positions()})
    producer.send(HEARTBEAT_TOPIC, source.name.encode(), value, READ_PARTITION)


_TABLES: Final = ("orders", "billing_item", "payout_item", "statement", "payout")


def events(orders: int, first_order: int, start: datetime) -> Iterator[Event]:
    """Legs of different orders interleaved; each statement once its orders are billed."""
    steps = (_created, _completed, _billed, _paid_out, _item_paid)
    for place in range(orders + (len(steps) - 1) * LEG_DISTANCE_ORDERS):
        now = (start + timedelta(milliseconds=place)).isoformat().replace("+00:00", "Z")
        for number, step in enumerate(steps):
            order = place - number * LEG_DISTANCE_ORDERS
            if 0 <= order < orders:
                yield step(first_order + order, now)
                if number == 2 and (order + 1) % ORDERS_PER_STATEMENT == 0:
                    yield from _settled(first_order + order, now)


def _money(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}00"


def _net_minor(order: int) -> int:
    return 1_000 + order % 9_000


def _order(order: int, status: str, completed: str | None, now: str) -> dict[str, object]:
    return {
        "order_id": order, "shop_id": _statement(order) % SHOPS + 1, "currency": "USD",
        "gross_amount": _money(_net_minor(order) + 150), "tax_amount": "1.0000", "fee_amount": "0.5000",
        "factors": None, "status": status, "completed_at": completed, "updated_at": now,
    }  # fmt: skip


def _item(order: int, status: str, now: str) -> dict[str, object]:
    return {
        "billing_item_id": order, "order_id": order, "shop_id": _statement(order) % SHOPS + 1,
        "statement_id": _statement(order), "kind": "sale", "source_no": f"S{order}",
        "amount": _money(_net_minor(order)), "currency": "USD", "status": status, "created_at": now, "updated_at": now,
    }  # fmt: skip


def _created(order: int, now: str) -> Event:
    return Event("orders", {"order_id": order}, "c", None, _order(order, "paid", None, now))


def _completed(order: int, now: str) -> Event:
    return Event(
        "orders", {"order_id": order}, "u", _order(order, "paid", None, now), _order(order, "completed", now, now)
    )


def _billed(order: int, now: str) -> Event:
    return Event("billing_item", {"order_id": order}, "c", None, _item(order, "statemented", now))


def _item_paid(order: int, now: str) -> Event:
    before = _item(order, "statemented", now)
    return Event("billing_item", {"order_id": order}, "u", before, {**before, "status": "paid"})


def _paid_out(order: int, _now: str) -> Event:
    line: dict[str, object] = {
        "payout_item_id": order, "payout_id": _statement(order), "order_id": order,
        "billing_item_id": order, "amount": _money(_net_minor(order)), "currency": "USD",
    }  # fmt: skip
    return Event("payout_item", {"order_id": order}, "c", None, line)


def _statement(order: int) -> int:
    return (order - 1) // ORDERS_PER_STATEMENT + 1


def _settled(last_order: int, now: str) -> Iterator[Event]:
    statement_id = _statement(last_order)
    own = range(last_order - ORDERS_PER_STATEMENT + 1, last_order + 1)
    amount = _money(sum(_net_minor(order) for order in own))
    shop_id = statement_id % SHOPS + 1
    key = {"statement_id": statement_id}
    yield Event(
        "statement", key, "c", None,
        {
            "statement_id": statement_id, "shop_id": shop_id, "cycle": "daily", "period_start": 20_000,
            "period_end": 20_000, "currency": "USD", "item_count": ORDERS_PER_STATEMENT, "amount": amount, "status": "closed",
            "closed_at": "2199-01-01T00:00:00Z", "updated_at": now,
        },
    )  # fmt: skip
    yield Event(
        "payout", key, "c", None,
        {
            "payout_id": statement_id, "statement_id": statement_id, "shop_id": shop_id, "payment_method": "bank",
            "amount": amount, "currency": "USD", "status": "created", "channel_ref": None, "updated_at": now,
        },
    )  # fmt: skip
