"""The source tables of the settlement schema for MySQL and MariaDB: the same columns, keys and indexes as on PostgreSQL."""

from __future__ import annotations

from typing import Final

from trueup.model.money import SCALE_DIGITS
from trueup.model.tables import TABLES, Kind, Table

_SQL_TYPES: Final[dict[Kind, str]] = {
    "id": "BIGINT",
    "text": "VARCHAR(255)",
    "currency": "VARCHAR(3)",
    "money": f"DECIMAL(38,{SCALE_DIGITS})",
    "time": "DATETIME(6)",
    "date": "DATE",
    "int": "INT",
    "flag": "BOOLEAN",
    "json": "JSON",
}
_INDEXES: Final = (
    ("billing_item", ("order_id", "kind", "source_no")),
    ("billing_item", ("statement_id",)),
    ("payout_item", ("payout_id",)),
    ("payout_item", ("billing_item_id",)),
    ("payout", ("statement_id",)),
    ("payout", ("channel_ref",)),
)


def create_statements(database: str) -> list[str]:
    """What makes the database and every table that is missing. Times are UTC without a zone."""
    made = f"CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    return [made, *(_table_statement(database, table) for table in TABLES.values())]


def _table_statement(database: str, table: Table) -> str:
    columns = [
        f"`{column.name}` {_SQL_TYPES[column.kind]} {'NULL' if column.nullable else 'NOT NULL'}"
        for column in table.columns
    ]
    keys = [
        f"KEY `{name}_{number}` (`{'`, `'.join(indexed)}`)"
        for number, (name, indexed) in enumerate(_INDEXES)
        if name == table.name
    ]
    inside = ", ".join([*columns, f"PRIMARY KEY (`{table.primary_key}`)", *keys])
    return f"CREATE TABLE IF NOT EXISTS `{database}`.`{table.name}` ({inside}) ENGINE=InnoDB"
