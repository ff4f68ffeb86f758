"""Laws of likely causes: always one of the list, the same from the same books, and exact in every currency."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.causes.amounts import Parts, cause_of_difference
from reconcile.causes.cause import CAUSES
from reconcile.causes.explain import likely_cause
from reconcile.lifecycle import Case
from streams.merge import merge
from tests.histories import PARTIAL_PARTITIONS, Step, happened, partial_messages, partials, steps, straightforward
from tests.partition_bench import messages_of, order_bench, statement_bench
from tests.source_log import changes_of
from trueup.model.money import EXPONENTS
from trueup.model.registers import OrderBooks

HALF = settings(max_examples=settings().max_examples // 2)
CURRENCIES = st.sampled_from(sorted(EXPONENTS))
MINOR = st.integers(-(10**25), 10**25)
PARTS = st.builds(Parts, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 1000))


@given(MINOR, MINOR, CURRENCIES, PARTS)
def test_a_cause_of_a_difference_is_on_the_list_and_says_why(
    expected: int, actual: int, currency: str, parts: Parts
) -> None:
    found = cause_of_difference(expected, actual, currency, parts)
    assert found is None or (found.name in CAUSES and found.detail != "" and expected != actual)


@given(MINOR, CURRENCIES, PARTS)
def test_equal_amounts_have_no_cause(amount: int, currency: str, parts: Parts) -> None:
    assert cause_of_difference(amount, amount, currency, parts) is None


@given(MINOR.filter(bool), CURRENCIES, PARTS)
def test_minor_units_read_as_major_units_are_found_both_ways(amount: int, currency: str, parts: Parts) -> None:
    factor = 10 ** EXPONENTS[currency]
    names = [
        found and found.name
        for found in (
            cause_of_difference(amount, amount * factor, currency, parts),
            cause_of_difference(amount * factor, amount, currency, parts),
        )
    ]
    assert names == [None if factor == 1 else "currency-exponent"] * 2


@given(MINOR.filter(bool), CURRENCIES, PARTS)
def test_a_changed_sign_is_found_before_all_else(amount: int, currency: str, parts: Parts) -> None:
    found = cause_of_difference(amount, -amount, currency, parts)
    assert found is not None
    assert found.name == "sign-flipped"


@given(st.integers(10**12, 10**13), st.integers(-1000, 1000).filter(bool), CURRENCIES, st.integers(1, 1000))
def test_rounding_is_a_minor_unit_for_each_row_and_no_more(expected: int, delta: int, currency: str, rows: int) -> None:
    found = cause_of_difference(expected, expected + delta, currency, Parts(rows=rows))
    assert (found and found.name) == ("rounding-unit" if abs(delta) <= rows else None)


def told(case: Case) -> bool:
    return case.cause in CAUSES and case.cause_detail != ""


@HALF
@given(steps("orders", "billing_item", "payout_item"), st.data())
def test_every_case_of_an_order_has_a_cause_that_its_books_alone_decide(what: list[Step], data: st.DataObject) -> None:
    log = happened(what)
    with tempfile.TemporaryDirectory() as path:
        bench = order_bench(Path(path))
        try:
            straightforward(bench, messages_of(log.events))
            states: dict[Any, Any] = bench.states()
        finally:
            bench.close()
    changes = changes_of(log)
    shuffled = data.draw(st.permutations([*changes, *changes[:3]]))
    for order_id, state in states.items():
        books = OrderBooks(order_id)
        for change in shuffled:
            if change.key == order_id:
                merge(books, change)
        for case in state.cases.values():
            assert told(case)
            assert likely_cause(case.finding, books) == (case.cause, case.cause_detail)


@HALF
@given(steps("statement", "payout"), partials())
def test_every_case_of_a_statement_has_a_cause(what: list[Step], specs: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as path:
        bench = statement_bench(Path(path), partition_count=PARTIAL_PARTITIONS)
        try:
            straightforward(bench, messages_of(happened(what).events) + partial_messages(specs))
            cases = [case for state in bench.states().values() for case in state.cases.values()]
        finally:
            bench.close()
    assert [case for case in cases if not told(case)] == []


@HALF
@given(steps("orders", "billing_item", "payout_item"))
def test_the_same_log_is_told_in_the_same_bytes(what: list[Step]) -> None:
    messages = messages_of(happened(what).events)
    told_by = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as path:
            bench = order_bench(Path(path))
            try:
                straightforward(bench, messages)
                told_by.append(bench.sent)
            finally:
                bench.close()
    assert told_by[0] == told_by[1]
