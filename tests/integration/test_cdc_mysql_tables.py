"""Types, odd values and altered tables of MariaDB: exact, or told; and one table never stands in the way of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest

from cdc.delivery import DeliveryProducer
from cdc.metrics import reader_parts
from cdc.position import position_of
from cdc.postgres_state import ask_for_copy, following_state
from cdc.source_tables import SourceTable, settlement_tables
from cdc.topics import QUARANTINE_TOPIC, TopicPlan, ensure_topics, leg_topic
from tests.integration.cdc_stack import PARTITIONS, WAIT_SECONDS, Message
from tests.integration.mysql_stack import MysqlSource, MysqlStack, reading, running_stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(800)]

ORDER = "INSERT INTO orders VALUES ({}, 1, 'USD', 10, 0, 0, NULL, 'paid', NULL, now(6){})"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlStack]:
    with running_stack(tmp_path_factory.mktemp("mysql")) as stack:
        yield stack


def table_of(source: MysqlSource, name: str, definition: str) -> SourceTable:
    """A table of the user's own, made in the database, with its topic."""
    source.query(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, {definition})")
    table = SourceTable(source.name, name, ("id",), ("id",), ("id",))
    topics = (leg_topic(table.topic(source.name), PARTITIONS),)
    ensure_topics(source.stack.kafka.bootstrap, TopicPlan(topics))
    return table


def told(source: MysqlSource, table: SourceTable) -> list[dict[str, Any]]:
    """The events of a table, in the order of their versions."""
    events = [orjson.loads(message.value) for message in source.messages(table.topic(source.name))]
    return sorted(events, key=lambda event: position_of(event["source"]))


def quarantined(source: MysqlSource) -> list[Message]:
    return [message for message in source.messages(QUARANTINE_TOPIC) if message.key.startswith(source.name.encode())]


EVERY_TYPE: list[tuple[str, str, str, object]] = [
    ("b_unsigned", "BIGINT UNSIGNED", "18446744073709551615", 18446744073709551615),
    ("t_unsigned", "TINYINT UNSIGNED", "255", 255),
    ("m_signed", "MEDIUMINT", "-8388608", -8388608),
    ("m_unsigned", "MEDIUMINT UNSIGNED", "16777215", 16777215),
    ("flag", "BOOLEAN", "true", 1),
    ("exact", "DECIMAL(38,4)", "-1234567890123456789012345678901234.5678", "-1234567890123456789012345678901234.5678"),
    ("small", "DECIMAL(5,5)", "-0.00007", "-0.00007"),
    ("whole", "DECIMAL(20)", "12345678901234567890", "12345678901234567890"),
    ("narrow", "FLOAT", "0.1", 0.1),
    ("wide", "DOUBLE", "0.1", 0.1),
    ("day", "DATE", "'2026-03-31'", 20543),
    ("moment", "DATETIME(6)", "'2026-03-31 12:34:56.123456'", 1774960496123456),
    ("moment_s", "DATETIME", "'1969-12-31 23:59:59'", -1_000_000),
    ("zoned", "TIMESTAMP(3) NULL", "'2026-03-31 12:34:56.5'", "2026-03-31T12:34:56.500Z"),
    ("zoned_s", "TIMESTAMP NULL", "'2026-03-31 12:34:56'", "2026-03-31T12:34:56Z"),
    ("span", "TIME", "'-838:59:59'", -3020399000000),
    ("span_us", "TIME(6)", "'12:00:00.000001'", 43200000001),
    ("year_of", "YEAR", "2155", 2155),
    ("year_none", "YEAR", "0", 0),
    ("color", "ENUM('red','it''s green','blau')", "'it''s green'", "it's green"),
    ("colors", "SET('a','b','c')", "'c,a'", "a,c"),
    ("colors_none", "SET('a','b')", "''", ""),
    ("bit_one", "BIT(1)", "b'1'", True),
    ("bits", "BIT(12)", "b'101000000001'", "AQo="),
    ("latin", "VARCHAR(20) CHARACTER SET latin1", "'Zoë €'", "Zoë €"),
    ("wide_text", "TEXT CHARACTER SET utf8mb4", "'支付 😀 \"x\"'", '支付 😀 "x"'),
    ("padded", "CHAR(5)", "'ab'", "ab"),
    ("long_padded", "CHAR(100)", "'ab'", "ab"),
    ("raw", "VARBINARY(10)", "x'00ff10'", "AP8Q"),
    ("raw_fixed", "BINARY(4)", "x'0102'", "AQIAAA=="),
    ("blob_of", "BLOB", "x'deadbeef00'", "3q2+7wA="),
    ("document", "JSON", "'{\"b\": [1, 0.10]}'", '{"b": [1, 0.10]}'),
    ("point_of", "POINT", "ST_GeomFromText('POINT(1 2)')",
     {"wkb": "AQEAAAAAAAAAAADwPwAAAAAAAABA", "srid": None}),
    ("nothing", "DECIMAL(10,2)", "NULL", None),
    ("no_day", "DATE", "'0000-00-00'", None),
    ("no_moment", "DATETIME(3)", "'0000-00-00'", None),
    ("no_zoned", "TIMESTAMP NULL", "'0000-00-00'", None),
]  # fmt: skip
"""Column, type, value as SQL, and what the message holds."""


def test_every_type_is_the_same_whether_copied_or_streamed(stack: MysqlStack) -> None:
    source = stack.source("types")
    definition = ", ".join(f"{name} {type_}" for name, type_, _, _ in EVERY_TYPE)
    table = table_of(source, "every_type", definition)
    values = ", ".join(value for _, _, value, _ in EVERY_TYPE)
    source.query(f"INSERT INTO every_type VALUES (1, {values})")
    source.query("INSERT INTO every_type (id) VALUES (2)")
    with reading(source, table) as reader:
        reader.catch_up(source)
        source.query(f"INSERT INTO every_type VALUES (3, {values})")
        source.query("DELETE FROM every_type WHERE id = 3")
        reader.catch_up(source)
        assert reader.counters.quarantined == 0, quarantined(source)
    expected = {name: value for name, _, _, value in EVERY_TYPE}
    events = {(event["op"], (event["after"] or event["before"])["id"]): event for event in told(source, table)}
    assert events["r", 1]["after"] == {"id": 1, **expected}
    assert events["r", 2]["after"] == {"id": 2, **dict.fromkeys(expected)}
    assert events["c", 3]["after"] == {"id": 3, **expected}
    assert events["d", 3]["before"] == {"id": 3, **expected}
    where = events["c", 3]["source"]
    assert (where["connector"], where["db"], where["table"]) == ("mariadb", "types", "every_type")
    assert where["gtid"].startswith("0-4711-")


def test_a_zero_date_where_null_is_not_allowed_is_kept_in_quarantine(stack: MysqlStack) -> None:
    source = stack.source("zero")
    source.query("INSERT INTO orders VALUES (1, 1, 'USD', 10, 0, 0, NULL, 'paid', '0000-00-00', '0000-00-00')")
    with reading(source) as reader:
        reader.catch_up(source)
        source.query("INSERT INTO orders VALUES (2, 1, 'USD', 10, 0, 0, NULL, 'paid', '0000-00-00', '0000-00-00')")
        source.query("INSERT INTO orders VALUES (3, 1, 'USD', 10, 0, 0, NULL, 'paid', '0000-00-00', now(6))")
        reader.catch_up(source)
        assert reader.counters.quarantined_by_code == {"zero-date": 2}
    assert [(message.headers["code"], b'"order_id":2' in message.value) for message in quarantined(source)] == [
        ("zero-date", False),
        ("zero-date", True),
    ]
    ((_, change),) = source.changes()
    assert (change.key, change.row) == (3, source.truth()["orders"][3])


def test_added_and_dropped_columns_pass_and_a_breaking_change_stops_that_table_alone(stack: MysqlStack) -> None:
    source = stack.source("altered")
    source.query(ORDER.format(1, ""))
    with reading(source) as reader:
        reader.catch_up(source)
        source.query("ALTER TABLE orders ADD COLUMN note VARCHAR(20) DEFAULT 'none' AFTER shop_id")
        source.query("INSERT INTO orders VALUES (2, 1, 'seen', 'USD', 10, 0, 0, NULL, 'paid', NULL, now(6))")
        source.query("ALTER TABLE orders RENAME COLUMN note TO remark, MODIFY gross_amount DECIMAL(40,4) NOT NULL")
        source.query("UPDATE orders SET status = 'completed'")
        source.query("ALTER TABLE orders DROP COLUMN remark")
        source.query(ORDER.format(3, ""))
        reader.catch_up(source)
        assert not reader.counters.stopped
        source.query("ALTER TABLE orders RENAME COLUMN gross_amount TO gross")
        source.query("DELETE FROM orders WHERE order_id = 1")
        source.query(ORDER.format(4, ""))
        source.query("INSERT INTO rule VALUES (1, 'daily', true, 10, 'USD', false)")
        reader.catch_up(source)
        assert reader.counters.stopped == {"altered.orders": "table altered.orders has no column gross_amount"}
        assert not reader_parts(reader.counters)["tables"].ready
        assert reader.counters.quarantined_by_code == {"missing-column": 2}
    with reading(source) as reader:
        # Started again, the others go on, and the one that is broken stays told.
        source.query("INSERT INTO rule VALUES (2, 'daily', true, 10, 'USD', false)")
        reader.catch_up(source)
        assert "altered.orders" in reader.counters.stopped
        source.query("ALTER TABLE orders RENAME COLUMN gross TO gross_amount")
        source.query("UPDATE orders SET status = 'refunded' WHERE order_id = 2")
        reader.wait_until(lambda: not reader.counters.stopped)
        reader.catch_up(source)
        assert reader_parts(reader.counters)["tables"].ready
    rules = [orjson.loads(message.value)["after"]["rule_id"] for message in source.messages("altered.altered.rule")]
    assert sorted(rules) == [1, 2]
    assert latest(source, "orders") == {2: "refunded", 3: "paid", 4: "paid"}


def test_truncated_and_dropped_tables_tell_that_their_rows_are_gone(stack: MysqlStack) -> None:
    source = stack.source("emptied")
    source.query(ORDER.format(1, ""))
    with reading(source) as reader:
        reader.catch_up(source)
        source.query("TRUNCATE orders")
        source.query(ORDER.format(2, ""))
        reader.catch_up(source)
        assert latest(source, "orders") == {2: "paid"}
        (made,) = source.query("SHOW CREATE TABLE orders")
        source.query("DROP TABLE orders")
        reader.wait_until(lambda: bool(reader.counters.stopped))
        source.query(str(made[1]))
        source.query(ORDER.format(3, ""))
        reader.wait_until(lambda: not reader.counters.stopped)
        reader.catch_up(source)
    assert latest(source, "orders") == {3: "paid"}


def test_a_table_is_copied_again_beside_the_stream_when_somebody_asks(stack: MysqlStack) -> None:
    source = stack.source("asked")
    bootstrap = source.settings.kafka.bootstrap
    source.query(ORDER.format(1, ""))
    with reading(source) as reader:
        reader.catch_up(source)
        with closing(DeliveryProducer(bootstrap)) as producer:
            ask_for_copy(producer, "asked", "asked.orders", "first")
            producer.drain(WAIT_SECONDS)
        with following_state(bootstrap, "asked") as follower:
            follower.read_to_end()
            reader.wait_until(lambda: not follower.wait(0.1).asked)
        source.query(ORDER.format(2, ""))
        reader.catch_up(source)
        assert (reader.counters.sessions, reader.counters.snapshot_rows) == (1, 2)
    assert [event["op"] for event in told(source, settlement_tables("asked")[0]) if event["op"] != "t"] == [
        "r",
        "r",
        "c",
    ]
    assert latest(source, "orders") == {1: "paid", 2: "paid"}


def latest(source: MysqlSource, table: str) -> dict[int, str]:
    """Key → status of the rows that are there when all messages are taken, truncations among them."""
    events = [orjson.loads(message.value) for message in source.messages(f"{source.name}.{source.name}.{table}")]
    rows: dict[int, tuple[int, str | None]] = {}
    for event in sorted(events, key=lambda event: position_of(event["source"])):
        if event["op"] == "t":
            rows.clear()
        else:
            row = event["after"] or event["before"]
            rows[row["order_id"]] = (0, row["status"] if event["after"] else None)
    return {key: status for key, (_, status) in rows.items() if status is not None}
