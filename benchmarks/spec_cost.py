"""What it costs to judge an order by the compiled default spec, beside the same rules written by hand.

Both sides judge the same books in turn: completed orders as the throughput benchmark writes them, and a mix in which one
order in five is at fault.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

import orjson

from benchmarks.hand_order_rules import judge_order, view_order
from benchmarks.traffic import Event, events
from cdc.decode import ChangeDecoder
from reconcile.finding import Finding
from reconcile.settlement import settlement_rules, shipped_settlement
from streams.merge import merge
from trueup.model.change import Change
from trueup.model.registers import OrderBooks
from trueup.model.tables import ORDER_TABLES, Id
from trueup.settings import Settings
from trueup.wiring import tolerances_of

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
ROUNDS: Final = 15
_FAULTS: Final[tuple[tuple[str, dict[str, object]], ...]] = (
    ("billing_item", {"amount": "1.0000"}),
    ("billing_item", {"kind": "fee"}),
    ("billing_item", {"currency": "EUR"}),
    ("billing_item", {"shop_id": 0}),
    ("payout_item", {"amount": "1.0000"}),
    ("payout_item", {"billing_item_id": 0}),
    ("orders", {"status": "refunded"}),
)
_EVERY: Final = 5

Judge = Callable[[OrderBooks], list[Finding]]


def run(orders: int = 5_000) -> dict[str, Any]:
    """Ratios and µs per order, medians of alternating rounds; `spec_cost_ratio` is that of clean orders."""
    tolerances = tolerances_of(Settings())
    rules = settlement_rules(shipped_settlement(), tolerances)

    def by_hand(books: OrderBooks) -> list[Finding]:
        return judge_order(view_order(books, tolerances))

    figures: dict[str, Any] = {}
    for name, faulty in (("", False), ("_with_faults", True)):
        books = _books(orders, faulty=faulty)
        ratio, spec_us, hand_us = _compare(books, rules.judge_order, by_hand)
        figures |= {
            f"spec_cost_ratio{name}": round(ratio, 3),
            f"spec_judge_us{name}": round(spec_us, 3),
            f"hand_judge_us{name}": round(hand_us, 3),
        }
    return figures


def _compare(books: list[OrderBooks], by_spec: Judge, by_hand: Judge) -> tuple[float, float, float]:
    """(median ratio, median µs per order by spec, by hand); pairs of rounds share what else the machine does."""
    if any({*by_spec(one)} != {*by_hand(one)} for one in books):
        raise RuntimeError("the spec and the rules written by hand do not agree")
    pairs = []
    gc.disable()
    try:
        for number in range(ROUNDS):
            sides = (by_spec, by_hand) if number % 2 else (by_hand, by_spec)
            took = {side: _seconds(side, books) for side in sides}
            pairs.append((took[by_spec], took[by_hand]))
    finally:
        gc.enable()
    to_us = 1e6 / len(books)
    return (
        median(spec / hand for spec, hand in pairs),
        median(spec for spec, _ in pairs) * to_us,
        median(hand for _, hand in pairs) * to_us,
    )


def _seconds(judge: Judge, books: Iterable[OrderBooks]) -> float:
    began_at = time.perf_counter()
    for one in books:
        judge(one)
    return time.perf_counter() - began_at


def _books(orders: int, *, faulty: bool) -> list[OrderBooks]:
    """The books of orders whose every leg has come."""
    decoders = {table.name: ChangeDecoder(table) for table in ORDER_TABLES}
    books: dict[Id, OrderBooks] = {}
    for number, event in enumerate(events(orders, 1, START)):
        decoder = decoders.get(event.table)
        if decoder is None:
            continue
        order = event.key["order_id"]
        after = _spoilt(event, order // _EVERY) if faulty and order % _EVERY == 0 else event.after
        source = {"name": "settlement", "lsn": number + 1, "ts_us": int(START.timestamp()) * 1_000_000 + number}
        change = decoder.decode(
            orjson.dumps({"before": event.before, "after": after, "op": event.operation, "source": source}), 0, number
        )
        assert isinstance(change, Change)
        merge(books.setdefault(order, OrderBooks(order)), change)
    return list(books.values())


def _spoilt(event: Event, number: int) -> dict[str, object] | None:
    table, fields = _FAULTS[number % len(_FAULTS)]
    return {**event.after, **fields} if event.after and event.table == table else event.after
