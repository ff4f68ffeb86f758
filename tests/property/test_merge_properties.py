"""Merging is commutative and idempotent, and totals follow from registers alone."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.contributions import LATEST_MAX, Contribution, PartialSum, changed_by_key, contributions_of
from streams.floors import Floors, floor_of
from streams.merge import merge
from tests.histories import Step, happened, steps
from tests.source_log import changes_of, decoded_of
from trueup.model.change import Change, Truncation
from trueup.model.registers import OrderBooks, PartialVersion
from trueup.model.tables import BILLING_ITEM, ORDERS, PAYOUT_ITEM, Id

VERSION = PartialVersion(1, 0)


def books_of(changes: list[Change]) -> dict[Id, OrderBooks]:
    books: dict[Id, OrderBooks] = {}
    for change in changes:
        merge(books.setdefault(change.key, OrderBooks(change.key)), change)
    return books


def comparable(books: dict[Id, OrderBooks]) -> dict[Id, Any]:
    """All but the place where each version was read, which differs between copies of one event."""
    return {
        identifier: (
            [{key: held[:-2] for key, held in registers.items()} for registers in (one.orders, one.items, one.lines)],
            [mark[:-2] for mark in one.marks],
            one.newest_us,
        )
        for identifier, one in books.items()
    }


@given(steps("orders", "billing_item", "payout_item"), st.data())
def test_any_order_and_duplication_gives_the_same_registers(what: list[Step], data: st.DataObject) -> None:
    changes = changes_of(happened(what))
    again = data.draw(st.lists(st.sampled_from(changes), max_size=10)) if changes else []
    shuffled = data.draw(st.permutations(changes + again))
    assert comparable(books_of(shuffled)) == comparable(books_of(changes))


def books_with_truncations(events: list[Change | Truncation]) -> dict[Id, OrderBooks]:
    """The books of changes and truncations, in this order."""
    books: dict[Id, OrderBooks] = {}
    floors = Floors()
    for event in events:
        if isinstance(event, Change):
            one = books.setdefault(event.key, OrderBooks(event.key))
            merge(one, event)
            gone = floors.deletion_after(event)
            if gone is not None:
                merge(one, gone)
            continue
        floors.raise_to((event.source, event.table.name), floor_of(event))
        for key, held in books.items():
            tables = ((ORDERS, held.orders), (BILLING_ITEM, held.items), (PAYOUT_ITEM, held.lines))
            for gone in floors.deletions(key, tables):
                merge(held, gone)
    return books


@given(steps("orders", "billing_item", "payout_item", truncates=True), st.data())
def test_truncations_commute_with_changes(what: list[Step], data: st.DataObject) -> None:
    log = happened(what)
    events = decoded_of(log)
    again = data.draw(st.lists(st.sampled_from(events), max_size=10)) if events else []
    plainly = books_with_truncations(events)
    assert comparable(books_with_truncations(data.draw(st.permutations(events + again)))) == comparable(plainly)
    live = {
        (source, table.name, primary_key)
        for one in plainly.values()
        for table, registers in ((ORDERS, one.orders), (BILLING_ITEM, one.items), (PAYOUT_ITEM, one.lines))
        for (source, primary_key), held in registers.items()
        if not held.deleted
    }
    assert live == set(log.rows)


@given(steps("orders", "billing_item", "payout_item"), st.data())
def test_differences_add_up_to_the_sum(what: list[Step], data: st.DataObject) -> None:
    changes = data.draw(st.permutations(changes_of(happened(what))))
    books: dict[Id, OrderBooks] = {}
    contributed: dict[Id, list[Contribution]] = {}
    sums: dict[Any, PartialSum] = {}
    for change in changes:
        one = books.setdefault(change.key, OrderBooks(change.key))
        merge(one, change)
        new = contributions_of(one)
        for key, (gone, come) in changed_by_key(contributed.get(change.key, []), new).items():
            sums.setdefault(key, PartialSum()).apply(gone, come, change.commit_us, VERSION)
        contributed[change.key] = new
    whole: dict[Any, PartialSum] = {}
    for new in contributed.values():
        for key, (gone, come) in changed_by_key([], new).items():
            whole.setdefault(key, PartialSum()).apply(gone, come, 0, VERSION)
    for key, total in sums.items():
        plain = whole.get(key, PartialSum())
        assert (total.items, total.lines) == (plain.items, plain.lines)
        assert len(total.latest) <= LATEST_MAX
        assert sorted(map(str, total.latest)) == sorted(map(str, plain.latest))
    assert set(whole) <= set(sums)
