"""Merging is commutative and idempotent, and totals follow from registers alone."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.contributions import LATEST_MAX, Contribution, PartialSum, changed_by_key, contributions_of
from streams.merge import merge
from tests.histories import Step, happened, steps
from tests.source_log import changes_of
from trueup.model.change import Change
from trueup.model.registers import OrderBooks, PartialVersion
from trueup.model.tables import Id

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
