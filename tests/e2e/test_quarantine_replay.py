"""A column is renamed at the source: its messages are refused, corrected, replayed and reconciled, by people and after crashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from starlette.testclient import TestClient

from cdc.mapping import Rename
from cdc.topics import source_topic
from clickhouse.case_reader import CaseReader
from clickhouse.quarantine_queries import refused_again, refused_message, replays_of
from dashboards.access.account import Role
from tests.access_stand import Stand
from tests.e2e.bad_messages import ORDER, envelope
from tests.e2e.command import trueup
from tests.e2e.rig import Rig, running_rig
from trueup.quarantine_desk import (
    Asked,
    Refused,
    decoders_by_topic,
    preview,
    refused_of,
    replay_of,
    send_replays,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DELIVERY_SECONDS = 120.0
ORDERS = (900_000_001, 900_000_002, 900_000_003, 900_000_004)


def topic_of(rig: Rig) -> str:
    return source_topic(rig.settings.source.name, rig.settings.source.schema_name, "orders")


def send_renamed(rig: Rig) -> None:
    """One new order each, whose column shop_id came as shopId."""
    producer = Producer({"bootstrap.servers": rig.settings.kafka.bootstrap, "partitioner": "murmur2_random"})
    for number in ORDERS:
        row = {**{name: held for name, held in ORDER.items() if name != "shop_id"}, "order_id": number, "shopId": 7}
        producer.produce(topic_of(rig), orjson.dumps(envelope(row)), orjson.dumps({"order_id": number}))
    assert producer.flush(DELIVERY_SECONDS) == 0


def refused_orders(rig: Rig) -> dict[int, Refused]:
    """Order → its refused message."""
    rows = rig.query(
        "SELECT topic, kafka_partition, kafka_offset, JSONExtractInt(key, 'order_id') FROM {db}.quarantine FINAL "
        "WHERE key != ''"
    )
    reader = CaseReader(rig._client, rig.settings.clickhouse.database)
    found = {}
    for topic, partition, offset, number in rows:
        query = refused_message(rig.settings.clickhouse.database, str(topic), _int(partition), _int(offset))
        found[_int(number)] = refused_of(reader.rows(query)[0])
    return found


def known_orders(rig: Rig) -> set[int]:
    rows = rig.query("SELECT toUInt64(order_id), shop_id, is_deleted FROM {db}.orders FINAL WHERE shop_id = '7'")
    return {_int(row[0]) for row in rows} & set(ORDERS)


def joined_orders(rig: Rig) -> set[int]:
    """Of the replayed orders, those with a wide row, which is what their pages show."""
    rows = rig.query("SELECT toUInt64(order_id) FROM {db}.order_wide FINAL WHERE shop_id = '7'")
    return {_int(row[0]) for row in rows}


def _int(value: Any) -> int:
    assert isinstance(value, int)
    return value


@pytest.mark.timeout(600)
def test_a_renamed_column_is_corrected_and_replayed(tmp_path: Path) -> None:
    with running_rig(tmp_path / "stack") as rig:
        send_renamed(rig)
        rig.wait("the orders are refused", lambda: set(refused_orders(rig)) == set(ORDERS), 60, "worker")
        assert known_orders(rig) == set()
        refused = refused_orders(rig)
        by_command_line(rig, tmp_path, refused[ORDERS[0]])
        by_page(rig, tmp_path, refused[ORDERS[1]])
        twice_with_a_crash_between(rig, refused[ORDERS[2]])
        as_it_was(rig, refused[ORDERS[3]])
        rig.wait("three orders are known", lambda: known_orders(rig) == set(ORDERS[:3]), 60, "worker")
        assert joined_orders(rig) == set(ORDERS[:3])
        assert trueup("audit", "verify", "--data-dir", str(tmp_path / "stack"), cwd=tmp_path).returncode == 0


def by_command_line(rig: Rig, folder: Path, refused: Refused) -> None:
    """Tried first, then replayed."""
    words = ("quarantine", "replay", str(refused.origin), "--data-dir", str(folder / "stack"), "--json")
    assert trueup(*words, cwd=folder).returncode == 1
    done = trueup(*words, "--rename", "shopId=shop_id", "--as", "ann", "--note", "renamed", cwd=folder)
    assert done.returncode == 0, done.stderr
    (message,) = orjson.loads(done.stdout)["messages"]
    assert (message["accepted"], message["result"]) == (True, "applied")
    shown = orjson.loads(
        trueup(
            "quarantine", "show", str(refused.origin), "--data-dir", str(folder / "stack"), "--json", cwd=folder
        ).stdout
    )
    assert [(row["actor"], row["outcome"], row["note"]) for row in shown["replays"]] == [("ann", "sent", "renamed")]


def by_page(rig: Rig, folder: Path, refused: Refused) -> None:
    """An operator may, a viewer may not."""
    (folder / "accounts").mkdir()
    parts = {"client": rig._client, "cases": CaseReader(rig._client, rig.settings.clickhouse.database)}
    stand = Stand(folder / "accounts", parts=parts)
    object.__setattr__(stand.board, "settings", rig.settings)
    origin = refused.origin
    fields = {
        "topic": origin.topic, "partition": origin.partition, "offset": origin.offset, "request_id": "from a page",
        "steps": "do=rename&field=shopId&old=&new=shop_id",
    }  # fmt: skip
    viewer, operator = stand.signed_in("vera", Role.VIEWER), stand.signed_in("olga", Role.OPERATOR)
    assert viewer.submit("/quarantine/replay", **fields).status_code == 403
    answer = operator.submit("/quarantine/replay", **fields)
    assert answer.status_code == 200, answer.text
    assert "mark-good" in answer.text
    assert_sent(rig, refused, "olga")
    rig.wait("the replayed order is joined", lambda: ORDERS[1] in joined_orders(rig), 60, "worker")
    _assert_steps(operator)
    stand.close()


def _assert_steps(browser: TestClient) -> None:
    """The order's steps are read out of Kafka, and the health of the stack is told."""
    steps = browser.get(f"/orders/{ORDERS[1]}/steps")
    assert steps.status_code == 200
    assert "insert orders" in steps.text


def twice_with_a_crash_between(rig: Rig, refused: Refused) -> None:
    """The same request before and after all workers died."""
    mapping = (Rename("shopId", "shop_id"),)
    tried = preview(decoders_by_topic(rig.settings), refused, mapping)
    asked = Asked("bob", 1_763_000_000_000_000, "", "one request")
    replay = replay_of(refused, tried, mapping, asked)
    assert [answer.result for answer in send_replays(rig.settings, rig._client, [replay])] == ["applied"]
    for worker in rig.states("worker"):
        rig.supervisor.kill(worker.name)
        rig.wait_restarted(worker)
    rig.wait_for_partitions()
    assert [answer.result for answer in send_replays(rig.settings, rig._client, [replay, replay])] == ["applied"] * 2
    assert_sent(rig, refused, "bob")


def as_it_was(rig: Rig, refused: Refused) -> None:
    """Sent without a correction, against the decoder's word: it comes back, and one sees of what."""
    asked = Asked("eve", 1_763_000_000_000_000, "", "uncorrected")
    tried = preview(decoders_by_topic(rig.settings), refused, ())
    assert not tried.accepted
    replay = replay_of(refused, tried, (), asked)
    assert [answer.result for answer in send_replays(rig.settings, rig._client, [replay])] == ["applied"]
    reader = CaseReader(rig._client, rig.settings.clickhouse.database)
    query = refused_again(rig.settings.clickhouse.database, refused.origin.topic, [replay.replay_id])
    rig.wait("it is refused again", lambda: len(reader.rows(query)) == 1, 60, "worker")
    assert reader.rows(query)[0]["kafka_partition"] == refused.origin.partition


def assert_sent(rig: Rig, refused: Refused, actor: str) -> None:
    reader = CaseReader(rig._client, rig.settings.clickhouse.database)
    query = replays_of(rig.settings.clickhouse.database, *refused.origin)
    # The answer came from the audit log, whose row of the same window is inserted before.
    rig.wait("the replay is told", lambda: bool(reader.rows(query)), 60, "worker")
    rows = reader.rows(query)
    assert [(row["actor"], row["outcome"]) for row in rows] == [(actor, "sent")]
