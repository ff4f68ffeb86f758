"""Every common type of PostgreSQL, copied and streamed alike: what a message tells is what the row holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from cdc.source_tables import SourceTable
from cdc.topics import TopicPlan, TopicSpec, ensure_topics
from tests.integration.cdc_stack import PARTITIONS, Source, Stack, reading, running_stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(800)]

ALL = SourceTable("public", "all_types", ("id",), ("id",), ("id",))

DAY_US = 86_400_000_000
TYPES: list[tuple[str, str, str, object]] = [
    # column, type, value as SQL, what the message tells
    ("small", "smallint", "-32768", -32768),
    ("big", "bigint", "9223372036854775807", 2**63 - 1),
    ("exact", "numeric", f"'{'9' * 60}.{'1' * 60}'", f"{'9' * 60}.{'1' * 60}"),
    ("scaled", "numeric(38, 4)", "-0.5", "-0.5000"),
    ("tiny", "numeric(5, 8)", "0.00012345", "0.00012345"),
    ("nan", "numeric", "'NaN'", "NaN"),
    ("infinite", "numeric", "'-Infinity'", "-Infinity"),
    ("real4", "real", "1.5", 1.5),
    ("real8", "double precision", "0.1", 0.1),
    ("real8_nan", "double precision", "'NaN'", "NaN"),
    ("flag", "boolean", "true", True),
    ("zoned", "timestamptz", "'2026-03-29 02:30:00.000001+02'", "2026-03-29T00:30:00.000001Z"),
    ("zoned_end", "timestamptz", "'infinity'", "infinity"),
    ("local_time", "timestamp", "'1969-12-31 23:59:59.999999'", -1),
    ("local_end", "timestamp", "'-infinity'", "-infinity"),
    ("day", "date", "'2000-02-29'", 11_016),
    ("day_end", "date", "'infinity'", "infinity"),
    ("clock", "time", "'23:59:59.999999'", DAY_US - 1),
    ("clock_zoned", "timetz", "'01:00:00.5+05:30'", "19:30:00.5Z"),
    ("span", "interval", "'1 year 2 months 3 days 04:05:06.5'", "1 year 2 mons 3 days 04:05:06.5"),
    ("number", "uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("document", "jsonb", """'{"b": 1.10, "a": ["对账", null]}'""", '{"a": ["对账", null], "b": 1.10}'),
    ("as_written", "json", """'{"b":  1.10}'""", '{"b":  1.10}'),
    ("note", "text", "E'a \"quoted\" \\\\ line\\n🧾'", 'a "quoted" \\ line\n🧾'),
    ("code", "char(5)", "'ab'", "ab   "),
    ("raw", "bytea", "'\\x00ff'", "AP8="),
    ("mood", "mood", "'so so'", "so so"),
    ("price", "price", "12.3400", "12.3400"),
    ("points", "points", "7", 7),
    ("many", "numeric[]", "ARRAY[1.10, NULL, 2]", "{1.10,NULL,2}"),
    ("words", "text[]", "ARRAY['a', 'b \"c']", '{a,"b \\"c"}'),
    ("period", "int4range", "'[1, 5)'", "[1,5)"),
    ("spans", "tstzrange", "'[2026-01-01 00:00+00,)'", '["2026-01-01 00:00:00+00",)'),
    ("host", "inet", "'10.0.0.1/8'", "10.0.0.1/8"),
    ("bits", "bit(3)", "B'101'", "101"),
    ("cash", "money", "1234.5", "$1,234.50"),
    ("missing", "numeric", "NULL", None),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("types")) as stack:
        yield stack


def row_of(source: Source, number: int, *, op: str) -> dict[str, Any]:
    for message in source.messages(ALL.topic(source.name)):
        envelope: dict[str, Any] = orjson.loads(message.value)
        if message.key == b'{"id":%d}' % number and envelope["op"] == op:
            image: dict[str, Any] = envelope["before" if op == "d" else "after"]
            return image
    raise AssertionError(f"row {number} was not told")


def test_copied_and_streamed_rows_tell_every_type_alike(stack: Stack) -> None:
    source = stack.source("types")
    ensure_topics(stack.kafka.bootstrap, TopicPlan((TopicSpec(ALL.topic("types"), PARTITIONS),)))
    source.query("CREATE TYPE mood AS ENUM ('good', 'so so')")
    source.query("CREATE DOMAIN price AS numeric CHECK (VALUE > 0)")
    source.query("CREATE DOMAIN points AS int")
    columns = ", ".join(f"{name} {kind}" for name, kind, _, _ in TYPES)
    source.query(f"CREATE TABLE all_types (id int PRIMARY KEY, {columns})")
    values = ", ".join(value for _, _, value, _ in TYPES)
    source.query(f"INSERT INTO all_types VALUES (1, {values})")
    with reading(source, ALL) as reader:
        reader.catch_up(source)
        source.query(f"INSERT INTO all_types VALUES (2, {values})")
        source.query("DELETE FROM all_types WHERE id = 1")
        reader.catch_up(source)
        assert reader.counters.quarantined == 0
    expected = {name: told for name, _, _, told in TYPES}
    for row in (
        row_of(source, 1, op="r"),
        row_of(source, 2, op="c"),
        row_of(source, 1, op="d"),
    ):
        del row["id"]
        assert row == expected
        assert {name: type(value) for name, value in row.items()} == {n: type(v) for n, v in expected.items()}


def test_a_large_value_that_an_update_left_alone_is_told_by_the_row_before(stack: Stack) -> None:
    source = stack.source("toasted")
    with reading(source) as reader:
        reader.catch_up(source)
        source.query(
            "INSERT INTO orders SELECT 1, 1, 'USD', 1, 1, 1, jsonb_agg(md5(n::text)), 'created', NULL, now()"
            " FROM generate_series(1, 25000) AS n"
        )
        assert source.query("SELECT length(factors::text) FROM orders") == [(900_000,)]
        source.query("UPDATE orders SET status = 'paid'")
        reader.catch_up(source)
        assert reader.counters.quarantined == 0
    before, after = (
        orjson.loads(source.messages("toasted.public.orders")[-1].value)[name] for name in ("before", "after")
    )
    assert len(orjson.loads(before["factors"])) == 25_000
    assert after["factors"] == "__debezium_unavailable_value"
    assert source.mirror() == source.truth()
