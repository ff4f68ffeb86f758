"""Whether the columns of a MySQL or MariaDB table can be read as what is declared of them."""

from __future__ import annotations

from typing import Final

from cdc.mysql_columns import MysqlColumn
from cdc.source_tables import SourceTable
from trueup.model.errors import InvalidRecord

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
