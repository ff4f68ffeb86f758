"""Rows of every table with edge values in every column, for round trips through ClickHouse."""

from __future__ import annotations

from typing import Any, Final

import orjson

from clickhouse.definition import LABEL, LABELS, MINOR, MONEY, TIME, Definition
from clickhouse.schema import ORDER_WIDE

Row = tuple[Any, ...]

MONEY_EDGE: Final = 10**38 - 1
"""34 digits before the point, four behind: all that `Decimal(38, 4)` holds."""

_PLAIN: Final[dict[str, tuple[Any, Any, Any]]] = {
    "String": ("A-1 ü€ '\\\n", "", "金額"),
    LABEL: ("open", "", "ü"),
    LABELS: (["a", "ü"], [], [""]),
    "Array(Int64)": ([1, -(2**63)], [], [2**63 - 1]),
    f"Array({MONEY})": ([MONEY_EDGE, -MONEY_EDGE, 1], [], [0]),
    f"Array({MINOR})": ([MONEY_EDGE, -MONEY_EDGE, 1], [], [0]),
    MONEY: (MONEY_EDGE, -MONEY_EDGE, 1),
    TIME: (1_700_000_000_123_456, 0, 4_000_000_000_000_001),
    "Date32": (20_000, 0, -25_000),
    "Float64": (1.25, 0.0, -0.5),
    "Bool": (True, False, True),
    "Int64": (2**63 - 1, -(2**63), 0),
    "UInt8": (0, 0, 0),
    "UInt16": (65_535, 0, 3),
    "UInt32": (2**32 - 1, 0, 1),
    "UInt64": (2**64 - 1, 0, 7),
}


def edge_rows(definition: Definition) -> list[Row]:
    """Three rows: large, zero or null, and odd values; their keys differ."""
    return [tuple(_value(column.type, place) for column in definition.columns) for place in range(3)]


def _value(clickhouse_type: str, place: int) -> Any:
    if clickhouse_type.startswith("Nullable("):
        return None if place == 1 else _PLAIN[clickhouse_type[len("Nullable(") : -1]][place]
    if clickhouse_type.startswith("Array(") and clickhouse_type not in _PLAIN:
        inner = clickhouse_type[len("Array(") : -1]
        return ([_value(inner, 0), _value(inner, 1)], [], [_value(inner, 2)])[place]
    return _PLAIN[clickhouse_type][place]


def changed(definition: Definition, row: tuple[Any, ...], **values: Any) -> tuple[Any, ...]:
    names = [column.name for column in definition.columns]
    assert values.keys() <= set(names)
    return tuple(values.get(name, held) for name, held in zip(names, row, strict=True))


def encoded_state(entity_id: int | str, content: bytes = b"") -> bytes:
    """What matters of an encoded state to ClickHouse: JSON whose second entry is the entity's id."""
    return orjson.dumps([1, entity_id, content.hex()])


def order_row(order_id: int | str, **changed: Any) -> Row:
    """A row of `order_wide`, all zero but for what is given."""
    values: dict[str, Any] = {column.name: _zero(column.type) for column in ORDER_WIDE.columns} | {
        "order_id": order_id,
        "order_key": orjson.dumps(order_id).decode(),
        "month": 19_662,
        "verdict": "matched",
        "state": encoded_state(order_id),
    }
    return tuple((values | changed).values())


def _zero(clickhouse_type: str) -> Any:
    if clickhouse_type.startswith("Nullable("):
        return None
    if clickhouse_type.startswith("Array("):
        return []
    return "" if "String" in clickhouse_type else 0
