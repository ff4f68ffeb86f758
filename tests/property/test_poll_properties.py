"""Polling: whatever happens to rows, and wherever the poller dies, its messages end in the registers that a push would give."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.polled_books import COMPARE_SECONDS, OVERLAP_SECONDS, SECOND_US, Books, Died, Polling, Row

KEYS = st.integers(1, 6)
AMOUNTS = st.integers(-99_999, 99_999).map(lambda minor: f"{minor / 100:.2f}")
STATUSES = st.sampled_from(["statemented", "paid", "failed"])
TABLES = st.sampled_from(["billing_item", "payout_item"])
LATE_SECONDS = st.integers(0, OVERLAP_SECONDS)

WRITES = st.tuples(st.just("write"), TABLES, KEYS, KEYS, AMOUNTS, STATUSES, LATE_SECONDS)
POLLS = st.tuples(st.just("poll"))
DEATHS = st.tuples(st.just("die"), st.integers(0, 6))
DELETES = st.tuples(st.just("delete"), TABLES, KEYS)
LOSSES = st.tuples(st.just("lose"))
UNTOLD = st.tuples(st.just("untold"), KEYS, AMOUNTS)
"""An edit that leaves the time column as it was."""


def row_of(table: str, key: int, order: int, amount: str, status: str, time_us: int) -> Row:
    if table == "payout_item":
        return {
            "payout_item_id": key, "payout_id": 1, "order_id": order, "billing_item_id": key, "amount": amount,
            "currency": "USD",
        }  # fmt: skip
    return {
        "billing_item_id": key, "order_id": order, "shop_id": 9, "statement_id": 1, "kind": "sale", "source_no": "1",
        "amount": amount, "currency": "USD", "status": status, "created_at": time_us, "updated_at": time_us,
    }  # fmt: skip


def happen(polling: Polling, step: tuple[Any, ...]) -> None:
    """One step of a history; a second passes."""
    books = polling.books
    books.clock_us += SECOND_US
    kind, *rest = step
    if kind == "write":
        table, key, order, amount, status, late_seconds = rest
        # The transaction took its time some seconds before it committed.
        time_us = books.clock_us - late_seconds * SECOND_US
        books.tables[table][key] = row_of(table, key, order, amount, status, time_us)
    elif kind == "delete":
        books.tables[rest[0]].pop(rest[1], None)
    elif kind == "untold":
        row = books.tables["billing_item"].get(rest[0])
        if row is not None:
            books.tables["billing_item"][rest[0]] = {**row, "amount": rest[1]}
    elif kind == "poll":
        assert polling.poller.poll()
    elif kind == "lose":
        polling.lose_memory()
    else:
        polling.wire.dies_after = rest[0]
        with contextlib.suppress(Died):
            polling.poller.poll()
        polling.restart()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(WRITES, POLLS, DEATHS, DELETES, UNTOLD), max_size=40))
def test_any_history_ends_in_the_rows_of_the_source(history: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        polling = Polling(Path(directory), Books())
        for step in history:
            happen(polling, step)
        polling.books.clock_us += COMPARE_SECONDS * SECOND_US
        assert polling.poller.poll()
        polling.memory.close()
    assert polling.registers() == polling.books.decoded()
    assert_well_told(polling)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(WRITES, POLLS, DEATHS), max_size=30))
def test_what_ends_within_the_overlap_is_found_by_the_next_poll(history: list[tuple[Any, ...]]) -> None:
    """Without deletes and without edits that leave the time as it was, every poll is as good as a push."""
    with tempfile.TemporaryDirectory() as directory:
        polling = Polling(Path(directory), Books())
        for step in history:
            happen(polling, step)
            if step[0] == "poll":
                assert polling.registers() == polling.books.decoded()
        polling.memory.close()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(WRITES, POLLS, DEATHS, DELETES, UNTOLD, LOSSES), max_size=30))
def test_a_lost_memory_leaves_no_row_behind(history: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        polling = Polling(Path(directory), Books())
        for step in [*history, ("lose",), ("poll",)]:
            happen(polling, step)
        polling.memory.close()
    assert polling.registers() == polling.books.decoded()


def assert_well_told(polling: Polling) -> None:
    """One message per version, the same again if again, each from where the former one left the row."""
    told: dict[tuple[str, Any, int], bytes | None] = {}
    rows: dict[tuple[str, Any], Any] = {}
    for sent, change in polling.changes():
        place = (change.table.name, change.primary_key)
        identity = (*place, change.version)
        if identity in told:
            assert told[identity] == sent.value
            continue
        told[identity] = sent.value
        envelope = orjson.loads(sent.value or b"")
        assert envelope["before"] == rows.get(place)
        assert envelope["after"] != envelope["before"]
        rows[place] = envelope["after"]
        assert change.polled
        assert envelope["op"] == ("d" if change.deleted else envelope["op"])
        assert orjson.loads(sent.key or b"") == {"order_id": change.key}
