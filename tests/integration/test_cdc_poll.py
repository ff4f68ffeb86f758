"""Polling a real PostgreSQL into a real Kafka: the reference business as by replication, and kills on the way."""

from __future__ import annotations

import random
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from cdc.counters import ReaderCounters
from cdc.delivery import end_offsets
from cdc.poll import PollSession, open_session
from cdc.source_check import check_source
from cdc.source_tables import settlement_tables
from cdc.topics import HEARTBEAT_TOPIC, ensure_topics, source_topics, topic_plan
from tests.integration.cdc_stack import (
    PARTITIONS,
    WAIT_SECONDS,
    Message,
    Source,
    Stack,
    reading,
    running_stack,
    wait_until,
)
from tests.integration.cdc_workload import Writer
from tests.integration.reader_process import start_reader
from tests.stream_verdicts import Opened, verdicts_of
from trueup.checking.parts import settlement_needs
from trueup.model.errors import ConfigurationError
from trueup.settings import PollSettings
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.workload import run as run_workload

pytestmark = [pytest.mark.integration, pytest.mark.timeout(800)]

KILLS = 4
COPIED_ROWS = 60_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("poll")) as stack:
        yield stack


def polled(source: Source, name: str, data_dir: Path, **options: float) -> Source:
    """The same database under another name, to be polled."""
    ensure_topics(source.stack.kafka.bootstrap, topic_plan([name], "public", PARTITIONS))
    poll = PollSettings.model_validate({"interval_seconds": 0.2, "overlap_seconds": 5, "page_rows": 1000, **options})
    settings = source.settings.source.model_copy(update={"name": name, "reader": "poll", "poll": poll})
    return replace(source, settings=source.settings.model_copy(update={"source": settings, "data_dir": data_dir}))


def assert_polled(session: PollSession) -> None:
    assert session.poller.poll()


def verdicts(source: Source, directory: Path) -> set[Opened]:
    messages = source.messages()
    return verdicts_of(directory, [(message.topic.rpartition(".")[2], message.value) for message in messages])


def test_the_reference_business_comes_out_as_by_replication(stack: Stack, tmp_path: Path) -> None:
    pushed = stack.source("pushed")
    pulled = polled(pushed, "pulled", tmp_path, compare_interval_seconds=0)
    plan = WorkloadPlan(
        300, seed=11, shops=6, faults=True, traps=False, fault_copies=1, connections=1, grace_seconds=0.1
    )
    tables = settlement_tables("public")
    with reading(pushed) as reader, open_session(pulled.settings, ReaderCounters(), tables, lambda: False) as session:
        reader.catch_up(pushed)
        # After every commit, so that no two changes of a row fall together.
        run_workload(pushed.dsn, plan, lambda _: assert_polled(session))
        assert_polled(session)
        reader.catch_up(pushed)
    assert pulled.mirror() == pushed.mirror()
    assert pulled.mirror()["payout_item"]
    by_poll, by_log = verdicts(pulled, tmp_path / "verdicts_pulled"), verdicts(pushed, tmp_path / "verdicts_pushed")
    # A step that was skipped looks like two steps between two polls: see docs/cdc.md.
    unseen = {key[:2] for key, *_ in by_log - by_poll}
    assert by_poll - by_log == set()
    assert unseen == {("illegal-transition", "order")}
    assert len(by_poll) > 10


def test_polls_that_lie_far_apart_end_in_the_same_rows_and_raise_nothing_more(stack: Stack, tmp_path: Path) -> None:
    pushed = stack.source("pushed_apart")
    pulled = polled(pushed, "pulled_apart", tmp_path, compare_interval_seconds=0)
    plan = WorkloadPlan(200, seed=12, shops=6, connections=1)
    with open_session(pulled.settings, ReaderCounters(), settlement_tables("public"), lambda: False) as session:
        run_workload(pushed.dsn, plan, lambda done: None if done.transactions % 7 else assert_polled(session))
        assert_polled(session)
    with reading(pushed) as reader:
        reader.catch_up(pushed)
    assert pulled.mirror() == pushed.mirror()
    assert pulled.mirror()["payout_item"]
    assert verdicts(pulled, tmp_path / "verdicts") == set()


def test_changes_have_the_form_that_replication_gives_them(stack: Stack, tmp_path: Path) -> None:
    pushed = stack.source("form")
    pulled = polled(pushed, "form_polled", tmp_path, compare_interval_seconds=0)
    order = "INSERT INTO orders VALUES (1, 7, 'USD', 10.50, 1, 0.50, '{\"rate\": 0.05}', 'created', NULL, now())"
    item = "INSERT INTO billing_item VALUES (5, 1, 7, 3, 'sale', 'S', 9, 'USD', 'statemented', now(), now())"
    steps = [
        order,
        item,
        "UPDATE orders SET status = 'paid', updated_at = now() WHERE order_id = 1",
        "UPDATE billing_item SET order_id = 2 WHERE billing_item_id = 5",
        "UPDATE orders SET order_id = 3 WHERE order_id = 1",
        "DELETE FROM billing_item WHERE billing_item_id = 5",
    ]
    tables = settlement_tables("public")
    with reading(pushed) as reader, open_session(pulled.settings, ReaderCounters(), tables, lambda: False) as session:
        reader.catch_up(pushed)
        session.poller.poll()
        for step in steps:
            pushed.query(step)
            session.poller.poll()
        reader.catch_up(pushed)
    assert told(pulled.messages()) == told(pushed.messages())
    heartbeats = [orjson.loads(one.value) for one in pulled.messages(HEARTBEAT_TOPIC) if one.key == b"form_polled"]
    assert len(heartbeats) == len(steps) + 1
    ends = end_offsets(stack.kafka.bootstrap, source_topics("form_polled", "public"))
    assert heartbeats[-1]["positions"] == ends
    # Everything behind a heartbeat is of a later poll.
    times = [orjson.loads(one.value)["source"]["ts_us"] for one in pulled.messages()]
    assert max(times) <= heartbeats[-1]["ts_us"]


def told(messages: list[Message]) -> list[tuple[Any, ...]]:
    """What is said of each key, in its order, without versions and times of reading."""
    found = []
    for message in messages:
        envelope = orjson.loads(message.value)
        found.append(
            (message.topic.rpartition(".")[2], message.key, envelope["op"], envelope["before"], envelope["after"])
        )
    return sorted(found, key=lambda one: one[:2])


def noted(directory: Path, source: Source) -> int:
    """Changes that the dead reader had noted and did not know to be delivered."""
    memory = sqlite3.connect(directory / f"poll-{source.name}.sqlite")
    try:
        return int(memory.execute("SELECT count(*) FROM change").fetchone()[0])
    finally:
        memory.close()


def heard_at(source: Source) -> int:
    """The newest heartbeat, µs of the source's clock; 0 before the first one."""
    times = [
        orjson.loads(one.value)["ts_us"] for one in source.messages(HEARTBEAT_TOPIC) if one.key == source.name.encode()
    ]
    return max(times, default=0)


@pytest.mark.slow
def test_a_poller_killed_between_sending_and_noting_says_the_same_again(stack: Stack, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    pick = random.Random(seed)
    # Shown when the test fails; the moments of the kills follow from it.
    sys.stdout.write(f"seed {seed}\n")
    source = polled(stack.source("poll_killed"), "poll_killed", tmp_path, compare_interval_seconds=0)
    source.query(
        "INSERT INTO orders SELECT number, 1, 'USD', 10.55, 1, 0.5, '{\"rate\": 0.05}', 'created', NULL, now()"
        f" FROM generate_series(5000001, {5_000_000 + COPIED_ROWS}) AS number"
    )
    topics = source_topics(source.name, "public")
    process = start_reader(source.settings, tmp_path)
    wait_until(lambda: any(map(any, end_offsets(stack.kafka.bootstrap, topics).values())))
    process.kill()
    process.wait(WAIT_SECONDS)
    assert noted(tmp_path, source) > 0
    writers = [Writer(source, number, seed) for number in range(2)]
    for writer in writers:
        writer.start()
    for _ in range(KILLS):
        process = start_reader(source.settings, tmp_path)
        time.sleep(pick.uniform(0.8, 2.5))
        process.kill()
        process.wait(WAIT_SECONDS)
    for writer in writers:
        writer.stop()
    now_us = source.now_us()
    process = start_reader(source.settings, tmp_path)
    wait_until(lambda: heard_at(source) > now_us or process.poll() is not None)
    process.terminate()
    assert process.wait(WAIT_SECONDS) == 0
    assert source.mirror() == source.truth()
    assert sum(writer.committed for writer in writers) > 0
    seen: dict[tuple[str, Any, int], bytes] = {}
    repeats = 0
    for message, change in source.changes():
        identity = (message.topic, change.primary_key, change.version)
        repeats += identity in seen
        assert seen.setdefault(identity, message.value) == message.value
    assert repeats > 0


def test_a_memory_of_other_topics_is_not_believed_and_no_row_stays_behind(stack: Stack, tmp_path: Path) -> None:
    source = polled(stack.source("poll_moved"), "poll_moved", tmp_path)
    source.query("INSERT INTO account VALUES (1, 'bank', 1, 'USD'), (2, 'bank', 1, 'USD')")
    tables = settlement_tables("public")
    for data_dir in (tmp_path / "one", tmp_path / "two", tmp_path / "one"):
        settings = source.settings.model_copy(update={"data_dir": data_dir})
        with open_session(settings, ReaderCounters(), tables, lambda: False) as session:
            assert_polled(session)
            assert_polled(session)
        # Nobody sees it go.
        source.query("DELETE FROM account WHERE shop_id = 2")
    told = sorted((change.version, change.primary_key) for _, change in source.changes())
    assert [key for _, key in told] == [1, 2, 1, 1]
    assert len({version for version, _ in told}) == 3
    assert source.mirror() == source.truth()


def test_a_column_that_goes_away_ends_the_reader_with_its_name(stack: Stack, tmp_path: Path) -> None:
    source = polled(stack.source("poll_altered"), "poll_altered", tmp_path, compare_interval_seconds=0)
    source.query("INSERT INTO account VALUES (1, 'bank', 1, 'USD')")
    with open_session(source.settings, ReaderCounters(), settlement_tables("public"), lambda: False) as session:
        session.poller.poll()
        source.query("ALTER TABLE account ADD COLUMN note text DEFAULT 'new'")
        session.poller.poll()
        source.query("ALTER TABLE account RENAME COLUMN currency TO coin")
        with pytest.raises(ConfigurationError, match="account has no column currency"):
            session.poller.poll()
        source.query("ALTER TABLE account RENAME COLUMN coin TO currency")
        session.poller.poll()
    envelopes = [orjson.loads(message.value) for message in source.messages()]
    assert [one["after"].get("note") for one in envelopes] == [None, "new"]
    assert envelopes[1]["before"]["note"] is None


def test_a_role_that_may_only_read_is_enough(stack: Stack, tmp_path: Path) -> None:
    source = polled(stack.source("poll_least"), "poll_least", tmp_path)
    source.query("CREATE ROLE looks LOGIN PASSWORD 'looks'")
    source.query("GRANT USAGE ON SCHEMA public TO looks")
    source.query("GRANT SELECT ON ALL TABLES IN SCHEMA public TO looks")
    source.query("INSERT INTO account VALUES (1, 'bank', 1, 'USD')")
    role = source.settings.source.model_copy(update={"user": "looks", "password": SecretStr("looks")})
    settings = source.settings.model_copy(update={"source": role})
    with open_session(settings, ReaderCounters(), settlement_tables("public"), lambda: False) as session:
        assert session.poller.poll()
    assert len(source.messages()) == 1
    assert check_source(role, settlement_needs(role)).faults == []
