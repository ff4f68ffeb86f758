"""The columns of a MySQL or MariaDB table as a table-map event of the binlog describes them."""

from __future__ import annotations

from typing import Any, Final

from pymysqlreplication.constants import FIELD_TYPE

from cdc.mysql_columns import MysqlColumn

_BINLOG_TYPES: Final[dict[int, str]] = {
    FIELD_TYPE.TINY: "int",
    FIELD_TYPE.SHORT: "int",
    FIELD_TYPE.INT24: "int",
    FIELD_TYPE.LONG: "int",
    FIELD_TYPE.LONGLONG: "int",
    FIELD_TYPE.FLOAT: "float",
    FIELD_TYPE.DOUBLE: "double",
    FIELD_TYPE.NEWDECIMAL: "decimal",
    FIELD_TYPE.DATE: "date",
    FIELD_TYPE.TIME2: "time",
    FIELD_TYPE.DATETIME2: "datetime",
    FIELD_TYPE.TIMESTAMP2: "timestamp",
    FIELD_TYPE.YEAR: "year",
    FIELD_TYPE.ENUM: "enum",
    FIELD_TYPE.SET: "set",
    FIELD_TYPE.BIT: "bit",
    FIELD_TYPE.JSON: "json",
    FIELD_TYPE.GEOMETRY: "geometry",
}
_TEXT_TYPES: Final = frozenset({FIELD_TYPE.VARCHAR, FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.BLOB})


def binlog_columns(columns: list[Any], null_bitmask: bytes) -> tuple[MysqlColumn, ...]:
    """The columns of a table-map event, as `pymysqlreplication` reads it."""
    return tuple(
        _binlog_column(column, nullable=bool(null_bitmask[place // 8] >> place % 8 & 1))
        for place, column in enumerate(columns)
    )


def _binlog_column(column: Any, *, nullable: bool) -> MysqlColumn:
    name = column.name or ""
    if column.type in _TEXT_TYPES:
        if column.collation_name != "binary":
            return MysqlColumn(name, "text", nullable)
        return MysqlColumn(name, "binary", nullable, column.max_length if column.type == FIELD_TYPE.STRING else 0)
    kind = _BINLOG_TYPES.get(column.type, f"type {column.type}")
    size = 0
    if kind in {"time", "datetime", "timestamp"}:
        size = column.fsp
    elif kind == "bit":
        size = column.bits
    labels = (column.enum_values or [""])[1:] if kind == "enum" else column.set_values or [] if kind == "set" else []
    return MysqlColumn(name, kind, nullable, size, tuple(labels))
