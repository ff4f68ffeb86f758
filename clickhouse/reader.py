"""What people ask for on the command line: one order, one statement, counts, open discrepancies, running totals.

Rows come back as dictionaries by column name; amounts are Decimal in major units, times aware datetimes in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from clickhouse_connect.driver.client import Client

from clickhouse.client import translated_errors
from clickhouse.definition import FINAL_SETTINGS, Definition
from clickhouse.schema import DISCREPANCY, DISCREPANCY_EVENT, MIRRORS, ORDER_WIDE, QUARANTINE, STATEMENT_WIDE, WATERMARK
from trueup.model.tables import ORDER_TABLES, STATEMENT_TABLES, Table

Record = dict[str, Any]

OPEN: Final = ("open", "regressed")
"""Statuses in which a discrepancy stands."""


class Total(NamedTuple):
    """Running total of one statement in one currency; the amount as text with four digits, such as `12.3000`."""

    statement_id: str
    currency: str
    item_count: int
    amount: str


class Reader:
    """Reads the newest version of rows; every query binds its parameters.

    Errors of every method: UnavailableError when ClickHouse does not answer, ConfigurationError when the migrations
    were not applied.

    Args:
        client: from `clickhouse.client.connect`.
        database: name of the database.
    """

    def __init__(self, client: Client, database: str) -> None:
        self._client = client
        self._database = database

    def order(self, order_id: str) -> Record | None:
        """The wide row of an order without its state."""
        return next(iter(self._rows(ORDER_WIDE, "order_id = {id:String}", {"id": order_id})), None)

    def order_legs(self, order_id: str) -> dict[str, list[Record]]:
        """Mirror rows of an order by source table, with their provenance; deleted rows included."""
        return self._legs(ORDER_TABLES, order_id)

    def statement(self, statement_id: str) -> Record | None:
        """The wide row of a statement without its state."""
        return next(iter(self._rows(STATEMENT_WIDE, "statement_id = {id:String}", {"id": statement_id})), None)

    def statement_legs(self, statement_id: str) -> dict[str, list[Record]]:
        """Mirror rows of a statement and its payouts, with their provenance; deleted rows included."""
        return self._legs(STATEMENT_TABLES, statement_id)

    def order_discrepancies(self, order_id: str) -> list[Record]:
        """Everything ever found about an order, the latest raise first."""
        return self._rows(DISCREPANCY, "order_id = {id:String}", {"id": order_id}, "opened_at DESC, discrepancy_id")

    def statement_discrepancies(self, statement_id: str) -> list[Record]:
        """Everything ever found about a statement, the latest raise first."""
        return self._rows(
            DISCREPANCY, "statement_id = {id:String}", {"id": statement_id}, "opened_at DESC, discrepancy_id"
        )

    def open_discrepancies(self) -> list[Record]:
        """All discrepancies that stand, the latest raise first."""
        return self._rows(
            DISCREPANCY, "status IN {open:Array(String)}", {"open": list(OPEN)}, "opened_at DESC, discrepancy_id"
        )

    def discrepancy_keys(self) -> list[Record]:
        """Rule and entity of everything that was ever raised."""
        rows = self._query(
            f"SELECT DISTINCT rule, entity_kind, entity_id FROM {self._database}.discrepancy_event", {}
        ).named_results()
        return list(rows)

    def newest_statements(self, count: int) -> list[Record]:
        """Running totals of the statements that changed last: statement_id, items, amount, currency."""
        rows = self._query(
            "SELECT statement_id, running_count AS items, running_amount AS amount, currency "
            f"FROM {self._database}.statement_wide FINAL ORDER BY last_committed_at DESC, statement_id LIMIT {{count:UInt32}}",
            {"count": count},
        ).named_results()
        return list(rows)

    def events(self, discrepancy_ids: Sequence[str]) -> list[Record]:
        """The history of these discrepancies, oldest step first."""
        return self._rows(
            DISCREPANCY_EVENT,
            "discrepancy_id IN {ids:Array(String)}",
            {"ids": list(discrepancy_ids)},
            "discrepancy_id, version, at",
        )

    def watermarks(self) -> list[Record]:
        """How far each stage, partition and source has come."""
        return self._rows(WATERMARK, "1", {}, "stage, partition, source")

    def running_totals(self) -> list[Total]:
        """The running total of every statement, by currency."""
        rows = self._query(
            "SELECT statement_id, currency_code, item_count, toString(amount) "
            f"FROM {self._database}.statement_wide FINAL ARRAY JOIN totals_currency AS currency_code, "
            "totals_count AS item_count, totals_amount AS amount ORDER BY statement_id, currency_code",
            {},
        ).result_rows
        return [Total(*row) for row in rows]

    def counts(self) -> dict[str, dict[str, int]]:
        """Rows by table and by verdict or status: order_wide, statement_wide, discrepancy; quarantine by code."""
        counted = (
            (ORDER_WIDE, "verdict"),
            (STATEMENT_WIDE, "verdict"),
            (DISCREPANCY, "status"),
            (QUARANTINE, "code"),
        )
        return {
            table.name: dict(
                self._query(
                    f"SELECT {column}, count() FROM {self._database}.{table.name} FINAL GROUP BY {column} ORDER BY {column}",
                    {},
                ).result_rows
            )
            for table, column in counted
        }

    def _legs(self, tables: Sequence[Table], entity_id: str) -> dict[str, list[Record]]:
        legs = {}
        for table in tables:
            # FINAL over the found keys only; the bloom filter finds them, also when a row has changed its order since.
            keys = (
                f"(source, {table.primary_key}) IN (SELECT source, {table.primary_key} FROM {self._database}.{table.name} "
                f"WHERE {table.topic_key} = {{id:String}}) AND {table.topic_key} = {{id:String}}"
            )
            legs[table.name] = self._rows(MIRRORS[table.name], keys, {"id": entity_id}, f"source, {table.primary_key}")
        return legs

    def _rows(self, table: Definition, where: str, parameters: dict[str, Any], order: str = "1") -> list[Record]:
        columns = ", ".join(f"`{column.name}`" for column in table.columns if column.name != "state")
        query = f"SELECT {columns} FROM {self._database}.{table.name} FINAL WHERE {where} ORDER BY {order}"
        return list(self._query(query, parameters).named_results())

    def _query(self, query: str, parameters: dict[str, Any]) -> Any:
        with translated_errors(f"query of {self._database}"):
            return self._client.query(query, parameters=parameters, settings=FINAL_SETTINGS)
