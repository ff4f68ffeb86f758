"""Hypothesis strategies: what may happen at the source, and in which order, batches and crashes it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

from hypothesis import strategies as st

from streams import truncation
from streams.messages import PARTIALS_TOPIC, Marker, encode_partial_message, encode_watermarks
from streams.release_messages import SHARES_TOPIC, encode_reached
from streams.release_partition import ReleasePartition
from streams.statement_partition import StatementPartition
from tests.partition_bench import Bench, LogRecord, Message, PartitionT, records_of
from tests.source_log import DEFAULTS, FAR_US, SECOND_US, SOURCE, START_US, SourceLog
from trueup.model.registers import ItemTotal, LatestItem, LineTotal, Partial, PartialVersion
from trueup.model.tables import TABLES, Id

SOURCES = st.sampled_from((SOURCE, SOURCE, SOURCE, "site-b"))
AMOUNTS = st.sampled_from(("8.00", "8.00", "10", "1.00", "0", "-8", "9.00", "9999999999999999999999.00"))
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
            "channel_ref": st.sampled_from((None, "R1", "R1", "R2", "CH1")),
        },
    ),
    "release_summary": (
        "release_id",
        st.sampled_from((1, 2)),
        {
            "currency": CURRENCIES, "amount": AMOUNTS, "payout_count": st.integers(0, 2),
            "status": st.sampled_from(("created", "funded", "released", "released")),
        },
    ),
}  # fmt: skip
"""Table → primary key, its values, and the fields that vary (most of them in most rows as by default)."""

PARTIAL_PARTITIONS = 2
EARLY_US = START_US + 10 * SECOND_US
LAST_MARKER = encode_watermarks(dict.fromkeys(range(PARTIAL_PARTITIONS), Marker(FAR_US, FAR_US)))
LAST_REACHED = encode_reached({0: FAR_US})

Step = tuple[str, str, str, dict[str, Any]]
"""(what, table, source, fields)."""


def steps(*tables: str, truncates: bool = False) -> st.SearchStrategy[list[Step]]:
    """What happens at the source, in commit order; with `truncates` a table may lose all of its rows at once."""
    choices: list[st.SearchStrategy[Step]] = [st.just(("tick", "", "", {}))]
    for table in tables:
        key, ids, fields = FIELDS[table]
        rows = st.fixed_dictionaries({key: ids}, optional=fields)
        choices += [
            st.tuples(st.just("put"), st.just(table), SOURCES, rows),
            st.tuples(st.just("put"), st.just(table), SOURCES, rows),
            st.tuples(st.just("delete"), st.just(table), SOURCES, st.fixed_dictionaries({key: ids})),
        ]
        if truncates:
            choices.append(st.tuples(st.just("truncate"), st.just(table), SOURCES, st.just({})))
    return st.lists(st.one_of(choices), min_size=1, max_size=25)


def happened(what: list[Step]) -> SourceLog:
    """The source after these steps."""
    log = SourceLog()
    for action, table, source, fields in what:
        if action == "put":
            log.put(table, source, **fields)
        elif action == "delete":
            log.delete(table, next(iter(fields.values())), source)
        elif action == "truncate":
            log.truncate(table, source)
        else:
            log.tick()
    return log


DISTURBANCES = ("advance", "close", "finish", "crash")
STATEMENT_OF_ITEM: dict[Id, Id] = {1: 1, 2: 1, 3: 2, 10: 2, "i": "s"}
PAYOUT_OF_ITEM: dict[Id, Id] = {1: 1, 2: 1, 3: 2, 10: 2, "i": "p"}
STATEMENT_OF_PAYOUT: dict[Id, Id] = {1: 1, 2: 2, "p": "s"}


def happened_plainly(what: list[Step]) -> SourceLog:
    """The same in one source where rows keep the keys they were made with, and no id is used twice.

    A payout pays one statement, and its lines name items of that statement, or none.
    """
    log = SourceLog()
    gone: set[tuple[str, Id]] = set()
    for action, name, _source, fields in what:
        if action == "tick":
            log.tick()
            continue
        table = TABLES[name]
        key: Id = fields.get(table.primary_key, 1)
        known = (SOURCE, name, key) in log.rows
        if action == "delete":
            gone.update({(name, key)} if known else ())
            log.delete(name, key)
        elif (name, key) not in gone:
            kept = {column: value for column, value in fields.items() if not known or column != table.topic_key}
            if name == "billing_item":
                kept["statement_id"] = STATEMENT_OF_ITEM[key]
            elif name == "payout":
                kept["statement_id"] = STATEMENT_OF_PAYOUT[key]
            elif name == "payout_item":
                named = log.rows[SOURCE, name, key] if known else DEFAULTS[name]
                kept["payout_id"] = PAYOUT_OF_ITEM[(named | kept)["billing_item_id"]]
            log.put(name, **(kept | {table.primary_key: key}))
    return log


@contextmanager
def walking_by(states: int) -> Iterator[None]:
    """Truncations look at so many states at a time."""
    with mock.patch.object(truncation, "WALK_BATCH", states):
        yield


WALKS = st.sampled_from((1, 2, truncation.WALK_BATCH))


class Reading:
    """How a log is read: its order of arrival, and what happens between batches.

    `draw` is Hypothesis' own, so every choice shrinks.
    """

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def arrival(self, messages: list[Message]) -> list[Message]:
        """Any order, some messages again."""
        again = self._draw(st.lists(st.sampled_from(messages), max_size=4)) if messages else []
        return list(self._draw(st.permutations(messages + again)))

    def run(self, bench: Bench[PartitionT], records: list[LogRecord]) -> None:
        """Read all of the log, with windows, watermarks and crashes anywhere in between; then judge the rest."""
        while True:
            ends = bench.partition.ends
            left = [record for record in records if record.offset >= ends.get(record.topic, 0)]
            if not left:
                break
            batch = left[: self._draw(st.integers(1, len(left)))]
            bench.partition.process(batch)
            for action in self._draw(st.lists(st.sampled_from(DISTURBANCES), max_size=3)):
                self.disturb(bench, action)
        finish(bench)

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


def straightforward(bench: Bench[PartitionT], messages: list[Message]) -> None:
    """In commit order, in one batch, judged at the end."""
    bench.partition.process(records_of(messages))
    finish(bench)


def finish(bench: Bench[PartitionT]) -> None:
    """Everything is delivered: the markers of the end come, all is judged and durable."""
    if isinstance(bench.partition, StatementPartition):
        bench.partition.process(
            [LogRecord(PARTIALS_TOPIC, 0, bench.partition.ends.get(PARTIALS_TOPIC, 0), LAST_MARKER)]
        )
    if isinstance(bench.partition, ReleasePartition):
        bench.partition.process([LogRecord(SHARES_TOPIC, 0, bench.partition.ends.get(SHARES_TOPIC, 0), LAST_REACHED)])
    bench.settle_all(FAR_US)


class PartialSpec(NamedTuple):
    """One partial as stage 1 would send it; `statement_id` None for stray lines of `payout_id`."""

    statement_id: Id | None
    payout_id: Id | None
    partition: int
    partial: Partial


@st.composite
def partials(draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[PartialSpec]:
    """What stage 1 sends, in the order of sending: versions only grow."""
    specs = []
    for progress in range(1, draw(st.integers(0, 8)) + 1):
        statement_id = draw(st.none() | STATEMENT_IDS)
        partition = draw(st.integers(0, PARTIAL_PARTITIONS - 1))
        payout_id = draw(PAYOUT_IDS)
        lines = {}
        if statement_id is None or draw(st.booleans()):
            lines = {(payout_id, draw(CURRENCIES)): LineTotal(1, draw(st.sampled_from((800, 8, 8000))))}
        items = {}
        latest: tuple[LatestItem, ...] = ()
        if statement_id is not None and draw(st.booleans()):
            currency, created_us = draw(CURRENCIES), draw(TIMES)
            amount = draw(st.sampled_from((800, 8, 8000, 10**36)))
            items = {(currency, draw(st.sampled_from(("statemented", "paid")))): ItemTotal(1, amount)}
            latest = (LatestItem(created_us, draw(ITEM_IDS), 1, amount, currency),)
        version = PartialVersion(progress, START_US)
        partial = Partial(version, items, lines, latest, draw(TIMES))
        specs.append(PartialSpec(statement_id, None if statement_id is not None else payout_id, partition, partial))
    return specs


def partial_messages(specs: list[PartialSpec]) -> list[Message]:
    """The messages on the partials topic, with a marker that lets some be judged early."""
    early = encode_watermarks(dict.fromkeys(range(PARTIAL_PARTITIONS), Marker(EARLY_US, EARLY_US)))
    return [(PARTIALS_TOPIC, value) for value in (*(encode_partial_message(*spec)[1] for spec in specs), early)]
