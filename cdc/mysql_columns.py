"""The columns of a MySQL or MariaDB table, as its catalogue or the binlog describes them. Pure.

Both descriptions come to one form, so that a row that was copied and a row that was streamed become the same message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pymysqlreplication.constants import FIELD_TYPE

from cdc.source_tables import SourceTable
from trueup.model.errors import InvalidRecord

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

_CATALOGUE_TYPES: Final[dict[str, str]] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint"), "int"),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), "text"),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), "binary"),
    **dict.fromkeys(
        ("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
         "geometrycollection", "geomcollection"),
        "geometry",
    ),
    **{
        name: name
        for name in ("float", "double", "decimal", "date", "time", "datetime", "timestamp", "year", "enum", "set",
                     "bit", "json")
    },
}  # fmt: skip

_LABEL: Final = re.compile(r"'((?:[^']|'')*)'")

_FITTING: Final[dict[str, frozenset[str]]] = {
    "id": frozenset({"int", "text", "decimal"}),
    "text": frozenset({"text", "enum", "set", "decimal"}),
    "currency": frozenset({"text", "enum"}),
    "money": frozenset({"decimal", "int", "text"}),
    "time": frozenset({"datetime", "timestamp", "int"}),
    "date": frozenset({"date"}),
    "int": frozenset({"int"}),
    "flag": frozenset({"int", "bit"}),
    "json": frozenset({"json", "text"}),
}
"""Kind → types whose values the decoder takes, as `cdc/mysql_values.py` writes them."""


class MysqlColumn(NamedTuple):
    """One column. `size` is the digits behind the second of times, the bits of `bit`, the bytes of a fixed `binary`, or 0;
    `labels` are the values of `enum` and `set`.
    """

    name: str
    type: str
    nullable: bool
    size: int = 0
    labels: tuple[str, ...] = ()


def catalogue_column(row: Mapping[str, Any]) -> MysqlColumn:
    """A column from a row of `information_schema.COLUMNS`; a type that is not known keeps its name."""
    data_type = str(row["DATA_TYPE"]).lower()
    kind = _CATALOGUE_TYPES.get(data_type, data_type)
    size = 0
    if kind in {"time", "datetime", "timestamp"}:
        size = int(row["DATETIME_PRECISION"] or 0)
    elif kind == "bit":
        size = int(row["NUMERIC_PRECISION"] or 1)
    elif data_type == "binary":
        size = int(row["CHARACTER_MAXIMUM_LENGTH"])
    labels: tuple[str, ...] = ()
    if kind in {"enum", "set"}:
        labels = tuple(label.replace("''", "'") for label in _LABEL.findall(str(row["COLUMN_TYPE"])))
    return MysqlColumn(str(row["COLUMN_NAME"]), kind, row["IS_NULLABLE"] == "YES", size, labels)


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


def misfit(table: SourceTable, columns: tuple[MysqlColumn, ...]) -> InvalidRecord | None:
    """Why a table with these columns cannot be read; None when it can: columns that nobody declared may come and go."""
    held = {column.name: column.type for column in columns}
    if columns and not any(held):
        what = f"the binlog does not name the columns of table {table.label}: set binlog_row_metadata to FULL"
        return InvalidRecord("missing-column", what)
    missing = [name for name in dict.fromkeys((*table.columns, *table.primary_key)) if name not in held]
    if missing:
        return InvalidRecord("missing-column", f"table {table.label} has no column {', '.join(missing)}")
    retyped = [f"{name} ({held[name]}) as {kind}" for name, kind in table.kinds if held[name] not in _FITTING[kind]]
    if retyped:
        what = f"the type of a column of table {table.label} cannot be read: {', '.join(retyped)}"
        return InvalidRecord("wrong-type", what)
    return None
