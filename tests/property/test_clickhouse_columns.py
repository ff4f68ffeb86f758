"""Whatever the values, the Arrow columns hold exactly them."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from clickhouse.columns import to_arrow
from clickhouse.definition import MONEY, TIME, ColumnType, Definition

MONEY_INSIDE = st.one_of(st.integers(-(2**64), 2**64), st.integers(1 - 10**38, 10**38 - 1))
SAMPLE = Definition(
    "sample",
    "a sample",
    (
        ColumnType("id", "String", "an id"),
        ColumnType("amount", MONEY, "money"),
        ColumnType("maybe", f"Nullable({MONEY})", "money or nothing"),
        ColumnType("amounts", f"Array({MONEY})", "money, many times"),
        ColumnType("names", "Array(String)", "texts"),
        ColumnType("at", TIME, "a time"),
        ColumnType("counter", "UInt64", "a counter"),
    ),
    ("id",),
)
ROWS = st.lists(
    st.tuples(
        st.one_of(st.integers(-(2**80), 2**80), st.text(), st.binary()),
        MONEY_INSIDE,
        st.none() | MONEY_INSIDE,
        st.lists(MONEY_INSIDE, max_size=3),
        st.lists(st.text(), max_size=3),
        st.integers(-(2**50), 2**50),
        st.integers(0, 2**64 - 1),
    ),
    max_size=12,
)


def as_bytes(value: int | str | bytes) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def as_money(value: int) -> Decimal:
    return Decimal(f"{value}E-4")


@given(ROWS)
def test_columns_hold_what_the_rows_held(
    rows: list[tuple[int | str | bytes, int, int | None, list[int], list[str], int, int]],
) -> None:
    table = to_arrow(SAMPLE, rows)
    held = list(zip(*(column.to_pylist() for column in table.columns[:5]), strict=True))
    assert held == [
        (
            as_bytes(entity_id),
            as_money(amount),
            None if maybe is None else as_money(maybe),
            [as_money(one) for one in amounts],
            [name.encode() for name in names],
        )
        for entity_id, amount, maybe, amounts, names, _, _ in rows
    ]
    assert table.column("at").cast("int64").to_pylist() == [row[5] for row in rows]
    assert table.column("counter").to_pylist() == [row[6] for row in rows]
