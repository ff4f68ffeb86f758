"""Whatever a message holds, it decodes to a change that can be kept and written, or is refused with a code."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from clickhouse.columns import mirror_row, to_arrow
from clickhouse.schema import DEFINITIONS
from streams.merge import merge
from streams.order_state import OrderState, decode_order_state
from streams.statement_state import StatementState, decode_statement_state
from tests.source_log import DECODERS, FAR_US, START_US, envelope, row_of
from trueup.model.change import Change
from trueup.model.errors import InvalidRecord
from trueup.model.tables import ORDER_TABLES, STATEMENT_TABLES

CODES = {
    "malformed-json", "missing-field", "wrong-type", "unknown-operation", "out-of-range", "not-a-number", "not-finite",
    "too-fine", "amount-overflow", "unknown-currency", "float-amount",
}  # fmt: skip
TABLES = st.sampled_from(sorted(DECODERS))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.sampled_from(("USD", "JPY", "NaN", "9" * 34, "-1e33", "paid", "2026-01-01T00:00:00Z")),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@st.composite
def mutated(draw: Any) -> tuple[str, bytes]:
    """A valid envelope of some table, with some of its values replaced or left out."""
    table = draw(TABLES)
    op = draw(st.sampled_from("cudr"))
    row = row_of(table)
    value = orjson.loads(envelope(None if op in "cr" else row, None if op == "d" else row, op, 7, START_US))
    for _ in range(draw(st.integers(1, 4))):
        target = value
        while True:
            name = draw(st.sampled_from(sorted(target)))
            if isinstance(target[name], dict) and target[name] and draw(st.integers(0, 4)):
                target = target[name]
                continue
            break
        if draw(st.integers(0, 4)):
            target[name] = draw(JSON)
        else:
            del target[name]
        if not value:
            break
    return table, orjson.dumps(value)


def decode(table: str, value: bytes) -> Change | None:
    try:
        decoded = DECODERS[table].decode(value, 0, 0)
    except InvalidRecord as error:
        refused = error
    else:
        return decoded if isinstance(decoded, Change) else None
    assert refused.code in CODES
    assert refused.what.encode()
    return None


def assert_usable(change: Change) -> None:
    """It is written to the mirror, and where a stage joins its table, it is merged, kept and read back."""
    written = to_arrow(DEFINITIONS[change.table.name], [mirror_row(change)])
    assert written.num_rows == 1
    assert 0 <= change.commit_us < FAR_US * 10
    if change.table in ORDER_TABLES:
        state = OrderState(change.key)
        assert merge(state.books, change)
        assert not merge(state.books, change)
        assert decode_order_state(state.encode()).encode() == state.encode()
    elif change.table in STATEMENT_TABLES:
        statement = StatementState(change.key)
        assert merge(statement.books, change)
        assert not merge(statement.books, change)
        assert decode_statement_state(statement.encode()).encode() == statement.encode()


@given(mutated())
def test_a_mutated_message_is_usable_or_refused(message: tuple[str, bytes]) -> None:
    change = decode(*message)
    if change is not None:
        assert_usable(change)
    assert message


@given(TABLES, st.binary() | JSON.map(orjson.dumps))
def test_garbage_is_refused(table: str, value: bytes) -> None:
    assert decode(table, value) is None


@given(TABLES, st.integers(0, 600), st.integers(0, 255))
def test_a_flipped_byte_is_usable_or_refused(table: str, place: int, byte: int) -> None:
    value = bytearray(envelope(row_of(table), row_of(table), "u", 7, START_US))
    value[place % len(value)] = byte
    change = decode(table, bytes(value))
    if change is not None:
        assert_usable(change)
    assert value[place % len(value)] == byte
