"""What `trueup check` says of tables and topics that are not as they must be; no service is needed to say it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cdc.fitting import fits
from cdc.source_check import HeldColumn, HeldTable, NeededTable, table_faults
from cdc.source_tables import SourceTable
from cdc.topic_check import config_faults, topic_faults
from cdc.topics import TopicSpec
from cdc.values import fragment_of
from clickhouse.definition import ColumnType, Definition
from clickhouse.migrate import Migration
from clickhouse.table_check import HeldTable as HeldClickHouseTable
from clickhouse.table_check import migration_faults
from clickhouse.table_check import table_faults as clickhouse_faults
from trueup.model.tables import TABLES, Column
from trueup.upstream.schema import _SQL_TYPES

NEEDED = NeededTable(
    SourceTable("public", "line", ("entity", "number"), ("entity",), ("entity", "number", "amount")),
    (
        Column("entity", "text"),
        Column("number", "int"),
        Column("amount", "money"),
        Column("note", "text", nullable=True),
    ),
    "leg line of group receipt in spec ledger",
)
GOOD = HeldTable(
    {
        "entity": HeldColumn(25, "text", is_nullable=False),
        "number": HeldColumn(23, "integer", is_nullable=False),
        "amount": HeldColumn(1700, "numeric", is_nullable=False),
        "note": HeldColumn(1043, "character varying", is_nullable=True),
    },
    frozenset({"number", "entity"}),
    has_whole_before=True,
    is_readable=True,
)
OIDS = {
    "bigint": 20, "text": 25, "numeric(38, 4)": 1700, "timestamptz": 1184, "date": 1082, "integer": 23, "boolean": 16,
    "jsonb": 3802,
}  # fmt: skip


def said(held: HeldTable | None) -> list[str]:
    faults = table_faults(NEEDED, held, "localhost:5432/books", "trueup")
    assert all("localhost:5432/books, table public.line" in fault.where for fault in faults)
    assert all(fault.remedy for fault in faults)
    return [fault.what for fault in faults]


def test_a_table_as_declared_has_no_fault() -> None:
    assert said(GOOD) == []


def test_a_table_that_is_not_there_is_one_fault() -> None:
    assert said(None) == ["table public.line does not exist"]


def test_everything_about_a_table_is_told_at_once() -> None:
    columns = {**GOOD.columns, "amount": HeldColumn(701, "double precision", is_nullable=True)}
    del columns["number"]
    held = HeldTable(columns, frozenset({"entity"}), has_whole_before=False, is_readable=False)
    assert said(held) == [
        "the role trueup may not read it",
        "there is no column number",
        "column amount has the type double precision, which cannot be read as money",
        "column amount allows NULL, which would send its rows to quarantine",
        "its primary key is entity, not entity, number",
        "it does not have REPLICA IDENTITY FULL, so that changes do not tell the row before them",
    ]


def test_the_types_of_the_settlement_fit_their_kinds() -> None:
    kinds = {column.kind for table in TABLES.values() for column in table.columns}
    assert all(fits(kind, OIDS[_SQL_TYPES[kind]]) for kind in kinds)


@pytest.mark.parametrize(
    ("kind", "type_oid"),
    [("id", 16), ("id", 1184), ("text", 23), ("currency", 23), ("money", 701), ("money", 790), ("time", 1082),
     ("date", 1114), ("int", 1700), ("flag", 23), ("json", 23)],
)  # fmt: skip
def test_types_that_do_not_fit(kind: str, type_oid: int) -> None:
    assert not fits(kind, type_oid)


def test_an_enum_and_a_uuid_are_texts_and_ids() -> None:
    an_enum = 16_401
    assert fragment_of(an_enum)(b"posted") == b'"posted"'
    assert [fits(kind, type_oid) for kind in ("text", "id") for type_oid in (an_enum, 2950)] == [True] * 4


def topic(partitions: int, replicas: int) -> Any:
    each = {number: SimpleNamespace(replicas=[1] * replicas, error=None) for number in range(partitions)}
    return SimpleNamespace(partitions=each)


def test_topics() -> None:
    spec = TopicSpec("trueup.case-commands", 8, {"cleanup.policy": "delete", "retention.ms": "-1"})
    assert topic_faults(spec, topic(8, 1), 1, "broker:9092") == []
    assert [fault.what for fault in topic_faults(spec, topic(4, 1), 3, "broker:9092")] == [
        "it has 4 partitions, but 8 are set",
        "it has 1 replicas, but 3 are set",
    ]
    (fault,) = topic_faults(spec, None, 1, "broker:9092")
    assert fault.what == "topic trueup.case-commands does not exist"
    held = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    assert config_faults(spec, held, "broker:9092") == []
    short = {"cleanup.policy": "compact,delete", "retention.ms": "1000", "retention.bytes": "9"}
    assert [fault.what.partition(":")[0] for fault in config_faults(spec, short, "broker:9092")] == [
        "its cleanup.policy is compact,delete, not delete",
        "its retention.ms is 1000, not -1",
        "its retention.bytes is 9, not -1",
    ]


def test_a_retention_that_somebody_chose_is_left_to_them() -> None:
    spec = TopicSpec("settlement.public.orders", 8, {"cleanup.policy": "delete", "retention.ms": "1000"})
    assert config_faults(spec, {"cleanup.policy": "delete", "retention.ms": "5"}, "broker:9092") == []


def test_clickhouse_tables_and_migrations() -> None:
    wanted = Definition("book", "", (ColumnType("a", "String", ""), ColumnType("b", "UInt8", "")), ("a",), "b")
    good = HeldClickHouseTable({"a": "String", "b": "UInt8"}, "ReplicatedReplacingMergeTree", ("a",))
    assert clickhouse_faults(wanted, good, "here") == []
    bad = HeldClickHouseTable({"b": "UInt16", "c": "UInt8"}, "MergeTree", ("b",))
    assert [fault.what.partition(":")[0] for fault in clickhouse_faults(wanted, bad, "here")] == [
        "there is no column a String",
        "column b has the type UInt16, not UInt8",
        "there is a column c that this version of trueup does not know",
        "its engine is MergeTree, not ReplacingMergeTree",
        "it is sorted by b, not a",
    ]
    known = [Migration(number, f"000{number}_x.sql", "sum", ("SELECT 1",)) for number in (1, 2)]
    applied = {1: ("0001_x.sql", "other"), 3: ("0003_y.sql", "sum")}
    assert [fault.what for fault in migration_faults(known, applied, "here")] == [
        "migration 0001_x.sql was applied as 0001_x.sql with another content",
        "migration 0002_x.sql is not applied",
        "the database has migration 0003_y.sql, which this version of trueup does not know",
    ]
