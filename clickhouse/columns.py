"""Rows to Arrow columns, column by column: what an insert into ClickHouse sends. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate, chain
from typing import Any, Final, NamedTuple

import pyarrow as pa

from clickhouse.definition import MINOR, MONEY, TIME, Definition
from trueup.model.change import Change
from trueup.model.money import EXPONENTS, SCALE_DIGITS
from trueup.model.tables import TABLES, Table

Encode = Callable[[Sequence[Any]], pa.Array]
"""Plain values of one column → Arrow array; None is a null."""

_PLAIN: Final = {
    "Bool": pa.bool_(),
    "Date32": pa.date32(),
    "Float64": pa.float64(),
    "Int64": pa.int64(),
    "UInt8": pa.uint8(),
    "UInt16": pa.uint16(),
    "UInt32": pa.uint32(),
    "UInt64": pa.uint64(),
    TIME: pa.timestamp("us", "UTC"),
}
_DECIMALS: Final = {MONEY: pa.decimal128(38, 4), MINOR: pa.decimal128(38, 0)}
_LIMIT: Final = 10**38
_ZERO: Final = (0).to_bytes(16, "little")


def to_arrow(definition: Definition, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """The rows as an Arrow table for `definition`.

    A row is in column order and holds plain values: ids int or str; text str; bytes for raw values; money and minor
    units the integer inside the column's decimal (`Decimal(38, 4)`: major units × 10⁴); times in microseconds and dates
    in days since 1970 UTC; lists for arrays.

    Errors: ValueError when a row has another length, a column that is not nullable has None, or an amount has more than
    38 digits (Int128 would take it, and ClickHouse would show nonsense).
    """
    chunks = [_record_batch(definition, rows[at : at + CHUNK_ROWS]) for at in range(0, len(rows) or 1, CHUNK_ROWS)]
    return pa.Table.from_batches(chunks).combine_chunks()


CHUNK_ROWS: Final = 1000
"""Rows transposed at a time: their values stay in the processor's cache, which halves the time of wide rows."""


def _record_batch(definition: Definition, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [() for _ in definition.columns]
    if len(columns) != len(definition.columns):
        raise ValueError(f"{definition.name} has {len(definition.columns)} columns, the rows have {len(columns)}")
    arrays = []
    for column, values in zip(definition.columns, columns, strict=True):
        array = _encoder(column.type)(values)
        if array.null_count and not column.type.startswith("Nullable("):
            raise ValueError(f"{definition.name}.{column.name} is not nullable and has None")
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in definition.columns])


@cache
def _encoder(clickhouse_type: str) -> Encode:
    """How the values of a ClickHouse type become an Arrow array."""
    for wrapper in ("Nullable(", "LowCardinality("):
        if clickhouse_type.startswith(wrapper):
            return _encoder(clickhouse_type[len(wrapper) : -1])
    if clickhouse_type.startswith("Array("):
        return _list_encoder(_encoder(clickhouse_type[len("Array(") : -1]))
    if clickhouse_type == "String":
        return _strings
    decimal = _DECIMALS.get(clickhouse_type)
    if decimal is not None:
        return lambda values: _decimals(values, decimal)
    plain = _PLAIN[clickhouse_type]
    return lambda values: pa.array(values, plain)


def _strings(values: Sequence[Any]) -> pa.Array:
    """Text, bytes or integer ids, as UTF-8 bytes; a column is nearly always of one kind."""
    try:
        if values and type(values[0]) is int:
            return pa.array(values, pa.int64()).cast(pa.string()).cast(pa.binary())
        return pa.array(values, pa.binary())
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        known = (bytes, str, type(None))
        return pa.array([value if isinstance(value, known) else str(value) for value in values], pa.binary())


def _decimals(values: Sequence[int | None], decimal: pa.DataType) -> pa.Array:
    """Integers inside a decimal: vectorised while they fit 64 bits, else from 16-byte little-endian integers."""
    try:
        narrow = pa.array(values, pa.int64())
    except (pa.ArrowInvalid, OverflowError):
        if any(value is not None and abs(value) >= _LIMIT for value in values):
            raise ValueError(f"an amount does not fit {decimal}") from None
        validity = pa.array([value is not None for value in values], pa.bool_()).buffers()[1]
        data = b"".join([_ZERO if value is None else value.to_bytes(16, "little", signed=True) for value in values])
        return pa.Array.from_buffers(decimal, len(values), [validity, pa.py_buffer(data)])
    # The cast to scale 0 only widens; reading its buffers at the column's scale is what makes it `scaled`.
    return pa.Array.from_buffers(decimal, len(values), narrow.cast(pa.decimal128(38, 0)).buffers(), narrow.null_count)


def _list_encoder(encode: Encode) -> Encode:
    def lists(values: Sequence[Sequence[Any]]) -> pa.Array:
        offsets = pa.array(accumulate(map(len, values), initial=0), pa.int32())
        return pa.ListArray.from_arrays(offsets, encode(list(chain.from_iterable(values))))

    return lists


class _Plan(NamedTuple):
    """Where a table's row has its money, its currency and its key, and what stands in for an unknown row."""

    money: tuple[int, ...]
    currency: int
    primary_key: int
    topic_key: int
    unknown: tuple[object, ...]


_FACTORS: Final = {code: 10 ** (SCALE_DIGITS - digits) for code, digits in EXPONENTS.items() if digits <= SCALE_DIGITS}
"""Currency → minor units to the integer inside `Decimal(38, 4)`, as `trueup.model.money.scaled`."""

_UNKNOWN: Final = {"int": 0, "money": 0, "time": 0, "date": 0, "flag": False}


def _plan(table: Table) -> _Plan:
    return _Plan(
        money=tuple(place for place, column in enumerate(table.columns) if column.kind == "money"),
        currency=next(place for place, column in enumerate(table.columns) if column.kind == "currency"),
        primary_key=table.place(table.primary_key),
        topic_key=table.place(table.topic_key),
        unknown=tuple(None if column.nullable else _UNKNOWN.get(column.kind, "") for column in table.columns),
    )


_PLANS: Final = {name: _plan(table) for name, table in TABLES.items()}


def mirror_row(change: Change) -> tuple[object, ...]:
    """The row of the table's mirror: source columns with scaled money, then `PROVENANCE`.

    A delete that came without its row keeps its keys and zero values elsewhere (0, "", 1970, null where allowed).
    """
    plan = _PLANS[change.table.name]
    cells: list[Any]
    if change.row is None:
        cells = list(plan.unknown)
        cells[plan.topic_key] = change.key
        cells[plan.primary_key] = change.primary_key
    else:
        # Decoding made the currency a known code and the amounts int.
        cells = list(change.row)
        factor = _FACTORS[cells[plan.currency]]
        for place in plan.money:
            cells[place] *= factor
    cells += (change.source, change.version, int(change.deleted), change.commit_us, change.partition, change.offset)
    return tuple(cells)
