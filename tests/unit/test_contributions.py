"""What an order contributes to statement totals, and the arithmetic of partial totals."""

from __future__ import annotations

from typing import Any

from streams.contributions import (
    LATEST_MAX,
    Contribution,
    PartialSum,
    changed_by_key,
    contributions_of,
    total_key,
)
from streams.merge import merge
from tests.source_log import START_US, SourceLog, changes_of
from trueup.model.registers import OrderBooks, PartialVersion

VERSION = PartialVersion(3, START_US)


def contributed(log: SourceLog) -> list[Contribution]:
    books = OrderBooks(1)
    for change in changes_of(log):
        merge(books, change)
    return contributions_of(books)


def item(identifier: int, amount_minor: int = 800, created_us: int = START_US, **fields: Any) -> Contribution:
    return Contribution(1, None, "USD", "paid", amount_minor, created_us, identifier, 1)._replace(**fields)


def line(identifier: int, amount_minor: int = 800, **fields: Any) -> Contribution:
    return Contribution(1, 4, "USD", "", amount_minor, 0, identifier, 1)._replace(**fields)


def summed(*contributions: Contribution) -> PartialSum:
    total = PartialSum()
    total.apply((), contributions, START_US, VERSION)
    return total


def test_live_items_and_lines_contribute() -> None:
    log = SourceLog().put("orders").put("billing_item").put("payout_item", payout_id=4)
    assert contributed(log) == [item(1, status="statemented"), line(1)]
    assert contributed(log.delete("billing_item")) == [line(1, statement_id=None)]
    assert contributed(log.delete("payout_item")) == []


def test_a_line_without_its_item_is_a_stray_of_its_payout() -> None:
    assert [total_key(one) for one in (item(1), line(1), line(1, statement_id=None))] == [
        (1, None),
        (1, None),
        (None, 4),
    ]


def test_the_first_source_by_name_says_where_a_line_belongs() -> None:
    for first, second in (("a", "b"), ("b", "a")):
        log = SourceLog()
        for source in (first, second):
            log.put("billing_item", source, statement_id=source)
        lines = [one for one in contributed(log.put("payout_item")) if one.payout_id is not None]
        assert [one.statement_id for one in lines] == ["a"]


def test_only_what_changed_is_told_by_partial() -> None:
    old, new = [item(1), item(2), line(1)], [item(1), item(2, statement_id=5), line(1, statement_id=None)]
    assert changed_by_key(old, new) == {
        (1, None): ([item(2), line(1)], []),
        (5, None): ([], [item(2, statement_id=5)]),
        (None, 4): ([], [line(1, statement_id=None)]),
    }
    assert changed_by_key(new, new) == {}
    assert changed_by_key([], [item(1)]) == {(1, None): ([], [item(1)])}


def test_two_sources_that_hold_one_row_alike_count_twice() -> None:
    assert changed_by_key([], [item(1), item(1)]) == {(1, None): ([], [item(1), item(1)])}
    assert changed_by_key([item(1)], [item(1), item(1)]) == {(1, None): ([], [item(1)])}
    assert changed_by_key([item(1), item(1)], [item(1)]) == {(1, None): ([item(1)], [])}


def test_sums_are_kept_by_currency_and_status_and_disappear_at_zero() -> None:
    total = summed(item(1), item(2, -300), item(3, 5, currency="JPY"), line(1), line(2, payout_id=6))
    assert total.items == {("USD", "paid"): (2, 500), ("JPY", "paid"): (1, 5)}
    assert total.lines == {(4, "USD"): (1, 800), (6, "USD"): (1, 800)}
    total.apply([item(1), item(2, -300), line(1)], [item(1, status="failed")], START_US + 1, VERSION)
    assert total.items == {("JPY", "paid"): (1, 5), ("USD", "failed"): (1, 800)}
    assert total.lines == {(6, "USD"): (1, 800)}
    assert total.newest_us == START_US + 1
    assert total.frozen().version == VERSION


def test_an_item_of_no_amount_counts() -> None:
    assert summed(item(1, 0)).items == {("USD", "paid"): (1, 0)}


def test_the_newest_items_are_remembered_newest_first() -> None:
    total = summed(*(item(number, created_us=START_US + number % 7) for number in range(1, 20)))
    held = [(one.created_us - START_US, one.billing_item_id) for one in total.latest]
    assert held == sorted(held, reverse=True)
    assert len(held) == LATEST_MAX
    assert held[0] == (6, 13)


def test_an_item_that_moves_to_another_order_is_still_remembered() -> None:
    total = summed(item(1))
    total.apply((), [item(1, order_id=2)], START_US, VERSION)
    total.apply([item(1)], (), START_US, VERSION)
    assert [(one.billing_item_id, one.order_id) for one in total.latest] == [(1, 2)]


def test_a_frozen_partial_does_not_change() -> None:
    total = summed(item(1))
    frozen = total.frozen()
    total.apply((), [item(2)], START_US, VERSION)
    assert frozen.items == {("USD", "paid"): (1, 800)}
    assert PartialSum(frozen).items == frozen.items
