"""Hypothesis strategies: what may happen at the source, and in which order, batches and crashes it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.partition_bench import Bench, LogRecord, PartitionT, records_of
from tests.source_log import FAR_US, SECOND_US, SOURCE, START_US, Event, SourceLog

SOURCES = st.sampled_from((SOURCE, SOURCE, SOURCE, "site-b"))
AMOUNTS = st.sampled_from(("8.00", "8.00", "10", "1.00", "0", "-8", "9.00", "99999999999999999999999999999999.00"))
CURRENCIES = st.sampled_from(("USD", "USD", "JPY", "KWD"))
TIMES = st.integers(-3, 30).map(lambda seconds: START_US + seconds * SECOND_US)
SHOPS = st.sampled_from((9, 9, 9, "shop-b"))
ORDER_IDS = st.sampled_from((1, 2, "x-3"))
ITEM_IDS = st.sampled_from((1, 2, 3, 10, "i"))
LINE_IDS = st.sampled_from((1, 2, 3, "l"))
STATEMENT_IDS = st.sampled_from((1, 2, "s"))
PAYOUT_IDS = st.sampled_from((1, 2, "p"))

FIELDS: dict[str, tuple[str, st.SearchStrategy[Any], dict[str, st.SearchStrategy[Any]]]] = {
    "orders": (
        "order_id",
        ORDER_IDS,
        {
            "shop_id": SHOPS, "currency": CURRENCIES, "gross_amount": AMOUNTS, "fee_amount": AMOUNTS,
            "status": st.sampled_from(("created", "paid", "completed", "refunded", "partially_refunded", "cancelled")),
            "completed_at": st.none() | TIMES, "updated_at": TIMES,
        },
    ),
    "billing_item": (
        "billing_item_id",
        ITEM_IDS,
        {
            "order_id": ORDER_IDS, "shop_id": SHOPS, "statement_id": STATEMENT_IDS, "source_no": st.sampled_from("12"),
            "kind": st.sampled_from(("sale", "sale", "refund", "adjustment", "fee")), "amount": AMOUNTS,
            "currency": CURRENCIES, "status": st.sampled_from(("statemented", "paid", "failed")),
            "created_at": TIMES, "updated_at": TIMES,
        },
    ),
    "payout_item": (
        "payout_item_id",
        LINE_IDS,
        {
            "payout_id": PAYOUT_IDS, "order_id": ORDER_IDS, "billing_item_id": ITEM_IDS, "amount": AMOUNTS,
            "currency": CURRENCIES,
        },
    ),
    "statement": (
        "statement_id",
        STATEMENT_IDS,
        {
            "currency": CURRENCIES, "item_count": st.integers(0, 3), "amount": AMOUNTS, "closed_at": st.none() | TIMES,
            "status": st.sampled_from(("open", "closed", "confirmed", "paying", "paid", "failed")),
        },
    ),
    "payout": (
        "payout_id",
        PAYOUT_IDS,
        {
            "statement_id": STATEMENT_IDS, "amount": AMOUNTS, "currency": CURRENCIES, "updated_at": TIMES,
            "status": st.sampled_from(("created", "ongoing", "paid", "failed", "failed_no_retry")),
        },
    ),
}  # fmt: skip
"""Table → primary key, its values, and the fields that vary (most of them in most rows as by default)."""

Step = tuple[str, str, str, dict[str, Any]]
"""(what, table, source, fields)."""


def steps(*tables: str) -> st.SearchStrategy[list[Step]]:
    """What happens at the source, in commit order."""
    choices: list[st.SearchStrategy[Step]] = [st.just(("tick", "", "", {}))]
    for table in tables:
        key, ids, fields = FIELDS[table]
        rows = st.fixed_dictionaries({key: ids}, optional=fields)
        choices += [
            st.tuples(st.just("put"), st.just(table), SOURCES, rows),
            st.tuples(st.just("put"), st.just(table), SOURCES, rows),
            st.tuples(st.just("delete"), st.just(table), SOURCES, st.fixed_dictionaries({key: ids})),
        ]
    return st.lists(st.one_of(choices), min_size=1, max_size=25)


def happened(what: list[Step]) -> SourceLog:
    """The source after these steps."""
    log = SourceLog()
    for action, table, source, fields in what:
        if action == "put":
            log.put(table, source, **fields)
        elif action == "delete":
            log.delete(table, next(iter(fields.values())), source)
        else:
            log.tick()
    return log


class Reading:
    """How a log is read: its order of arrival, and what happens between batches.

    `draw` is Hypothesis' own, so every choice shrinks.
    """

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def arrival(self, events: list[Event]) -> list[Event]:
        """Any order, some events again."""
        again = self._draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
        return list(self._draw(st.permutations(events + again)))

    def run(self, bench: Bench[PartitionT], records: list[LogRecord]) -> None:
        """Read all of the log, with windows, watermarks and crashes anywhere in between."""
        while True:
            ends = bench.partition.ends
            left = [record for record in records if record.offset >= ends.get(record.topic, 0)]
            if not left:
                break
            batch = left[: self._draw(st.integers(1, len(left)))]
            bench.partition.process(batch)
            for action in self._draw(st.lists(st.sampled_from(("advance", "close", "finish", "crash")), max_size=3)):
                self.disturb(bench, action)
        bench.settle_all(FAR_US)

    def disturb(self, bench: Bench[PartitionT], action: str) -> None:
        """One thing that can happen between two batches."""
        if action == "advance":
            seconds = self._draw(st.integers(-1, 60))
            bench.partition.advance(START_US + seconds * SECOND_US)
        elif action == "close":
            bench.close_window()
        elif action == "finish":
            bench.finish_window()
        else:
            bench.crash()


def straightforward(bench: Bench[PartitionT], events: list[Event]) -> None:
    """In commit order, in one batch, judged at the end."""
    bench.partition.process(records_of(events))
    bench.settle_all(FAR_US)
