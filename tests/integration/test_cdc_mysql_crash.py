"""The database of the binlog reader dies, and binlogs vanish: nothing is lost, or it is told."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from cdc.mysql_state import read_mark
from tests.integration.cdc_stack import WAIT_SECONDS, wait_until
from tests.integration.mysql_stack import MysqlStack, insert_orders, reading, running_stack
from trueup.model.errors import ConfigurationError

pytestmark = [pytest.mark.integration, pytest.mark.timeout(800)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlStack]:
    with running_stack(tmp_path_factory.mktemp("crash")) as stack:
        yield stack


def test_a_database_that_dies_is_read_on_where_it_was(stack: MysqlStack) -> None:
    source = stack.source("dying")
    with reading(source) as reader:
        reader.catch_up(source)
        insert_orders(source, 1, 5_000)
        before = stack.supervisor.states()[0].restarts
        stack.supervisor.kill("mariadb")
        wait_until(lambda: stack.supervisor.states()[0].restarts > before)
        stack.supervisor.wait_ready(WAIT_SECONDS)
        insert_orders(source, 10_001, 5_000)
        reader.catch_up(source)
        assert reader.counters.sessions > 1
        assert reader.counters.snapshot_rows == 0
    assert source.mirror() == source.truth()


def test_a_binlog_that_was_purged_unread_is_told_and_made_up_for(stack: MysqlStack) -> None:
    source = stack.source("purged")
    insert_orders(source, 1, 3)
    with reading(source) as reader:
        reader.catch_up(source)
    source.query("UPDATE orders SET status = 'paid' WHERE order_id = 1")
    source.query("DELETE FROM orders WHERE order_id = 2")
    source.query("FLUSH BINARY LOGS")
    source.purge()
    with reading(source) as reader:
        reader.catch_up(source)
        gap = reader.counters.gap
        assert gap is not None
        assert "is gone" in gap.reason
        assert gap.repaired_us > 0
        assert reader.counters.gaps == 1
        assert reader.counters.snapshot_rows == 2
    events = [orjson.loads(message.value) for message in source.messages("purged.purged.orders")]
    gone = [event for event in events if event["op"] == "t"]
    assert len(gone) == len({message.partition for message in source.messages("purged.purged.orders")})


def test_a_binlog_that_is_purged_after_it_was_read_is_no_gap(stack: MysqlStack) -> None:
    source = stack.source("rotated")
    insert_orders(source, 1, 3)
    with reading(source) as reader:
        reader.catch_up(source)
        source.query("FLUSH BINARY LOGS")
        reader.catch_up(source)
    source.purge()
    with reading(source) as reader:
        reader.catch_up(source)
        assert (reader.counters.gaps, reader.counters.snapshot_rows) == (0, 0)


def test_a_binlog_that_is_numbered_anew_is_refused_with_the_remedy(stack: MysqlStack) -> None:
    source = stack.source("reset")
    insert_orders(source, 1, 3)
    source.query("FLUSH BINARY LOGS")
    with reading(source) as reader:
        reader.catch_up(source)
    mark = read_mark(source.settings.kafka.bootstrap, source.name)
    assert mark is not None
    source.query("RESET MASTER")
    with reading(source) as reader:
        wait_until(lambda: reader.error is not None)
        assert isinstance(reader.error, ConfigurationError)
        assert "RESET MASTER TO" in str(reader.error)
    number = int(mark.file.rpartition(".")[2])
    source.query(f"RESET MASTER TO {number + 1}")
    insert_orders(source, 4, 3)
    with reading(source) as reader:
        reader.catch_up(source)
        assert reader.counters.snapshot_rows == 6


@pytest.mark.parametrize(
    ("setting", "value", "restored"),
    [
        ("binlog_format", "MIXED", "ROW"),
        ("binlog_row_image", "MINIMAL", "FULL"),
        ("binlog_row_metadata", "NO_LOG", "FULL"),
    ],
)
def test_a_binlog_that_is_not_written_as_needed_is_refused(
    stack: MysqlStack, setting: str, value: str, restored: str
) -> None:
    source = stack.source(f"set_{setting}")
    source.query(f"SET GLOBAL {setting} = '{value}'")
    try:
        with reading(source) as reader:
            wait_until(lambda: reader.error is not None)
            assert isinstance(reader.error, ConfigurationError)
            assert f"SET GLOBAL {setting} = '{restored}'" in str(reader.error)
    finally:
        source.query(f"SET GLOBAL {setting} = '{restored}'")
