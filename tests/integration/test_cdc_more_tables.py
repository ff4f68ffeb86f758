"""Tables beside those of the settlement: composite keys, another schema, and a first copy while the slot is in use."""

from __future__ import annotations

import time
from collections.abc import Iterator

import orjson
import pytest

from cdc.postgres_state import read_postgres_state
from cdc.source_tables import SourceTable, labels, settlement_tables
from cdc.topics import HEARTBEAT_TOPIC, TopicPlan, TopicSpec, ensure_topics
from tests.integration.cdc_stack import PARTITIONS, Message, Source, Stack, reading, running_stack

pytestmark = pytest.mark.integration

ENTRY = SourceTable("books", "entry", ("entity", "number"), ("entity", "number"), ("entity", "number", "amount"))

WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_snapshot_xmin%'"
"""Whether a copy asks for the transactions that were under way when it began."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("more")) as stack:
        yield stack


def with_entries(stack: Stack, name: str) -> Source:
    """A database with a further table of 100 rows."""
    source = stack.source(name)
    topics = TopicPlan((TopicSpec(ENTRY.topic(name), PARTITIONS),))
    ensure_topics(stack.kafka.bootstrap, topics)
    source.query("CREATE SCHEMA books")
    source.query("CREATE TABLE books.entry (entity text, number int, amount numeric, PRIMARY KEY (entity, number))")
    source.query("INSERT INTO books.entry SELECT 'DE', number, 1 FROM generate_series(1, 100) AS number")
    return source


def entries(source: Source) -> list[Message]:
    return source.messages(ENTRY.topic(source.name))


def newest(source: Source) -> dict[int, str]:
    """Number → amount, by the highest version of each row."""
    versions: dict[int, tuple[int, str]] = {}
    for message in entries(source):
        envelope = orjson.loads(message.value)
        row, lsn = envelope["after"], envelope["source"]["lsn"]
        if row is not None and lsn >= versions.get(row["number"], (0, ""))[0]:
            versions[row["number"]] = (lsn, row["amount"])
    return {number: amount for number, (_lsn, amount) in versions.items()}


def truth(source: Source) -> dict[int, str]:
    return {number: str(amount) for number, amount in source.query("SELECT number, amount FROM books.entry")}


def test_a_table_that_joins_later_is_copied_once_beside_the_slot(stack: Stack) -> None:
    source = with_entries(stack, "joins")
    with reading(source) as reader:
        reader.catch_up(source)
        assert reader.counters.snapshot_rows == 0
    with reading(source, ENTRY) as reader:
        reader.catch_up(source)
        assert reader.counters.snapshot_rows == 100
        source.query("UPDATE books.entry SET amount = 2 WHERE number = 7")
        reader.catch_up(source)
    assert {message.key for message in entries(source)} >= {b'{"entity":"DE","number":7}'}
    assert newest(source) == truth(source)
    with reading(source, ENTRY) as reader:
        reader.catch_up(source)
        assert reader.counters.snapshot_rows == 0
    beat = orjson.loads(source.messages(HEARTBEAT_TOPIC)[-1].value)
    assert sum(beat["positions"][ENTRY.topic(source.name)]) == len(entries(source))


def test_a_table_that_was_not_read_for_a_while_is_copied_again(stack: Stack) -> None:
    source = with_entries(stack, "returns")
    mark = labels(settlement_tables("public"))
    for more, copied, amount in (((ENTRY,), 100, 3), ((), 0, 4), ((ENTRY,), 100, 5)):
        with reading(source, *more) as reader:
            reader.catch_up(source)
            assert reader.counters.snapshot_rows == copied
            source.query(f"UPDATE books.entry SET amount = {amount} WHERE number = {amount}")
            reader.catch_up(source)
        found = read_postgres_state(stack.kafka.bootstrap, source.name).mark
        assert found is not None
        assert found.tables == tuple(sorted((*mark, *labels(more))))
    assert newest(source) == truth(source)


def test_changes_under_way_while_a_table_joins_are_not_lost(stack: Stack) -> None:
    source = with_entries(stack, "straddles")
    with reading(source) as reader:
        reader.catch_up(source)
    early = source.connect()
    early.execute("BEGIN")
    early.execute("UPDATE orders SET status = 'paid'")
    early.execute("SELECT pg_current_xact_id()")
    with reading(source, ENTRY) as reader:
        reader.wait_until(lambda: bool(source.query("SELECT 1 FROM pg_publication_tables WHERE tablename = 'entry'")))
        early.execute("UPDATE books.entry SET amount = 9 WHERE number = 9")
        # Once it asks again and again, it takes no notice of transactions that begin.
        reader.wait_until(lambda: bool(source.query(WAITS)))
        late = source.connect()
        late.execute("BEGIN")
        late.execute("UPDATE books.entry SET amount = 10 WHERE number = 10")
        time.sleep(1.0)
        assert reader.counters.snapshot_rows == 0, "the copy waits for the transaction that was under way"
        early.execute("COMMIT")
        reader.wait_until(lambda: reader.counters.snapshot_rows == 100)
        late.execute("COMMIT")
        reader.catch_up(source)
    early.close()
    late.close()
    assert newest(source) == truth(source)
