"""Any order, duplication, batching and crash leaves the state, totals and discrepancies that plain reading leaves."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clickhouse.schema import DEFINITIONS
from reconcile.statement_view import line_total, view_statement
from streams.order_partition import OrderPartition
from streams.statement_partition import StatementPartition
from tests.histories import (
    PARTIAL_PARTITIONS,
    WALKS,
    PartialSpec,
    Reading,
    Step,
    happened,
    partial_messages,
    partials,
    steps,
    straightforward,
    walking_by,
)
from tests.partition_bench import (
    Bench,
    messages_of,
    open_cases,
    order_bench,
    published_open,
    records_of,
    statement_bench,
)

HALF = settings(max_examples=settings().max_examples // 2)
"""Each example opens two stores or more."""
PLACE_COLUMNS = {"partition", "version", "state"}
FIRST_LEG_COLUMNS = {"currency", "shop_id", "billed_amount", "paid_out_amount"}
"""Of an order that is not known, they are told by the leg that came first."""


@contextmanager
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="trueup-test-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def registers(held: dict[Any, Any]) -> dict[Any, Any]:
    """Registers without where they were read."""
    return {key: register[:-2] for key, register in held.items()}


def wide_rows(bench: Bench[OrderPartition]) -> dict[object, dict[str, object]]:
    """order_wide as it is read: lists that stand beside each other zipped, and all lists in one order."""
    rows = {}
    names = [column.name for column in DEFINITIONS["order_wide"].columns]
    for identifier, row in bench.rows("order_wide").items():
        columns = dict(zip(names, row, strict=True))
        lists = [columns.pop(name) for name in names if name.startswith("contribution_")]
        columns["contributions"] = sorted(map(str, zip(*lists, strict=True)))
        columns["statement_ids"] = sorted(columns["statement_ids"])  # type: ignore[call-overload]
        left_out = PLACE_COLUMNS if columns["status"] else PLACE_COLUMNS | FIRST_LEG_COLUMNS
        rows[identifier] = {name: value for name, value in columns.items() if name not in left_out}
    return rows


def held_open(bench: Bench[Any]) -> set[tuple[str, str, str]]:
    """(rule, entity kind, entity id) of what is open in the state."""
    cases = [case for state in bench.states().values() for case in state.cases.values()]
    return {(rule, kind, str(identifier)) for (rule, kind, identifier), *_amounts in open_cases(cases)}


def fingerprint(bench: Bench[OrderPartition]) -> dict[str, Any]:
    states = bench.states()
    partition = bench.partition
    keys = {(one.statement_id, None) if one.statement_id is not None else (None, one.payout_id)
            for state in states.values() for one in state.contributed}  # fmt: skip
    partials = {key: partition._partial(key) for key in keys}
    return {
        "registers": {
            identifier: [registers(held) for held in (state.books.orders, state.books.items, state.books.lines)]
            for identifier, state in states.items()
        },
        "marks": {identifier: [mark[:-2] for mark in state.books.marks] for identifier, state in states.items()},
        "newest": {identifier: state.books.newest_us for identifier, state in states.items()},
        "contributed": {identifier: sorted(map(str, state.contributed)) for identifier, state in states.items()},
        "partials": {key: (partial.items, partial.lines, set(partial.latest)) for key, partial in partials.items()},
        "open": {identifier: open_cases(state.cases.values()) for identifier, state in states.items()},
        "judged": {identifier: (state.judged, state.due_us) for identifier, state in states.items()},
        "wide": wide_rows(bench),
    }


ORDER_STEPS = steps("orders", "billing_item", "payout_item", truncates=True)


@HALF
@given(ORDER_STEPS, st.data())
def test_orders_end_the_same_however_they_are_read(what: list[Step], data: st.DataObject) -> None:
    messages = messages_of(happened(what).events)
    reading = Reading(data.draw)
    with directory() as path:
        plain = order_bench(path / "plain")
        other = order_bench(path / "other", cache_entities=data.draw(st.sampled_from((1, 1000))))
        try:
            straightforward(plain, messages)
            with walking_by(data.draw(WALKS)):
                reading.run(other, records_of(reading.arrival(messages)))
            assert fingerprint(other) == fingerprint(plain)
            assert published_open(other.sent) == published_open(plain.sent) == held_open(other)
        finally:
            plain.close()
            other.close()


def statement_fingerprint(bench: Bench[StatementPartition]) -> dict[str, Any]:
    states = bench.states()
    views = {identifier: view_statement(state.books) for identifier, state in states.items()}
    return {
        "registers": {
            identifier: [registers(held) for held in (state.books.statements, state.books.payouts)]
            for identifier, state in states.items()
        },
        "marks": {identifier: [mark[:-2] for mark in state.books.marks] for identifier, state in states.items()},
        "partials": {identifier: state.books.partials for identifier, state in states.items()},
        "totals": {identifier: view.totals for identifier, view in views.items()},
        "lines": {
            (identifier, payout.primary_key): [
                line_total(view.books, payout.primary_key, currency) for currency in ("USD", "JPY", "KWD")
            ]
            for identifier, view in views.items()
            for payout in view.payouts
        },
        "open": {identifier: open_cases(state.cases.values()) for identifier, state in states.items()},
        "judged": {identifier: (state.judged, state.due_us) for identifier, state in states.items()},
    }


@HALF
@given(steps("statement", "payout", truncates=True), partials(), st.data())
def test_statements_end_the_same_however_they_are_read(
    what: list[Step], specs: list[PartialSpec], data: st.DataObject
) -> None:
    messages = messages_of(happened(what).events) + partial_messages(specs)
    reading = Reading(data.draw)
    with directory() as path:
        plain = statement_bench(path / "plain", partition_count=PARTIAL_PARTITIONS)
        other = statement_bench(path / "other", partition_count=PARTIAL_PARTITIONS)
        try:
            straightforward(plain, messages)
            with walking_by(data.draw(WALKS)):
                reading.run(other, records_of(reading.arrival(messages)))
            assert statement_fingerprint(other) == statement_fingerprint(plain)
            assert published_open(other.sent) == published_open(plain.sent) == held_open(other)
        finally:
            plain.close()
            other.close()
