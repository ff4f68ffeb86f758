"""Every rule about a statement: books that break it, and books that nearly do."""

from __future__ import annotations

from typing import Any

import pytest

from reconcile.finding import Finding
from reconcile.statement_view import running_totals, view_statement
from streams.merge import merge
from tests.partition_bench import RULES, TOLERANCES
from tests.source_log import SECOND_US, START_US, SourceLog, changes_of
from trueup.model.registers import ItemTotal, LatestItem, LineTotal, Partial, PartialVersion, StatementBooks
from trueup.model.tables import Id

GRACE_US = TOLERANCES.grace_us
VERSION = PartialVersion(1, START_US)
Told = tuple[str, str, Any, int | None, int | None]


def partial(
    *items: tuple[str, str, int, int], lines: tuple[tuple[Id, str, int, int], ...] = (), created_us: int = START_US
) -> Partial:
    """Items as (currency, status, count, sum), lines as (payout, currency, count, sum)."""
    count = sum(number for _currency, _status, number, _amount in items)
    return Partial(
        VERSION,
        {(currency, status): ItemTotal(number, amount) for currency, status, number, amount in items},
        {(payout, currency): LineTotal(number, amount) for payout, currency, number, amount in lines},
        tuple(LatestItem(created_us - place, 50 - place, 1, 800, "USD") for place in range(count)),
        START_US,
    )


ONE_ITEM = partial(("USD", "statemented", 1, 800), lines=((1, "USD", 1, 800),))


def findings(log: SourceLog, *partials: Partial, strays: tuple[Partial, ...] = ()) -> list[Finding]:
    books = StatementBooks(1)
    for change in changes_of(log):
        if change.key == 1:
            merge(books, change)
    books.partials = dict(enumerate(partials))
    books.strays = {(1, place): stray for place, stray in enumerate(strays)}
    return RULES.judge_statement(view_statement(books))


def told(log: SourceLog, *partials: Partial) -> set[Told]:
    """(rule, entity kind, entity id, expected, actual)."""
    return {
        (one.rule, one.entity_kind, one.entity_id, one.expected_minor, one.actual_minor)
        for one in findings(log, *partials)
    }


def good() -> SourceLog:
    """A statement with its payout."""
    return SourceLog().put("statement").put("payout")


def test_good_books_break_no_rule() -> None:
    assert findings(good(), ONE_ITEM) == []


def test_totals_are_summed_over_partitions_and_statuses() -> None:
    books = StatementBooks(1)
    books.partials = {
        0: partial(("USD", "statemented", 1, 300), ("USD", "paid", 2, 400), ("JPY", "paid", 1, 5)),
        7: partial(("USD", "statemented", 1, -100)),
    }
    assert running_totals(books) == {"USD": (4, 600), "JPY": (1, 5)}
    log = SourceLog().put("statement", amount="6.00", item_count=5)
    assert findings(log, *books.partials.values()) == []


def test_statement_drift() -> None:
    assert told(SourceLog().put("statement", amount="8.01"), ONE_ITEM) == {
        ("statement-drift", "statement", 1, 800, 801)
    }
    assert told(SourceLog().put("statement", item_count=2), ONE_ITEM) == {("statement-drift", "statement", 1, 800, 800)}
    assert told(SourceLog().put("statement")) == {("statement-drift", "statement", 1, 0, 800)}
    assert findings(SourceLog().put("statement", item_count=0, amount="0.00")) == []


def test_an_item_in_another_currency_counts_but_is_not_summed() -> None:
    both = partial(("USD", "statemented", 1, 800), ("JPY", "statemented", 1, 5))
    assert told(SourceLog().put("statement"), both) == {("statement-drift", "statement", 1, 800, 800)}
    assert findings(SourceLog().put("statement", item_count=2), both) == []


def test_orphan_statement() -> None:
    items = partial(("USD", "paid", 1, 800), ("JPY", "paid", 1, 5), created_us=START_US + 9)
    (orphan,) = findings(SourceLog(), items)
    assert (orphan.rule, orphan.entity_id, orphan.direction) == ("orphan-statement", 1, "long")
    assert (orphan.expected_minor, orphan.actual_minor, orphan.currency) == (0, 5, "JPY")
    assert orphan.due_us == START_US + 9 + GRACE_US
    assert told(SourceLog().put("statement").delete("statement"), ONE_ITEM) == {
        ("orphan-statement", "statement", 1, 0, 800)
    }
    assert findings(SourceLog(), partial()) == []


def test_a_partial_that_forgot_its_newest_items_is_still_judged() -> None:
    (orphan,) = findings(SourceLog(), ONE_ITEM._replace(latest=()))
    assert orphan.rule == "orphan-statement"


def test_late_item() -> None:
    log = SourceLog().put("statement", item_count=2, amount="16.00", closed_at=START_US, status="closed")
    two = partial(("USD", "statemented", 2, 1600), created_us=START_US + 1)
    assert told(log, two) == {("late-item", "billing_item", 50, 0, 800)}
    assert findings(log, two._replace(latest=two.latest[1:])) == []
    assert findings(SourceLog().put("statement", item_count=2, amount="16.00"), two) == []


def test_wrong_payout_total_against_its_lines() -> None:
    log = good().put("payout", amount="8.01")
    assert told(log, ONE_ITEM) == {("wrong-payout-total", "payout", 1, 800, 801)}
    assert told(good(), ONE_ITEM._replace(lines={})) == {("wrong-payout-total", "payout", 1, 0, 800)}


def test_wrong_payout_total_against_its_statement() -> None:
    log = SourceLog().put("statement", amount="9.00").put("payout")
    nine = partial(("USD", "statemented", 1, 900), lines=((1, "USD", 1, 800),))
    assert told(log, nine) == {("wrong-payout-total", "payout", 1, 900, 800)}


def test_a_payout_in_another_currency_than_its_statement() -> None:
    log = SourceLog().put("statement").put("payout", currency="KWD")
    lines = partial(("USD", "statemented", 1, 800), lines=((1, "KWD", 1, 8000),))
    assert [one.rule for one in findings(log, lines)] == ["wrong-payout-total"]


def test_a_payout_without_a_statement_is_held_to_its_lines() -> None:
    assert findings(SourceLog().put("payout"), partial(lines=((1, "USD", 2, 800),))) == []


def test_lines_of_other_payouts_or_currencies_do_not_count() -> None:
    other = partial(("USD", "paid", 1, 800), lines=((2, "USD", 1, 800), (1, "JPY", 1, 800)))
    assert told(good(), other) == {("wrong-payout-total", "payout", 1, 0, 800)}


def test_stray_lines_count() -> None:
    stray = partial(lines=((1, "USD", 1, 300),))
    log = good().put("payout", amount="11.00").put("statement", amount="8.00")
    told_rules = [one.rule for one in findings(log, ONE_ITEM, strays=(stray,))]
    assert told_rules == ["wrong-payout-total"]
    assert [one.expected_minor for one in findings(log, ONE_ITEM, strays=(stray,))] == [800]
    assert [one.expected_minor for one in findings(log, ONE_ITEM)] == [800]
    assert [one.expected_minor for one in findings(good(), ONE_ITEM, strays=(stray,))] == [1100]


def test_a_paid_payout_with_waiting_items() -> None:
    log = good().put("payout", status="ongoing").put("payout", status="paid", updated_at=START_US + 4)
    (waiting,) = findings(log, ONE_ITEM)
    assert (waiting.rule, waiting.entity_kind, waiting.due_us) == ("status-mismatch", "payout", START_US + 4 + GRACE_US)
    assert findings(log, partial(("USD", "paid", 1, 800), lines=((1, "USD", 1, 800),))) == []
    assert findings(SourceLog().put("statement").put("payout", status="failed"), ONE_ITEM) == []


@pytest.mark.parametrize(
    ("table", "first", "second", "legal"),
    [
        ("statement", "open", "closed", True),
        ("statement", "paying", "failed", True),
        ("statement", "open", "confirmed", False),
        ("statement", "paid", "open", False),
        ("payout", "failed", "created", True),
        ("payout", "created", "paid", False),
        ("payout", "failed_no_retry", "created", False),
    ],
)
def test_illegal_transition(table: str, first: str, second: str, *, legal: bool) -> None:
    log = SourceLog().put(table, status=first).tick().put(table, status=second)
    steps = [one for one in findings(log, ONE_ITEM) if one.rule == "illegal-transition"]
    assert [one.entity_kind for one in steps] == ([] if legal else [table])


def test_stuck() -> None:
    log = good().tick().put("payout", status="ongoing")
    (stuck,) = findings(log, ONE_ITEM)
    assert (stuck.rule, stuck.entity_kind) == ("stuck", "payout")
    assert stuck.due_us == START_US + SECOND_US + TOLERANCES.limits_us["payout", "ongoing"]
    assert "stuck" not in {one.rule for one in findings(log.put("payout", status="paid"), ONE_ITEM)}


@pytest.mark.parametrize("table", ["statement", "payout"])
def test_duplicate_id(table: str) -> None:
    log = good().put(table, "site-b")
    assert ("duplicate-id", table, 1, None, None) in told(log, ONE_ITEM)
    assert findings(log.delete(table, 1, "site-b"), ONE_ITEM) == []


def test_the_first_source_by_name_speaks_for_a_statement() -> None:
    log = SourceLog().put("statement", "b", amount="9.00").put("statement", "a").put("payout")
    assert {one.rule for one in findings(log, ONE_ITEM)} == {"duplicate-id"}
