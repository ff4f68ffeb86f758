"""Merging changes into registers: the newest version wins, history leaves marks, nothing counts twice."""

from __future__ import annotations

import itertools

from streams.merge import merge
from tests.source_log import SECOND_US, START_US, SourceLog, changes_of
from trueup.model.change import Change
from trueup.model.registers import MARKS_MAX, OrderBooks, StatementBooks


def order_books(changes: list[Change]) -> OrderBooks:
    books = OrderBooks(1)
    for change in changes:
        merge(books, change)
    return books


def test_the_newest_version_wins_in_any_order() -> None:
    log = SourceLog().put("orders").tick().put("orders", status="refunded").tick().delete("orders")
    for changes in itertools.permutations(changes_of(log)):
        (register,) = order_books(list(changes)).orders.values()
        assert register.deleted
        assert register.row is not None
        assert register.row.status == "refunded"
        assert (register.first_us, register.commit_us) == (START_US, START_US + 2 * SECOND_US)


def test_a_duplicate_alters_nothing() -> None:
    books = OrderBooks(1)
    (change,) = changes_of(SourceLog().put("orders"))
    assert merge(books, change)
    assert not merge(books, change._replace(offset=99))
    assert [register.offset for register in books.orders.values()] == [0]


def test_an_older_version_alters_only_when_it_tells_an_earlier_commit() -> None:
    first, second = changes_of(SourceLog().put("orders").tick().put("orders", shop_id=8))
    books = OrderBooks(1)
    assert merge(books, second)
    assert merge(books, first)
    assert not merge(books, first)


def test_versions_of_two_sources_are_not_compared() -> None:
    books = order_books(changes_of(SourceLog().put("orders").put("orders", "site-b", status="created")))
    assert {key: register.row.status for key, register in books.orders.items() if register.row} == {
        ("settlement", 1): "completed",
        ("site-b", 1): "created",
    }


def test_each_table_has_its_registers() -> None:
    books = order_books(changes_of(SourceLog().put("orders").put("billing_item").put("payout_item")))
    assert [len(held) for held in (books.orders, books.items, books.lines)] == [1, 1, 1]
    statement_books = StatementBooks(1)
    for change in changes_of(SourceLog().put("statement").tick().put("payout")):
        merge(statement_books, change)
    assert [len(held) for held in (statement_books.statements, statement_books.payouts)] == [1, 1]
    assert statement_books.newest_us == START_US + SECOND_US


def marks(log: SourceLog) -> list[tuple[str, str, object, object]]:
    return [(mark.table, mark.field, mark.old, mark.new) for mark in order_books(changes_of(log)).marks]


def test_illegal_steps_leave_marks() -> None:
    log = SourceLog().put("orders", status="created").put("orders", status="completed")
    assert marks(log) == [("orders", "status", "created", "completed")]
    assert marks(SourceLog().put("orders", status="paid").put("orders", status="completed")) == []


def test_edits_of_an_order_leave_marks_and_those_of_an_item_only_when_it_was_paid() -> None:
    assert marks(SourceLog().put("orders").put("orders", fee_amount="2.00", shop_id=8)) == [
        ("orders", "fee_amount", 100, 200)
    ]
    unpaid = (
        SourceLog()
        .put("billing_item")
        .put("billing_item", amount="9.00")
        .put("billing_item", status="paid", amount="8")
    )
    assert marks(unpaid) == []
    paid = SourceLog().put("billing_item", status="paid").put("billing_item", amount="9.00", status="failed", shop_id=8)
    assert set(marks(paid)) == {
        ("billing_item", "amount", 800, 900),
        ("billing_item", "shop_id", 9, 8),
        ("billing_item", "status", "paid", "failed"),
    }


def test_marks_are_a_bounded_set_of_the_earliest() -> None:
    log = SourceLog().put("orders")
    for fee in range(MARKS_MAX + 20):
        log.tick().put("orders", fee_amount=f"{fee + 2}")
    changes = changes_of(log)
    plain = order_books(changes)
    assert len(plain.marks) == MARKS_MAX
    assert [mark[:-2] for mark in order_books(changes[::-1] + changes).marks] == [mark[:-2] for mark in plain.marks]
    assert plain.marks[0].old == 100
