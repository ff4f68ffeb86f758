"""Rows become Arrow columns exactly, and mirrors of changes carry scaled money and their provenance."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from clickhouse.columns import CHUNK_ROWS, mirror_row, to_arrow
from clickhouse.definition import LABEL, LABELS, MINOR, MONEY, TIME, ColumnType, Definition
from clickhouse.schema import DEFINITIONS, MIRRORS
from trueup.model.change import Change
from trueup.model.tables import BILLING_ITEM, ORDERS, RULE, Table

ALL_MONEY = (0, 1, -1, 123_456, 2**63 - 1, -(2**63), 2**63, 10**38 - 1, 1 - 10**38)


def table_of(clickhouse_type: str) -> Definition:
    return Definition("sample", "a sample", (ColumnType("value", clickhouse_type, "a value"),), ("value",))


def encoded(clickhouse_type: str, values: list[object]) -> pa.ChunkedArray:
    return to_arrow(table_of(clickhouse_type), [(value,) for value in values]).column(0)


def change(table: Table, row: tuple[object, ...] | None, *, deleted: bool = False) -> Change:
    return Change(table, "shard-1", "A-7", 55, 900, 1_700_000_000_000_001, deleted, row, (), 3, 12)


@pytest.mark.parametrize("values", [list(ALL_MONEY), list(ALL_MONEY[:5]), []])
def test_money_is_exact_whether_or_not_it_fits_64_bits(values: list[object]) -> None:
    column = encoded(MONEY, values)
    assert column.type == pa.decimal128(38, 4)
    assert column.to_pylist() == [Decimal(f"{value}E-4") for value in values]


@pytest.mark.parametrize("wide", [1, 10**30])
def test_money_may_be_null_where_the_column_allows_it(wide: int) -> None:
    column = encoded(f"Nullable({MONEY})", [None, wide, None, -wide])
    assert column.to_pylist() == [None, Decimal(f"{wide}E-4"), None, Decimal(f"{-wide}E-4")]


def test_an_amount_of_more_than_38_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encoded(MONEY, [10**38])


@pytest.mark.parametrize("values", [["A-1", "ü€"], [7, -3], [7, "A-1"], ["A-1", 7], [2**70, 1], [b"\xff\x00", b""]])
def test_ids_keep_their_text_and_bytes_stay_as_they_are(values: list[object]) -> None:
    expected = [value if isinstance(value, bytes) else str(value).encode() for value in values]
    assert encoded("String", values).to_pylist() == expected


def test_chunks_of_different_id_types_make_one_table() -> None:
    values: list[object] = [1] * CHUNK_ROWS + ["A"] * CHUNK_ROWS + [b"\xff"]
    column = encoded("String", values)
    assert column.num_chunks == 1
    assert column.to_pylist() == [b"1"] * CHUNK_ROWS + [b"A"] * CHUNK_ROWS + [b"\xff"]


def test_arrays_may_be_empty_and_hold_38_digits() -> None:
    assert encoded(LABELS, [[], ["a", "b"], []]).to_pylist() == [[], [b"a", b"b"], []]
    assert encoded(f"Array({MINOR})", [[10**38 - 1, -5], []]).to_pylist() == [[Decimal(10**38 - 1), Decimal(-5)], []]
    assert encoded("Array(Int64)", [[], []]).to_pylist() == [[], []]


def test_times_dates_flags_and_labels() -> None:
    assert encoded(TIME, [0, -1]).cast(pa.int64()).to_pylist() == [0, -1]
    assert encoded(f"Nullable({TIME})", [None, 5]).cast(pa.int64()).to_pylist() == [None, 5]
    assert encoded("Date32", [-1, 20_000]).cast(pa.int32()).to_pylist() == [-1, 20_000]
    assert encoded("Bool", [True, False]).to_pylist() == [True, False]
    assert encoded(LABEL, ["open", ""]).to_pylist() == [b"open", b""]


def test_a_null_in_a_required_column_and_a_short_row_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sample\.value is not nullable"):
        encoded(MONEY, [1, None])
    with pytest.raises(ValueError, match="has 1 columns"):
        to_arrow(table_of("String"), [("a", "b")])
    with pytest.raises(ValueError, match="shorter"):
        to_arrow(table_of("String"), [("a",), ()])


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=lambda definition: definition.name)
def test_every_table_has_an_arrow_schema(definition: Definition) -> None:
    assert to_arrow(definition, []).column_names == [column.name for column in definition.columns]


@pytest.mark.parametrize(("currency", "scaled"), [("USD", 12_300), ("JPY", 1_230_000), ("KWD", 1_230), ("CLF", 123)])
def test_a_mirror_row_scales_money_by_its_currency(currency: str, scaled: int) -> None:
    row = (1, "A-7", 7, 9, "sale", "no", 123, currency, "paid", 4, 5)
    expected = (1, "A-7", 7, 9, "sale", "no", scaled, currency, "paid", 4, 5)
    provenance = ("shard-1", 900, 0, 1_700_000_000_000_001, 3, 12)
    assert mirror_row(change(BILLING_ITEM, row)) == expected + provenance


def test_a_mirror_row_finds_every_amount() -> None:
    row = ("A-7", 7, "USD", 100, 20, 3, None, "paid", None, 5)
    assert mirror_row(change(ORDERS, row))[3:6] == (10_000, 2_000, 300)
    assert mirror_row(change(RULE, (1, "daily", True, 5, "USD", False)))[3] == 500


def test_a_delete_without_its_row_keeps_both_keys() -> None:
    mirrored = mirror_row(change(BILLING_ITEM, None, deleted=True))
    assert mirrored[:2] == (55, "A-7")
    assert mirrored[len(BILLING_ITEM.columns) + 2] == 1
    assert to_arrow(MIRRORS["billing_item"], [mirrored]).num_rows == 1


def test_a_delete_with_its_row_keeps_it() -> None:
    row = (1, "A-7", 7, 9, "sale", "no", 123, "USD", "paid", 4, 5)
    assert mirror_row(change(BILLING_ITEM, row, deleted=True))[:7] == (1, "A-7", 7, 9, "sale", "no", 12_300)
