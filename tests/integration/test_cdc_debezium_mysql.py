"""Debezium's connector for MySQL against our reader of binlogs: the same changes and the same books.

The connector refuses MariaDB by its version, and MySQL itself is in no package here. So MariaDB says that it is MySQL 5.7, which
its binlog is close enough to; our reader then goes the way that it goes with MySQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson
import psycopg2
import pytest

from cdc.connect_rest import ConnectRest
from cdc.connector_config import connector_config
from cdc.mysql_nudge import HEARTBEAT_TABLE
from cdc.source_tables import settlement_tables
from cdc.topics import ensure_topics, topic_plan
from tests.integration.cdc_stack import PARTITIONS, wait_until, write_some
from tests.integration.connect_stack import remove_connector, watching
from tests.integration.mariadb_replica import Replica
from tests.integration.mirror import assert_versions_agree, in_dollars
from tests.integration.mysql_stack import USER, MysqlSource, reading, running_stack
from tests.integration.mysql_workload import BinlogWriter
from tests.source_log import SOURCE
from tests.stream_verdicts import verdicts_of
from trueup.checking.connector_check import check_connector, connector_state, register_connector
from trueup.embedded.connect.worker import Connect
from trueup.embedded.ports import LOOPBACK, free_port
from trueup.embedded.postgres import Postgres
from trueup.settings import ConnectSettings
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.schema import create
from trueup.upstream.workload import run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SEED = 20_261_129
ORDERS = 1_000


class Pair(NamedTuple):
    """One database, read by both at once, and Kafka Connect."""

    ours: MysqlSource
    theirs: MysqlSource
    connect: Connect


def prepared(source: MysqlSource) -> MysqlSource:
    """The source with what Debezium needs beyond our reader."""
    with closing(source.stack.server.connect(source.database)) as admin, admin.cursor() as cursor:
        cursor.execute(f"CREATE TABLE `{HEARTBEAT_TABLE}` (id tinyint PRIMARY KEY, told_at datetime(6) NOT NULL)")
        cursor.execute(f"GRANT INSERT, UPDATE ON `{HEARTBEAT_TABLE}` TO '{USER}'@'{LOOPBACK}'")
        cursor.execute(f"GRANT RELOAD, LOCK TABLES, SHOW DATABASES ON *.* TO '{USER}'@'{LOOPBACK}'")
    return source


def through_connect(source: MysqlSource, connect: ConnectSettings, name: str) -> MysqlSource:
    """The source as the connector reads it, under this name."""
    ensure_topics(source.stack.kafka.bootstrap, topic_plan([name], source.database, PARTITIONS))
    read = source.settings.source.model_copy(update={"name": name, "reader": "debezium"})
    return MysqlSource(source.stack, source.settings.model_copy(update={"source": read, "connect": connect}))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both have copied some rows and read the same run of the workload, and rows that moved and were deleted."""
    data_dir = tmp_path_factory.mktemp("debezium-mysql")
    with running_stack(data_dir, "--version=5.7.19-log") as stack:
        connect, postgres = (
            Connect(data_dir, free_port(), stack.kafka.bootstrap),
            Postgres(data_dir, free_port(), durable=False),
        )
        stack.supervisor.add(connect.service())
        stack.supervisor.add(postgres.service())
        stack.supervisor.wait_ready(180)
        with closing(psycopg2.connect(postgres.dsn())) as connection:
            create(connection)
        ours = prepared(stack.source("shared"))
        connect.keep_secret("source", ours.settings.source.password.get_secret_value())
        settings = ConnectSettings(url=connect.url, password=connect.secret_reference("source"))
        theirs = through_connect(ours, settings, "theirs")
        replica = Replica(postgres.dsn(), stack.server, "shared")
        replica.start()
        ours.query("INSERT INTO rule SELECT seq, 'daily', true, 10, 'USD', false FROM seq_900_to_920")
        with reading(ours) as reader, watching(theirs) as watch:
            for one in (reader, watch):
                one.wait_until(lambda one=one: one.counters.heartbeats > 0)  # type: ignore[misc]
            run(postgres.dsn(), WorkloadPlan(ORDERS, seed=SEED, faults=True, traps=False))
            replica.copy()
            ours.query("UPDATE rule SET payment_threshold = 11 WHERE rule_id < 905")
            ours.query("UPDATE rule SET rule_id = rule_id + 1000 WHERE rule_id = 910")
            ours.query("DELETE FROM rule WHERE rule_id = 911")
            for one in (reader, watch):
                one.catch_up(ours)
        yield Pair(ours, theirs, connect)


class Told(NamedTuple):
    """One streamed change, as far as both must agree."""

    table: str
    file: str
    pos: int
    row: int
    op: str
    key: bytes
    before: Any
    after: Any


def told(source: MysqlSource) -> list[Told]:
    """The streamed changes."""
    found = []
    for message in source.messages():
        value = orjson.loads(message.value)
        if value["op"] in "cud":
            place = value["source"]
            found.append(
                Told(
                    message.topic.rpartition(".")[2],
                    *(place["file"], place["pos"], place["row"]),
                    *(value["op"], message.key, value["before"], value["after"]),
                )
            )
    return found


def in_order(changes: list[Told]) -> list[Told]:
    """By position, and the deletion of a moved row last."""
    return sorted(changes, key=lambda one: (one.file, one.pos, one.row, one.op))


def test_the_same_rows_are_told_in_the_same_words(pair: Pair) -> None:
    ours, theirs = told(pair.ours), told(pair.theirs)
    assert len(ours) > ORDERS
    # A row that moves to another key: our create stands a byte behind the delete, Debezium's at the same place.
    deleted = {(one.file, one.pos) for one in theirs if one.op == "d"}
    moved = {place for place in deleted if any((one.file, one.pos) == place and one.op == "c" for one in theirs)}
    assert moved
    ours = [
        one._replace(pos=one.pos - 1) if one.op == "c" and (one.file, one.pos - 1) in moved else one for one in ours
    ]
    assert in_order(ours) == in_order(theirs)


def test_both_end_as_the_database(pair: Pair) -> None:
    ours, theirs, truth = pair.ours.mirror(), pair.theirs.mirror(), pair.ours.truth()
    assert theirs == ours
    assert {name: rows.keys() for name, rows in ours.items()} == {name: rows.keys() for name, rows in truth.items()}
    assert in_dollars(ours) == in_dollars(truth)
    assert len(ours["orders"]) >= ORDERS


def test_the_same_discrepancies_are_found(pair: Pair, tmp_path: Path) -> None:
    verdicts = {}
    for source in (pair.ours, pair.theirs):
        name = b'"name":"%b"' % source.name.encode()
        messages = [
            (message.topic.rpartition(".")[2], message.value.replace(name, b'"name":"%b"' % SOURCE.encode(), 1))
            for message in source.messages()
        ]
        verdicts[source.name] = verdicts_of(tmp_path / source.name, messages)
    ours, theirs = verdicts["shared"], verdicts["theirs"]
    assert theirs
    # Debezium tells whole seconds: that an order was edited after its bill is not known within one.
    unseen = {
        verdict
        for verdict in ours - theirs
        if verdict[0][:2] == ("silent-repair", "order") and edited_in_the_second_of_its_bill(pair.theirs, verdict[0][2])
    }
    assert theirs == ours - unseen | {(("wrong-billing-amount", *entity), *rest) for (_, *entity), *rest in unseen}


def edited_in_the_second_of_its_bill(source: MysqlSource, order_id: int | str) -> bool:
    """Whether no edit of the order's fee is told with a later time than its first billing item."""
    edited_ms: list[int] = []
    billed_ms: list[int] = []
    for message in source.messages():
        value = orjson.loads(message.value)
        before, after = value["before"], value["after"]
        if after is None or after.get("order_id") != order_id:
            continue
        if "fee_amount" in after and before is not None and before["fee_amount"] != after["fee_amount"]:
            edited_ms.append(value["source"]["ts_ms"])
        elif message.topic.endswith(".billing_item"):
            billed_ms.append(value["source"]["ts_ms"])
    return max(edited_ms) <= min(billed_ms)


def test_an_idle_source_moves_time(pair: Pair) -> None:
    with watching(pair.theirs) as watch:
        for _ in range(2):
            watch.catch_up(pair.ours)
        assert watch.counters.heartbeats > 1
        assert watch.counters.confirmed_lsn > 0


def test_a_move_there_and_back_neither_skips_nor_doubles(pair: Pair) -> None:
    source = prepared(pair.ours.stack.source("mover"))
    as_connector = through_connect(source, pair.theirs.settings.connect, "mover")
    rest = ConnectRest(pair.connect.url)
    writers = [BinlogWriter(source, number, SEED, 0.1) for number in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(2):
            with reading(source) as reader:
                reader.catch_up(source)
            write_some(writers)
            with watching(as_connector) as watch:
                watch.catch_up(source)
                wait_until(lambda: (rest.config("mover") or {})["snapshot.mode"] == "initial")
                watch.catch_up(source)
                assert watch.counters.gaps == 0
            remove_connector(pair.connect.url, "mover")
            write_some(writers)
    finally:
        for writer in writers:
            writer.stop()
    with reading(source) as reader:
        reader.catch_up(source)
        assert reader.counters.gaps == 0
        assert reader.counters.snapshot_rows == 0
    assert source.mirror() == source.truth()
    assert_versions_agree(change for _, change in source.changes())


def test_a_connector_that_was_left_half_made_begins_where_our_reader_stopped(pair: Pair) -> None:
    source = prepared(pair.ours.stack.source("half_made"))
    as_connector = through_connect(source, pair.theirs.settings.connect, "half_made")
    source.query("INSERT INTO rule SELECT seq, 'daily', true, 10, 'USD', false FROM seq_1_to_9")
    with reading(source) as reader:
        reader.catch_up(source)
    source.query("DELETE FROM rule WHERE rule_id = 7")
    (refused,) = register_connector(as_connector.settings, {})
    assert "what was deleted since it stopped" in refused.what
    config = connector_config(as_connector.settings, settlement_tables("half_made"))
    made = {"name": "half_made", "config": {**config, "snapshot.mode": "recovery"}, "initial_state": "STOPPED"}
    httpx.post(f"{pair.connect.url}/connectors", json=made, timeout=60).raise_for_status()
    with watching(as_connector) as watch:
        watch.catch_up(source)
    said = [orjson.loads(message.value) for message in source.messages()]
    # Rows stand in several partitions, which are read in any order: only those of one row follow each other.
    assert sorted(one["op"] for one in said) == ["d", *"r" * 9]
    assert [one["op"] for one in said if (one["after"] or one["before"])["rule_id"] == 7] == ["r", "d"]
    assert source.mirror() == source.truth()
    remove_connector(pair.connect.url, "half_made")


def test_rows_that_may_be_missed_are_told_as_a_gap(pair: Pair) -> None:
    source = prepared(pair.ours.stack.source("missed"))
    as_connector = through_connect(source, pair.theirs.settings.connect, "missed")
    source.query("INSERT INTO rule SELECT seq, 'daily', true, 10, 'USD', false FROM seq_1_to_9")
    with reading(source) as reader:
        reader.catch_up(source)
    source.query("DELETE FROM rule WHERE rule_id = 7")
    source.query("FLUSH BINARY LOGS")
    source.purge()
    with watching(as_connector) as watch:
        watch.catch_up(source)
        assert watch.counters.gap is not None
        assert "is gone" in watch.counters.gap.reason
        assert watch.counters.gap.repaired_us == 0
    remove_connector(pair.connect.url, "missed")


def test_the_connector_is_checked_registered_and_shown(pair: Pair) -> None:
    settings = pair.theirs.settings
    rest = ConnectRest(pair.connect.url)
    held = rest.config("theirs")
    assert register_connector(settings, {}) == []
    assert rest.config("theirs") == held
    (refused,) = register_connector(settings, {"decimal.handling.mode": "double"})
    assert "loses cents" in refused.remedy
    wait_until(lambda: connector_state(settings).faults == [])
    assert connector_state(settings).slot_active is None
    (connector,) = [part for part in check_connector(settings) if part.name == "connector"]
    assert connector.faults == []
    elsewhere = settings.model_copy(update={"source": settings.source.model_copy(update={"name": "elsewhere"})})
    (fault,) = register_connector(elsewhere, {"snapshot.mode": "no_data"})
    assert fault.what == "the connector makes no copy of the tables of elsewhere, and nothing else does"
