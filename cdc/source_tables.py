"""The tables that a reader reads: those of the settlement schema, and those that users' own specs name. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cdc.topics import source_topic
from trueup.model.tables import TABLES, Table
from trueup.settings import SourceSettings


class SourceTable(NamedTuple):
    """One table to read: its key columns and the columns that somebody needs; more are carried along.

    `kinds` are (column, kind), see `trueup/model/tables.py`, of the columns whose type matters.
    """

    schema: str
    name: str
    primary_key: tuple[str, ...]
    topic_key: tuple[str, ...]
    columns: tuple[str, ...]
    kinds: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> tuple[str, str]:
        """Schema and name, which tell it from every other table of its database."""
        return self.schema, self.name

    @property
    def label(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.name}"

    def topic(self, source_name: str) -> str:
        """The topic that its changes go to."""
        return source_topic(source_name, self.schema, self.name)


def settlement_tables(schema: str) -> tuple[SourceTable, ...]:
    """The tables of the settlement schema, in the order in which they are copied."""
    return tuple(_settlement_table(schema, table) for table in TABLES.values())


def _settlement_table(schema: str, table: Table) -> SourceTable:
    columns = tuple(column.name for column in table.columns)
    kinds = tuple((column.name, column.kind) for column in table.columns)
    return SourceTable(schema, table.name, (table.primary_key,), (table.topic_key,), columns, kinds)


def settlement_topics(sources: Iterable[SourceSettings]) -> dict[str, tuple[SourceSettings, Table]]:
    """The topics of the settlement tables of all sources, each with its source and its table."""
    return {
        source_topic(source.name, source.schema_name, table.name): (source, table)
        for source in sources
        for table in TABLES.values()
    }


def labels(tables: Iterable[SourceTable]) -> tuple[str, ...]:
    """The labels of tables, in the order of the alphabet."""
    return tuple(sorted(table.label for table in tables))
