"""The reader on real Postgres and Kafka: what the topics tell is what the tables hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from cdc.postgres_slot import drop_slot, slot_lag_bytes
from cdc.postgres_source import connect, prepare
from cdc.postgres_state import SnapshotMark, read_postgres_state
from cdc.source_tables import settlement_tables
from cdc.topics import HEARTBEAT_TOPIC, QUARANTINE_TOPIC
from tests.integration.cdc_stack import Reader, Source, Stack, reading, running_stack, wait_until
from tests.integration.cdc_workload import Writer
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.model.tables import TABLES
from trueup.settings import Settings

pytestmark = pytest.mark.integration

SEED = 20_261_120


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("cdc")) as stack:
        yield stack


@pytest.fixture(scope="module")
def plain(stack: Stack) -> Source:
    source = stack.source("plain")
    source.query("CREATE ROLE unfit LOGIN PASSWORD 'x'")
    return source


def insert_orders(source: Source, first: int, count: int) -> None:
    source.query(
        "INSERT INTO orders SELECT number, 1, 'USD', 10.55, 1, 0.5, '{\"rate\": 0.05}', 'created', NULL, now()"
        f" FROM generate_series({first}, {first + count - 1}) AS number"
    )


def snapshot_mark(source: Source) -> SnapshotMark:
    mark = read_postgres_state(source.stack.kafka.bootstrap, source.name).mark
    assert mark is not None
    return mark


def heartbeats(source: Source) -> list[dict[str, Any]]:
    messages = source.messages(HEARTBEAT_TOPIC)
    return [orjson.loads(message.value) for message in messages if message.key == source.name.encode()]


def operations(source: Source) -> dict[object, list[str]]:
    """What was told under the key of each order, in order."""
    told: dict[object, list[str]] = {}
    for message, change in source.changes():
        told.setdefault(change.key, []).append(orjson.loads(message.value)["op"])
    return told


def test_snapshot_and_stream_equal_the_tables_while_others_write(stack: Stack) -> None:
    source = stack.source("concurrent")
    insert_orders(source, 5_000_000, 20_000)
    source.query(
        "INSERT INTO statement VALUES (1, 2, 'daily', '2026-11-01', '2026-11-02', 'USD', 3, 4, 'open', NULL, now())"
    )
    source.query("INSERT INTO rule VALUES (1, 'daily', true, 10, 'USD', false)")
    writers = [Writer(source, number, SEED) for number in range(3)]
    for writer in writers:
        writer.start()
    wait_until(lambda: all(writer.committed > 20 for writer in writers))
    with reading(source) as reader:
        reader.wait_until(lambda: reader.counters.transactions > 100)
        for writer in writers:
            writer.stop()
        reader.catch_up(source)
    assert reader.counters.snapshot_rows > 20_000
    assert reader.counters.sessions == 1
    assert reader.counters.last_commit_us == max(change.commit_us for _, change in source.changes())
    assert source.mirror() == source.truth()


def test_a_change_written_before_and_committed_after_the_consistent_point_wins_over_the_snapshot(stack: Stack) -> None:
    source = stack.source("straddling")
    insert_orders(source, 1, 20)
    # Open transactions hold the making of the slot at its two steps, so that later ones straddle its consistent point.
    first, second = source.connect(), source.connect()
    first.execute("BEGIN")
    first.execute("UPDATE orders SET status = 'paid' WHERE order_id = 1")
    with reading(source) as reader:
        reader.wait_until(source.slot_exists)
        second.execute("BEGIN")
        second.execute("UPDATE orders SET status = 'paid' WHERE order_id = 2")
        first.execute("COMMIT")
        late = []
        for number in range(10, 16):
            time.sleep(0.2)
            connection = source.connect()
            connection.execute("BEGIN")
            connection.execute(f"UPDATE orders SET status = 'cancelled' WHERE order_id = {number}".encode())
            late.append(connection)
        second.execute("COMMIT")
        for connection in late:
            wait_until_or = time.monotonic() + 0.5
            while reader.counters.snapshot_rows < 20 and time.monotonic() < wait_until_or:
                time.sleep(0.02)
            connection.execute("COMMIT")
            connection.close()
        reader.catch_up(source)
    first.close()
    second.close()
    assert source.mirror() == source.truth()
    consistent = snapshot_mark(source).consistent_lsn
    streamed = [change for message, change in source.changes() if orjson.loads(message.value)["op"] == "u"]
    assert any(change.version < consistent for change in streamed), "no change straddled the consistent point"


def test_each_kind_of_change(stack: Stack) -> None:
    source = stack.source("kinds")
    insert_orders(source, 1, 1)
    with reading(source) as reader:
        reader.catch_up(source)
        insert_orders(source, 2, 2)
        source.query("UPDATE orders SET status = 'paid' WHERE order_id = 1")
        source.query("UPDATE orders SET order_id = 4 WHERE order_id = 2")
        source.query("DELETE FROM orders WHERE order_id = 3")
        with source.connect() as connection:
            connection.execute("BEGIN")
            connection.execute("UPDATE orders SET status = 'cancelled' WHERE order_id = 1")
            connection.execute("INSERT INTO orders SELECT 5, * FROM (SELECT shop_id, currency, 1, 1, 1, factors, status,"
                               " completed_at, updated_at FROM orders WHERE order_id = 1) AS other")  # fmt: skip
            connection.execute("ROLLBACK")
        reader.catch_up(source)
    assert operations(source) == {1: ["r", "u"], 2: ["c", "d"], 3: ["c", "d"], 4: ["c"]}
    assert source.mirror() == source.truth()
    moves = [change.moves for _, change in source.changes() if change.key == 1]
    assert moves == [(), (("status", "created", "paid"),)]


def test_one_large_transaction_and_large_values(stack: Stack) -> None:
    source = stack.source("large")
    with reading(source) as reader:
        reader.catch_up(source)
        insert_orders(source, 1, 30_000)
        source.query("UPDATE orders SET factors = (SELECT jsonb_agg(md5(n::text)) FROM generate_series(1, 500) AS n)"
                     " WHERE order_id = 7")  # fmt: skip
        source.query("UPDATE orders SET status = 'paid' WHERE order_id = 7")
        reader.catch_up(source)
    assert source.mirror() == source.truth()
    last = [message for message, change in source.changes() if change.key == 7][-1]
    assert orjson.loads(last.value)["after"]["factors"] == "__debezium_unavailable_value"


def test_what_cannot_be_a_message_is_quarantined_and_the_stream_goes_on(stack: Stack) -> None:
    source = stack.source("poison")
    with reading(source) as reader:
        reader.catch_up(source)
        insert_orders(source, 1, 2)
        source.query("UPDATE orders SET factors = to_jsonb(repeat('x', 2000000)) WHERE order_id = 1")
        source.query("UPDATE orders SET status = 'paid' WHERE order_id = 2")
        reader.catch_up(source)
        assert reader.counters.quarantined == 1
    held = [message for message in source.messages(QUARANTINE_TOPIC) if message.key == b"poison.public.orders"]
    assert [(message.headers["code"], message.headers["topic"]) for message in held] == [
        ("too-large", "poison.public.orders")
    ]
    assert operations(source) == {1: ["c"], 2: ["c", "u"]}


def test_heartbeats_go_on_without_any_write(stack: Stack) -> None:
    source = stack.source("idle")
    # An open transaction has log that nobody flushes; it must not hold up the time of others.
    with source.connect() as connection, reading(source) as reader:
        reader.catch_up(source)
        for _ in range(3):
            connection.execute("BEGIN")
            insert = "INSERT INTO rule VALUES (1, 'daily', true, 10, 'USD', false)"
            connection.execute(insert.encode())
            reader.catch_up(source)
            connection.execute("ROLLBACK")
        started = time.monotonic()
        before = reader.counters.heartbeats
        reader.wait_until(lambda: reader.counters.heartbeats >= before + 10)
        elapsed = time.monotonic() - started
    assert elapsed > 0.8
    times = [beat["ts_us"] for beat in heartbeats(source)]
    assert times == sorted(times)
    assert len(set(times)) == len(times) > 10


def test_the_slot_follows_log_that_has_nothing_for_it(stack: Stack) -> None:
    source = stack.source("elsewhere")
    with reading(source) as reader:
        reader.catch_up(source)
        source.query(
            "CREATE TABLE truth.noise AS SELECT number, md5(number::text) FROM generate_series(1, 50000) AS number"
        )
        reader.catch_up(source)
        wait_until(lambda: (slot_lag_bytes(source.settings.source) or 0) < 100_000)
        with pytest.raises(UnavailableError, match="held by a reader"):
            drop_slot(source.settings.source)
    assert reader.counters.changes == 0
    assert drop_slot(source.settings.source)
    assert slot_lag_bytes(source.settings.source) is None
    assert not drop_slot(source.settings.source)


def test_everything_committed_by_a_heartbeats_time_stands_below_its_positions(stack: Stack) -> None:
    source = stack.source("watermark")
    writers = [Writer(source, number, SEED) for number in range(3)]
    with reading(source) as reader:
        reader.catch_up(source)
        for writer in writers:
            writer.start()
        before = reader.counters.heartbeats
        reader.wait_until(lambda: reader.counters.heartbeats > before + 30)
        for writer in writers:
            writer.stop()
        reader.catch_up(source)
    beats = heartbeats(source)
    changes = [(message, change.commit_us) for message, change in source.changes()]
    assert len(changes) > 100
    for beat in beats:
        time_us, positions = beat["ts_us"], beat["positions"]
        late = [
            message
            for message, commit_us in changes
            if message.offset >= positions[message.topic][message.partition] and commit_us <= time_us
        ]
        assert late == []
    newest = beats[-1]["positions"]
    assert sum(sum(ends) for ends in newest.values()) == len(changes)


def test_an_unfinished_snapshot_starts_over(stack: Stack) -> None:
    source = stack.source("unfinished")
    insert_orders(source, 1, 10)
    source.query("SELECT pg_create_logical_replication_slot('unfinished', 'pgoutput')")
    with reading(source) as reader:
        reader.catch_up(source)
        assert reader.counters.snapshot_rows == 10
    with reading(source) as again:
        again.catch_up(source)
        assert again.counters.snapshot_rows == 0
    assert source.mirror() == source.truth()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": SecretStr("wrong")}, "password authentication failed"),
        ({"database": "absent"}, "does not exist"),
        ({"schema_name": "absent"}, "table absent.orders does not exist"),
        ({"schema_name": "truth"}, "never read"),
        ({"user": "unfit", "password": SecretStr("x")}, "may not replicate"),
        ({"name": "topicless"}, "topicless.public.orders"),
    ],
)
def test_a_source_that_cannot_be_read_says_why(plain: Source, change: dict[str, object], message: str) -> None:
    settings = plain.settings
    source = settings.source.model_copy(update={"slot": "refused", **change})
    reader = Reader(Settings(source=source, kafka=settings.kafka))
    wait_until(lambda: reader.error is not None)
    reader.stop()
    assert isinstance(reader.error, ConfigurationError)
    assert message in str(reader.error)


def test_a_role_without_the_rights_is_told_the_statement_that_is_missing(stack: Stack) -> None:
    owned = stack.source("unowned")
    owned.query("CREATE ROLE reads LOGIN REPLICATION PASSWORD 'x'")
    owned.query("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reads")
    owned.query("ALTER TABLE payout REPLICA IDENTITY DEFAULT")
    source = owned.settings.source.model_copy(update={"user": "reads", "password": SecretStr("x"), "slot": "refused"})

    def refusal() -> ConfigurationError:
        with connect(source) as connection, pytest.raises(ConfigurationError) as caught:
            prepare(connection, source, settlement_tables(source.schema_name))
        return caught.value

    assert refusal().remedy == 'let its owner run: ALTER TABLE "public"."payout" REPLICA IDENTITY FULL'
    owned.query("ALTER TABLE payout REPLICA IDENTITY FULL")
    assert refusal().remedy.startswith('let its owner run: CREATE PUBLICATION "trueup" FOR TABLE "public"."orders", ')
    owned.query("CREATE PUBLICATION trueup FOR TABLE orders")
    assert refusal().remedy.startswith('let its owner run: ALTER PUBLICATION "trueup" ADD TABLE "public"."account", ')
    with owned.connect() as connection:
        prepare(connection, owned.settings.source, settlement_tables("public"))
    with connect(source) as connection:
        prepare(connection, source, settlement_tables(source.schema_name))
    published = owned.query("SELECT count(*) FROM pg_publication_tables WHERE pubname = 'trueup'")
    assert published == [(len(TABLES),)]
