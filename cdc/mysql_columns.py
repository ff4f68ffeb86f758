"""The columns of a MySQL or MariaDB table, as its catalogue describes them. Pure.

The binlog's own description (`cdc/mysql_table_map.py`) comes to the same form, so that a row that was copied and a row that was
streamed become the same message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

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
