"""Polling a real MariaDB: the messages that its binlog gives, from a user that may only read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from cdc.counters import ReaderCounters
from cdc.mysql_check import check_mysql
from cdc.poll import open_session
from cdc.source_tables import settlement_tables
from cdc.topics import ensure_topics, topic_plan
from tests.integration.cdc_stack import PARTITIONS, Message
from tests.integration.mariadb_server import PASSWORD
from tests.integration.mysql_stack import MysqlSource, MysqlStack, reading, running_stack
from trueup.checking.parts import settlement_needs
from trueup.embedded.ports import LOOPBACK
from trueup.model.errors import ConfigurationError
from trueup.settings import PollSettings

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(800)]

STEPS = (
    "INSERT INTO orders VALUES (1, 7, 'USD', 10.50, 1, 0.50, '{\"rate\": 0.05}', 'created', NULL, NOW(6))",
    "INSERT INTO billing_item VALUES (5, 1, 7, 3, 'sale', 'Sück', 9, 'USD', 'statemented', NOW(6), NOW(6))",
    "UPDATE orders SET status = 'paid', updated_at = NOW(6) WHERE order_id = 1",
    "UPDATE billing_item SET order_id = 2 WHERE billing_item_id = 5",
    "UPDATE orders SET order_id = 3 WHERE order_id = 1",
    "DELETE FROM billing_item WHERE billing_item_id = 5",
    "INSERT INTO rule VALUES (1, 'daily', TRUE, 1.25, 'USD', FALSE)",
    "INSERT INTO statement VALUES (3, 7, 'daily', '2026-01-01', '2026-01-02', 'USD', 1, 9, 'open', NULL, NOW(6))",
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlStack]:
    with running_stack(tmp_path_factory.mktemp("poll_mysql")) as stack:
        yield stack


def polled(source: MysqlSource, name: str, data_dir: Path) -> MysqlSource:
    """The same database under another name, to be polled by a user without any right of a replica."""
    ensure_topics(source.stack.kafka.bootstrap, topic_plan([name], source.name, PARTITIONS))
    with closing(source.stack.server.connect()) as admin, admin.cursor() as cursor:
        cursor.execute(f"CREATE USER IF NOT EXISTS 'looks'@'{LOOPBACK}' IDENTIFIED BY '{PASSWORD}'")
        cursor.execute(f"GRANT SELECT ON `{source.name}`.* TO 'looks'@'{LOOPBACK}'")
    poll = PollSettings(compare_interval_seconds=0, page_rows=3)
    settings = source.settings.source.model_copy(update={"name": name, "user": "looks", "reader": "poll", "poll": poll})
    return replace(source, settings=source.settings.model_copy(update={"source": settings, "data_dir": data_dir}))


def told(messages: list[Message]) -> list[tuple[Any, ...]]:
    """What is said of each key, in its order, without versions and times of reading."""
    found = []
    for message in messages:
        envelope = orjson.loads(message.value)
        found.append(
            (message.topic.rpartition(".")[2], message.key, envelope["op"], envelope["before"], envelope["after"])
        )
    return sorted(found, key=lambda one: one[:2])


def messages_of(source: MysqlSource, schema: str) -> list[Message]:
    names = settlement_tables(schema)
    return source.messages(*(table.topic(source.settings.source.name) for table in names))


def test_changes_have_the_form_that_the_binlog_gives_them(stack: MysqlStack, tmp_path: Path) -> None:
    logged = stack.source("form_logged")
    pulled = polled(logged, "form_polled", tmp_path)
    tables = settlement_tables(logged.name)
    with reading(logged) as reader, open_session(pulled.settings, ReaderCounters(), tables, lambda: False) as session:
        now_us = logged.now_us()
        reader.wait_until(lambda: reader.counters.watermark_us > now_us)
        assert session.poller.poll()
        for step in STEPS:
            logged.query(step)
            assert session.poller.poll()
        now_us = logged.now_us()
        reader.wait_until(lambda: reader.counters.watermark_us > now_us + 100_000)
    by_poll = messages_of(pulled, logged.name)
    assert told(by_poll) == told(logged.messages())
    assert check_mysql(pulled.settings.source, settlement_needs(pulled.settings.source)).faults == []
    assert {orjson.loads(message.value)["source"]["connector"] for message in by_poll} == {"mysql"}


def test_pages_hold_every_row_once(stack: MysqlStack, tmp_path: Path) -> None:
    source = stack.source("pages")
    pulled = polled(source, "pages_polled", tmp_path)
    for number in range(10):
        source.query("INSERT INTO account VALUES (%s, 'bank', 1, 'USD')", (2**53 + number,))
        source.query(
            "INSERT INTO orders VALUES (%s, 7, 'USD', 10.50, 1, 0.50, NULL, 'created', NULL, '2026-01-01 00:00:00.000001')",
            (2**53 + number,),
        )
    with open_session(pulled.settings, ReaderCounters(), settlement_tables("pages"), lambda: False) as session:
        assert session.poller.poll()
        assert session.poller.poll()
    keys = [orjson.loads(message.key) for message in messages_of(pulled, "pages")]
    wanted = [{name: 2**53 + number} for name in ("shop_id", "order_id") for number in range(10)]
    assert sorted(keys, key=str) == sorted(wanted, key=str)


def test_a_table_that_is_not_there_is_named(stack: MysqlStack, tmp_path: Path) -> None:
    source = stack.source("lacking")
    pulled = polled(source, "lacking_polled", tmp_path)
    source.query("DROP TABLE funding")
    tables = settlement_tables("lacking")
    with (
        pytest.raises(ConfigurationError, match=r"lacking\.funding"),
        open_session(pulled.settings, ReaderCounters(), tables, lambda: False),
    ):
        pass
