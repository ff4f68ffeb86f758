"""States and partials come back from their bytes as they were, whatever the size of their numbers."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconcile.finding import Evidence, Finding
from reconcile.lifecycle import Case
from streams.codec import dumps, loads
from streams.contributions import Contribution
from streams.messages import PartialMessage, decode_partials_topic, encode_partial_message
from streams.order_state import OrderState, decode_order_state
from streams.statement_state import StatementState, decode_partial, decode_statement_state, encode_partial
from trueup.model.errors import InvalidRecord
from trueup.model.registers import ItemTotal, LatestItem, LineTotal, Mark, Partial, PartialVersion, Register
from trueup.model.tables import BillingItem, Order, Payout, PayoutItem, Statement

IDS = st.integers(-(2**63), 2**64 - 1) | st.text(min_size=1, max_size=5)
TEXTS = st.text(max_size=5)
AMOUNTS = st.integers(-(10**38), 10**38)
TIMES = st.integers(0, 2**62)
NUMBERS = st.integers(0, 2**62)
CASES = st.builds(
    Case,
    st.builds(
        Finding, TEXTS, TEXTS, IDS, TIMES, st.sampled_from(("", "short", "long")), st.none() | AMOUNTS,
        st.none() | AMOUNTS, TEXTS, IDS, IDS, TEXTS,
        st.lists(st.builds(Evidence, TEXTS, TEXTS, IDS, NUMBERS, TIMES, NUMBERS, NUMBERS), max_size=2).map(tuple),
    ),
    st.sampled_from(("open", "auto-resolved", "regressed")), NUMBERS, TIMES, TIMES, st.none() | TIMES, TIMES, TIMES,
)  # fmt: skip
MARKS = st.lists(
    st.builds(Mark, TEXTS, TEXTS, IDS, NUMBERS, TIMES, TEXTS, IDS | AMOUNTS, IDS | AMOUNTS, NUMBERS, NUMBERS),
    max_size=3,
)
PARTIALS = st.builds(
    Partial,
    st.builds(PartialVersion, NUMBERS, NUMBERS),
    st.dictionaries(st.tuples(TEXTS, TEXTS), st.builds(ItemTotal, NUMBERS, AMOUNTS), max_size=3),
    st.dictionaries(st.tuples(IDS, TEXTS), st.builds(LineTotal, NUMBERS, AMOUNTS), max_size=3),
    st.lists(st.builds(LatestItem, TIMES, IDS, IDS, AMOUNTS, TEXTS), max_size=3).map(tuple),
    TIMES,
)


def registers(rows: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[Any, Any]]:
    held = st.builds(Register, TEXTS, IDS, NUMBERS, TIMES, TIMES, st.booleans(), st.none() | rows, NUMBERS, NUMBERS)
    return st.lists(held, max_size=3).map(lambda all_held: {(one.source, one.primary_key): one for one in all_held})


ORDERS = st.builds(
    Order, IDS, IDS, TEXTS, AMOUNTS, AMOUNTS, AMOUNTS, st.none() | TEXTS, TEXTS, st.none() | TIMES, TIMES
)
ITEMS = st.builds(BillingItem, IDS, IDS, IDS, IDS, TEXTS, TEXTS, AMOUNTS, TEXTS, TEXTS, TIMES, TIMES)
LINES = st.builds(PayoutItem, IDS, IDS, IDS, IDS, AMOUNTS, TEXTS)
STATEMENTS = st.builds(
    Statement, IDS, IDS, TEXTS, NUMBERS, NUMBERS, TEXTS, NUMBERS, AMOUNTS, TEXTS, st.none() | TIMES, TIMES
)
PAYOUTS = st.builds(Payout, IDS, IDS, IDS, TEXTS, AMOUNTS, TEXTS, TEXTS, st.none() | TEXTS, TIMES)
CONTRIBUTIONS = st.lists(
    st.builds(Contribution, st.none() | IDS, st.none() | IDS, TEXTS, TEXTS, AMOUNTS, TIMES, IDS, IDS), max_size=3
)


@given(IDS, st.data())
def test_an_order_comes_back_as_it_was(identifier: int | str, data: st.DataObject) -> None:
    state = OrderState(identifier)
    state.month_days, state.due_us = data.draw(st.none() | st.integers(-(2**31), 2**31)), data.draw(st.none() | TIMES)
    state.judged = data.draw(st.booleans())
    state.contributed = data.draw(CONTRIBUTIONS)
    state.cases = {case.key: case for case in data.draw(st.lists(CASES, max_size=3))}
    books = state.books
    books.newest_us, books.marks = data.draw(TIMES), data.draw(MARKS)
    books.orders, books.items, books.lines = (data.draw(registers(rows)) for rows in (ORDERS, ITEMS, LINES))
    back = decode_order_state(state.encode())
    assert back.books.order_id == identifier
    for name in ("orders", "items", "lines", "marks", "newest_us"):
        assert getattr(back.books, name) == getattr(books, name)
    for name in ("month_days", "due_us", "judged", "contributed", "cases"):
        assert getattr(back, name) == getattr(state, name)
    assert back.stored_due_us == state.due_us


@given(IDS, st.data())
def test_a_statement_comes_back_as_it_was(identifier: int | str, data: st.DataObject) -> None:
    state = StatementState(identifier)
    state.month_days, state.due_us = data.draw(st.none() | st.integers(-(2**31), 2**31)), data.draw(st.none() | TIMES)
    state.judged = data.draw(st.booleans())
    state.published = data.draw(st.lists(AMOUNTS | TEXTS | st.none(), max_size=3))
    state.cases = {case.key: case for case in data.draw(st.lists(CASES, max_size=3))}
    books = state.books
    books.newest_us, books.marks = data.draw(TIMES), data.draw(MARKS)
    books.statements, books.payouts = data.draw(registers(STATEMENTS)), data.draw(registers(PAYOUTS))
    books.partials = data.draw(st.dictionaries(st.integers(0, 9), PARTIALS, max_size=2))
    books.strays = data.draw(st.dictionaries(st.tuples(IDS, st.integers(0, 9)), PARTIALS, max_size=2))
    back = decode_statement_state(state.encode())
    assert back.books.statement_id == identifier
    for name in ("statements", "payouts", "partials", "strays", "marks", "newest_us"):
        assert getattr(back.books, name) == getattr(books, name)
    for name in ("month_days", "due_us", "judged", "published", "cases"):
        assert getattr(back, name) == getattr(state, name)


@given(PARTIALS, st.none() | IDS, st.none() | IDS, st.integers(0, 9))
def test_a_partial_comes_back_as_it_was(
    partial: Partial, statement_id: int | str | None, payout_id: int | str | None, partition: int
) -> None:
    assert decode_partial(loads(dumps(encode_partial(partial)))) == partial
    _key, value = encode_partial_message(statement_id, payout_id, partition, partial)
    assert decode_partials_topic(value) == PartialMessage(statement_id, payout_id, partition, partial)


@given(st.binary() | st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.sampled_from(("watermarks",)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(("watermarks", "1", "x")), inner),
).map(dumps))  # fmt: skip
def test_what_is_no_partial_is_refused_or_has_its_shape(value: bytes) -> None:
    code = ""
    decoded = None
    try:
        decoded = decode_partials_topic(value)
    except InvalidRecord as refused:
        code = refused.code
    assert code == "malformed-partial" or isinstance(decoded, dict | PartialMessage)


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
))  # fmt: skip
def test_values_of_any_size_come_back_exactly(value: Any) -> None:
    back = loads(dumps(value))
    assert back == value
    assert repr(back) == repr(value)
