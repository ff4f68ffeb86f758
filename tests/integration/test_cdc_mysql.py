"""The reader of the binlog on a real MariaDB and Kafka: what the topics tell is what the tables hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from cdc.mysql_check import check_mysql
from cdc.mysql_source import Server
from cdc.position import position_of
from cdc.source_check import NeededTable
from cdc.source_tables import settlement_tables
from cdc.topics import HEARTBEAT_TOPIC
from tests.integration.cdc_stack import wait_until
from tests.integration.mysql_stack import USER, MysqlSource, MysqlStack, reading, running_stack
from tests.integration.mysql_workload import BinlogWriter

pytestmark = [pytest.mark.integration, pytest.mark.timeout(800)]

SEED = 20_261_128


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlStack]:
    with running_stack(tmp_path_factory.mktemp("mysql")) as stack:
        yield stack


def insert_orders(source: MysqlSource, first: int, count: int) -> None:
    source.query(
        "INSERT INTO orders SELECT seq, 1, 'USD', 10.55, 1, 0.5, '{\"rate\": 0.05}', 'created', NULL, now(6)"
        f" FROM seq_{first}_to_{first + count - 1}"
    )


def envelopes(source: MysqlSource, table: str) -> list[dict[str, Any]]:
    return [orjson.loads(message.value) for message in source.messages(f"{source.name}.{source.name}.{table}")]


def test_copy_and_stream_equal_the_tables_while_others_write(stack: MysqlStack) -> None:
    source = stack.source("concurrent")
    insert_orders(source, 5_000_000, 10_000)
    source.query(
        "INSERT INTO statement VALUES (1, 2, 'daily', '2026-11-01', '2026-11-02', 'USD', 3, 4, 'open', NULL, now(6))"
    )
    source.query("INSERT INTO rule VALUES (1, 'daily', true, 10, 'USD', false)")
    writers = [BinlogWriter(source, number, SEED) for number in range(3)]
    for writer in writers:
        writer.start()
    wait_until(lambda: all(writer.committed > 20 for writer in writers))
    with reading(source) as reader:
        reader.wait_until(lambda: reader.counters.transactions > 100)
        for writer in writers:
            writer.stop()
        reader.catch_up(source)
        assert reader.counters.snapshot_rows > 10_000
        assert reader.counters.quarantined == 0
    assert source.mirror() == source.truth()


def test_a_second_start_goes_on_where_the_first_one_ended(stack: MysqlStack) -> None:
    source = stack.source("again")
    insert_orders(source, 1, 10)
    with reading(source) as reader:
        reader.catch_up(source)
    insert_orders(source, 11, 10)
    with reading(source) as reader:
        reader.catch_up(source)
        assert (reader.counters.snapshot_rows, reader.counters.changes) == (0, 10)
    assert len(source.messages()) == 20
    beats = [orjson.loads(beat.value) for beat in source.messages(HEARTBEAT_TOPIC) if beat.key == source.name.encode()]
    assert sum(beats[-1]["positions"][f"{source.name}.{source.name}.orders"]) == 20
    assert [beat["ts_us"] for beat in beats] == sorted(beat["ts_us"] for beat in beats)


def test_a_row_that_moves_is_deleted_under_its_old_key_and_created_under_the_new_one(stack: MysqlStack) -> None:
    source = stack.source("moves")
    with reading(source) as reader:
        reader.catch_up(source)
        source.query(
            "INSERT INTO billing_item SELECT seq, seq, 1, 1, 'sale', 'S', 5, 'USD', 'paid', now(6), now(6) FROM seq_1_to_3"
        )
        source.query("UPDATE billing_item SET order_id = order_id + 100, amount = 7")
        reader.catch_up(source)
    told = sorted(
        (position_of(event["source"]), event["op"], (event["after"] or event["before"])["order_id"])
        for event in envelopes(source, "billing_item")
    )
    assert [(op, order) for _, op, order in told] == [
        ("c", 1), ("c", 2), ("c", 3), ("d", 1), ("c", 101), ("d", 2), ("c", 102), ("d", 3), ("c", 103),
    ]  # fmt: skip
    assert len({version for version, _, _ in told}) == 9
    assert source.mirror() == source.truth()


def test_source_time_does_not_pass_a_part_of_a_transaction(stack: MysqlStack) -> None:
    """The binlog knows when its statements began, and nothing of when it was committed."""
    source = stack.source("slowly")
    with reading(source) as reader, closing(source.connect()) as connection, connection.cursor() as cursor:
        reader.catch_up(source)
        began_us = source.now_us()
        connection.begin()
        for number in (1, 2, 3):
            cursor.execute(
                "INSERT INTO orders VALUES (%s, 1, 'USD', 10.55, 1, 0.5, '{}', 'created', NULL, now(6))", (number,)
            )
            cursor.execute("SELECT sleep(2)")
        connection.commit()
        reader.catch_up(source)
    stamps = [event["source"]["ts_us"] for event in envelopes(source, "orders")]
    assert len(stamps) == 3
    assert min(stamps) > began_us + 4_600_000
    topic = f"{source.name}.{source.name}.orders"
    beats = [orjson.loads(beat.value) for beat in source.messages(HEARTBEAT_TOPIC) if beat.key == source.name.encode()]
    told = {beat["ts_us"]: sum(beat["positions"].get(topic, (0,))) for beat in beats}
    assert {rows for time_us, rows in told.items() if time_us >= min(stamps)} == {3}
    assert 0 in {rows for time_us, rows in told.items() if time_us > began_us}


@pytest.mark.parametrize(
    "statements",
    [
        ("XA START 'a'", "INSERT INTO {other} VALUES (1)", "XA END 'a'", "XA PREPARE 'a'", "XA COMMIT 'a'"),
        ("XA START 'b'", "INSERT INTO {other} VALUES (2)", "XA END 'b'", "XA PREPARE 'b'", "XA ROLLBACK 'b'"),
        ("XA START 'c'", "INSERT INTO {other} VALUES (3)", "XA END 'c'", "XA COMMIT 'c' ONE PHASE"),
        ("BEGIN", "INSERT INTO {plain} VALUES (1)", "INSERT INTO {other} VALUES (4)", "ROLLBACK"),
        ("INSERT INTO {plain} VALUES (2)",),
        ("ALTER TABLE {other} ADD COLUMN more int", "ANALYZE TABLE {other}", "FLUSH TABLES"),
    ],
    ids=["xa-commit", "xa-rollback", "xa-one-phase", "rollback", "myisam", "ddl"],
)
def test_source_time_goes_on_behind_whatever_ends_in_the_binlog(
    stack: MysqlStack, request: pytest.FixtureRequest, statements: tuple[str, ...]
) -> None:
    source = stack.source("ends_" + request.node.callspec.id.replace("-", "_"))
    source.query("CREATE TABLE other (id int primary key)")
    source.query("CREATE TABLE plain (id int primary key) ENGINE = MyISAM")
    with reading(source) as reader, closing(source.connect()) as connection, connection.cursor() as cursor:
        reader.catch_up(source)
        for statement in statements:
            cursor.execute(statement.format(other="other", plain="plain"))
        ended_us = source.now_us()
        reader.catch_up(source)
        assert reader.counters.watermark_us > ended_us


def test_the_copy_of_a_server_that_must_be_held_still_is_consistent_too(
    stack: MysqlStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on MySQL, which does not tell the position of a snapshot."""
    monkeypatch.setattr("cdc.mysql.check_server", lambda *_: Server("mysql", "", 1))
    source = stack.source("locked")
    source.query(f"GRANT RELOAD ON *.* TO '{USER}'@'127.0.0.1'")
    insert_orders(source, 5_000_000, 2_000)
    writers = [BinlogWriter(source, number, SEED) for number in range(2)]
    for writer in writers:
        writer.start()
    with reading(source) as reader:
        reader.wait_until(lambda: reader.counters.transactions > 30)
        for writer in writers:
            writer.stop()
        reader.catch_up(source)
    assert source.mirror() == source.truth()


def test_a_check_tells_every_fault_at_once(stack: MysqlStack) -> None:
    source = stack.source("checked")
    needed = [NeededTable(table, (), "the settlement") for table in settlement_tables("checked")]
    assert check_mysql(source.settings.source, needed).faults == []
    source.query("DROP TABLE rule")
    source.query("ALTER TABLE orders MODIFY gross_amount DOUBLE")
    source.query("SET GLOBAL binlog_row_image = 'MINIMAL'")
    try:
        faults = check_mysql(source.settings.source, needed).faults
    finally:
        source.query("SET GLOBAL binlog_row_image = 'FULL'")
    assert [fault.what for fault in faults] == [
        "binlog_row_image of the source is MINIMAL, not FULL",
        "the type of a column of table checked.orders cannot be read: gross_amount (double) as money",
        "table checked.rule does not exist, or the user may not read it",
    ]
    wrong = source.settings.source.model_copy(update={"password": SecretStr("wrong")})
    (refused,) = check_mysql(wrong, needed).faults
    assert "GRANT REPLICATION SLAVE, REPLICATION CLIENT" in refused.remedy
