"""The real Debezium against our own reader: the same changes, the same books, and a move from one to the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from cdc.metrics import reader_parts
from tests.integration.cdc_stack import Source, reading, wait_until, write_some
from tests.integration.cdc_workload import Writer
from tests.integration.connect_stack import ConnectStack, remove_connector, running_connect, watching
from tests.integration.mirror import assert_versions_agree, in_dollars
from tests.source_log import SOURCE
from tests.stream_verdicts import verdicts_of
from trueup.checking.connector_check import check_connector, connector_state, register_connector
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.workload import run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SEED = 20_261_128


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectStack]:
    with running_connect(tmp_path_factory.mktemp("debezium")) as stack:
        yield stack


class Told(NamedTuple):
    """One streamed change, as far as both must agree."""

    table: str
    lsn: int
    op: str
    key: bytes
    before: Any
    after: Any


class Pair(NamedTuple):
    """One database, read by both at once."""

    ours: Source
    theirs: Source


@pytest.fixture(scope="module")
def pair(connect: ConnectStack) -> Pair:
    """Both have read the same run of the workload, and rows that moved, were deleted or are large."""
    theirs = connect.source("theirs")
    ours = connect.source("ours", database_of=theirs)
    theirs.query(
        "INSERT INTO rule SELECT number, 'daily', true, 10, 'USD', false FROM generate_series(900, 920) AS number"
    )
    with reading(ours) as reader:
        reader.wait_until(lambda: reader.counters.heartbeats > 0)
        with watching(theirs) as watch:
            connect.wait_running("theirs")
            watch.wait_until(lambda: watch.counters.heartbeats > 0)
            run(theirs.dsn, WorkloadPlan(1_000, seed=SEED, faults=True, traps=False))
            theirs.query("UPDATE rule SET payment_threshold = 11 WHERE rule_id < 905")
            theirs.query("UPDATE rule SET rule_id = rule_id + 1000 WHERE rule_id = 910")
            theirs.query("DELETE FROM rule WHERE rule_id = 911")
            for one in (reader, watch):
                one.catch_up(theirs)
    return Pair(ours, theirs)


FRACTION = re.compile(r"(T\d\d:\d\d:\d\d)(\.\d*?)0*Z")


def plain(image: dict[str, Any] | None) -> dict[str, Any] | None:
    """A row without zeros at the end of its times: Debezium writes all six digits of a fraction."""
    if image is None:
        return None
    return {
        name: FRACTION.sub(lambda found: f"{found[1]}{found[2].rstrip('.')}Z", value) if type(value) is str else value
        for name, value in image.items()
    }


def told(source: Source) -> list[Told]:
    """The streamed changes."""
    found = []
    for message in source.messages():
        value = orjson.loads(message.value)
        if value["op"] != "r":
            table = message.topic.rpartition(".")[2]
            place = (table, value["source"]["lsn"], value["op"])
            found.append(Told(*place, message.key, plain(value["before"]), plain(value["after"])))
    return found


def in_order(changes: list[Told]) -> list[Told]:
    """By position, and the deletion of a moved row last."""
    return sorted(changes, key=lambda one: (one.lsn, one.op))


def test_the_same_rows_are_told_in_the_same_words(pair: Pair) -> None:
    ours, theirs = told(pair.ours), told(pair.theirs)
    assert len(ours) > 500
    # A row that moves to another key: our delete stands one position before the create, Debezium's at the same.
    moved = {one.lsn for one in theirs if one.op == "d"} & {one.lsn for one in theirs if one.op == "c"}
    assert moved
    ours = [one._replace(lsn=one.lsn + 1) if one.op == "d" and one.lsn + 1 in moved else one for one in ours]
    assert in_order(ours) == in_order(theirs)


def test_both_end_as_the_database(pair: Pair) -> None:
    ours, theirs, truth = pair.ours.mirror(), pair.theirs.mirror(), pair.ours.truth()
    assert theirs == ours
    assert {name: rows.keys() for name, rows in ours.items()} == {name: rows.keys() for name, rows in truth.items()}
    assert in_dollars(ours) == in_dollars(truth)


def test_the_same_discrepancies_are_found(pair: Pair, tmp_path: Path) -> None:
    verdicts = {}
    for source in pair:
        name = b'"name":"%b"' % source.name.encode()
        messages = [
            (message.topic.rpartition(".")[2], message.value.replace(name, b'"name":"%b"' % SOURCE.encode(), 1))
            for message in source.messages()
        ]
        verdicts[source.name] = verdicts_of(tmp_path / source.name, messages)
    assert verdicts["theirs"]
    assert verdicts["theirs"] == verdicts["ours"]


def confirmed_lsn(source: Source) -> int:
    (row,) = source.query(
        f"SELECT (confirmed_flush_lsn - '0/0')::int8 FROM pg_replication_slots WHERE slot_name = '{source.name}'"
    )
    return int(row[0])


def test_an_idle_source_moves_time_and_the_slot(connect: ConnectStack) -> None:
    source = connect.source("idle")
    with watching(source) as watch:
        watch.wait_until(lambda: watch.counters.heartbeats > 2)
        source.query("CREATE TABLE elsewhere AS SELECT generate_series(1, 1000) AS number")
        written = int(source.query("SELECT (pg_current_wal_lsn() - '0/0')::int8")[0][0])
        watch.catch_up(source)
        wait_until(lambda: confirmed_lsn(source) > written)
        assert watch.counters.confirmed_lsn > written
    remove_connector(connect.connect.url, "idle")


def test_a_move_there_and_back_neither_skips_nor_doubles(connect: ConnectStack) -> None:
    source = connect.source("mover")
    writers = [Writer(source, number, SEED) for number in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(2):
            with reading(source) as reader:
                reader.wait_until(lambda: reader.counters.transactions > 20)
            write_some(writers)
            with watching(source) as watch:
                connect.wait_running("mover")
                watch.catch_up(source)
            remove_connector(connect.connect.url, "mover")
    finally:
        for writer in writers:
            writer.stop()
    with reading(source) as reader:
        reader.catch_up(source)
        assert reader.counters.snapshot_rows == 0
    assert source.mirror() == source.truth()
    assert_versions_agree(change for _, change in source.changes())


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("precise", {"decimal_handling_mode": "precise", "value_converter_schemas_enable": "true"}),
        (
            "flattened",
            {
                "transforms": "flat",
                "transforms_flat_type": "io.debezium.transforms.ExtractNewRecordState",
                "transforms_flat_add_fields": "op,source.name,source.lsn,source.ts_us",
                "transforms_flat_delete_tombstone_handling_mode": "rewrite",
            },
        ),
    ],
)
def test_other_forms_tell_the_same(connect: ConnectStack, name: str, changed: dict[str, str]) -> None:
    source = connect.source(name)
    source.query(
        "INSERT INTO rule SELECT number, 'daily', true, 10.55, 'USD', false FROM generate_series(1, 20) AS number"
    )
    connect.rest.register(name, connect.config(source, snapshot_mode="initial", **changed))
    with watching(source) as watch:
        connect.wait_running(name)
        watch.wait_until(lambda: watch.counters.heartbeats > 0)
        assert source.mirror() == source.truth()
        source.query("UPDATE rule SET payment_threshold = -0.01 WHERE rule_id < 5")
        source.query("DELETE FROM rule WHERE rule_id = 7")
        source.query(
            "INSERT INTO orders VALUES (1, 1, 'USD', 10.55, 1, 0.5, '{\"rate\": 0.05}', 'created', NULL, now())"
        )
        watch.catch_up(source)
    assert source.mirror() == source.truth()
    remove_connector(connect.connect.url, name)


def test_time_stands_still_while_a_task_has_failed(connect: ConnectStack) -> None:
    source = connect.source("failing")
    with watching(source) as watch:
        connect.wait_running("failing")
        watch.wait_until(lambda: watch.counters.heartbeats > 0)
        connect.rest.register("failing", connect.config(source, producer_override_max_request_size="3000"))
        large = '{"note": "' + "x" * 10_000 + '"}'
        numbers = count(1)

        def has_failed() -> bool:
            # The task that the new one takes the place of may still send what is written first.
            source.query(
                f"INSERT INTO orders VALUES ({next(numbers)}, 1, 'USD', 10, 1, 1, '{large}', 'created', NULL, now())"
            )
            return "FAILED" in watch.counters.last_errors.get("connect", "")

        wait_until(has_failed)
        parts = reader_parts(watch.counters)
        assert not parts["connector"].ready
        assert "task 0 is FAILED" in parts["connector"].error
        assert watch.counters.failing == "connect"
        status = connect.rest.status("failing")
        assert status is not None
        assert "RecordTooLarge" in status.tasks[0].reason
        (fault,) = connector_state(source.settings).faults
        assert "restart" in fault.remedy
    remove_connector(connect.connect.url, "failing")


def test_the_connector_is_checked_registered_and_shown(connect: ConnectStack) -> None:
    source = connect.source("asked")
    settings = source.settings
    (connector,) = [part for part in check_connector(settings) if part.name == "connector"]
    assert connector.faults == []
    assert connector.facts[-1] == "connector asked is not registered yet"
    (fault,) = register_connector(settings, {})
    assert fault.what.startswith("no copy of the tables belongs to slot asked")
    with watching(source):
        connect.wait_running("asked")
        for _ in range(2):
            assert register_connector(settings, {"poll.interval.ms": "30"}) == []
        held = connect.rest.config("asked")
        assert held == connect.config(source, poll_interval_ms="30")
        (refused,) = register_connector(settings, {"decimal.handling.mode": "double"})
        assert "loses cents" in refused.remedy
        refused, *_ = register_connector(settings, {"poll.interval.ms": "soon"})
        assert refused.what.startswith("poll.interval.ms: ")
        connect.wait_running("asked")
        wait_until(lambda: connector_state(settings).slot_active is True)
        state = connector_state(settings)
        assert state.faults == []
        assert state.lag_bytes is not None
        (connector,) = [part for part in check_connector(settings) if part.name == "connector"]
        assert connector.faults == []
    remove_connector(connect.connect.url, "asked")
    assert [fault.remedy for fault in connector_state(settings).faults] == ["run `trueup cdc register`"]
