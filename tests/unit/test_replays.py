"""Replays of refused messages: as they travel, and as the case stage carries them out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from cdc.decode import ChangeDecoder
from cdc.mapping import Drop, Rename, SetValue
from streams.audit_chain import verify_chain
from streams.replays import REPLAYS_TOPIC, Origin, Replay, decode_replay, encode_replay
from tests.case_bench import CaseBench
from tests.case_log import TARGETS, CaseLog
from tests.e2e.bad_messages import ORDER, envelope
from tests.partition_bench import NOW_US
from trueup.model.errors import ConfigurationError, InvalidRecord
from trueup.model.tables import ORDERS
from trueup.quarantine_desk import Asked, Preview, Refused, origin_of, preview, refused_of, replay_of, summary

TOPIC = "settlement.public.orders"
ORIGIN = Origin(TOPIC, 3, 41)
DECODERS = {TOPIC: [ChangeDecoder(ORDERS)]}
ASKED = Asked("ann", NOW_US, "the column was renamed", "5b1c7a4e")
RENAMED = {**{name: held for name, held in ORDER.items() if name != "shop_id"}, "shopId": 7}
MAPPING = (Rename("shopId", "shop_id"), Drop("extra"))


def refused(value: bytes, key: bytes = b'{"order_id":999000001}', origin: Origin = ORIGIN) -> Refused:
    return refused_of(
        {
            "topic": origin.topic, "kafka_partition": origin.partition, "kafka_offset": origin.offset, "stage": "orders",
            "code": "missing-field", "reason": "orders.shop_id is missing or null", "key_hex": key.hex(),
            "value_hex": value.hex(), "headers": "{}", "quarantined_at": None,
        }
    )  # fmt: skip


def replay(origin: Origin = ORIGIN, to_partition: int | None = 3, value: bytes = b"{}") -> Replay:
    return Replay("ab" * 16, origin, "ann", NOW_US, "[]", "", to_partition, b"key", value)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[CaseBench]:
    made = CaseBench(tmp_path)
    yield made
    made.close()


def test_a_replay_survives_its_message() -> None:
    given = replay_of(refused(b"\xff\x00"), Preview(True, "", "", b"\xfe", b"\xff\x00", False, None), MAPPING, ASKED)
    key, value = encode_replay(given)
    assert key == b"settlement.public.orders:3:41"
    assert decode_replay(value) == given


@pytest.mark.parametrize(
    "change",
    [
        {"partition": -1}, {"offset": "41"}, {"actor": 7}, {"to_partition": "3"}, {"to_partition": True},
        {"value": "no base64!"}, {"key": None}, {"mapping": float("nan")},
    ],
)  # fmt: skip
def test_a_message_that_is_no_replay_is_refused(change: dict[str, object]) -> None:
    document = {**orjson.loads(encode_replay(replay())[1]), **change}
    if change.keys() == {"mapping"}:
        del document["mapping"]
    with pytest.raises(InvalidRecord, match="not a replay"):
        decode_replay(orjson.dumps(document))
    with pytest.raises(InvalidRecord, match="not a replay"):
        decode_replay(None)


def test_the_case_stage_puts_the_bytes_on_their_topic_and_keeps_who_asked(bench: CaseBench) -> None:
    log = CaseLog()
    asked = replay(value=b"bytes")
    bench.process([log.raw(REPLAYS_TOPIC, *encode_replay(asked))])
    bench.settle()
    (sent,) = bench.sent
    assert (sent.topic, sent.key, sent.value, sent.partition) == (TOPIC, b"key", b"bytes", 3)
    assert dict(sent.headers)["trueup-replay"] == asked.replay_id.encode()
    assert dict(sent.headers)["trueup-origin"] == b"settlement.public.orders:3:41"
    (row,) = bench.replays
    assert row == (TOPIC, 3, 41, asked.replay_id, NOW_US, "ann", "sent", "", "[]", "", 3, b"bytes")
    (entry,) = bench.entries.values()
    assert (entry.kind, entry.actor, entry.outcome, entry.command_id) == ("replay", "ann", "applied", asked.replay_id)
    assert verify_chain([entry]) is None


def test_after_a_crash_the_same_is_sent_and_written_again(bench: CaseBench) -> None:
    log = CaseLog()
    record = log.raw(REPLAYS_TOPIC, *encode_replay(replay()))
    bench.process([record])
    bench.close_window()
    bench.crash()
    bench.process([record])
    bench.settle()
    assert bench.sent[0] == bench.sent[1]
    assert bench.replays[0] == bench.replays[1]
    assert len(bench.entries) == 1


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (replay(Origin("trueup.case-commands", 0, 1)), "is no topic of a source table"),
        (replay(to_partition=TARGETS.partitions), "has no partition 8"),
    ],
)
def test_a_replay_to_elsewhere_is_refused_and_kept(bench: CaseBench, asked: Replay, reason: str) -> None:
    bench.process([CaseLog().raw(REPLAYS_TOPIC, *encode_replay(asked))])
    bench.settle()
    assert bench.sent == []
    (row,) = bench.replays
    assert row[6] == "refused"
    assert reason in str(row[7])
    (entry,) = bench.entries.values()
    assert entry.outcome == "refused"


def test_a_replay_that_cannot_be_read_is_quarantined_in_its_turn(bench: CaseBench) -> None:
    bench.process([CaseLog().raw(REPLAYS_TOPIC, b"x", b"{}")])
    bench.settle()
    assert bench.quarantined == 1
    assert bench.replays == []


def test_the_preview_is_what_the_decoder_says() -> None:
    message = refused(orjson.dumps(envelope(RENAMED)))
    before = preview(DECODERS, message, ())
    assert (before.accepted, before.code) == (False, "missing-field")
    after = preview(DECODERS, message, MAPPING)
    assert after.accepted
    assert after.row is not None
    assert after.row["gross_amount"] == "100.00 USD"
    assert after.row["shop_id"] == 7
    assert after.row["updated_at"] == "2026-01-01T00:00:00+00:00"
    assert summary([before, after]) == {"missing-field": 1, "": 1}


def test_a_correction_of_the_key_lets_the_key_decide_where_it_goes() -> None:
    row = {**{name: held for name, held in ORDER.items() if name != "order_id"}, "orderId": 7}
    mapping = (Rename("orderId", "order_id"),)
    message = refused(orjson.dumps(envelope(row)), b'{"orderId":7}')
    tried = preview(DECODERS, message, mapping)
    assert replay_of(message, tried, mapping, ASKED).to_partition is None
    same = preview(DECODERS, message, (SetValue("order_id", 7),))
    assert replay_of(message, same, (), ASKED).to_partition == ORIGIN.partition


def test_only_messages_of_source_tables_can_be_tried() -> None:
    message = refused(b"{}", origin=Origin("trueup.case-commands", 0, 1))
    with pytest.raises(ConfigurationError, match="cannot be replayed"):
        preview(DECODERS, message, ())


def test_one_request_names_its_replays_alike() -> None:
    message = refused(orjson.dumps(envelope(ORDER)))
    tried = preview(DECODERS, message, ())
    first, again = (replay_of(message, tried, (), ASKED) for _ in range(2))
    assert first == again
    other = replay_of(message, tried, (), ASKED._replace(request_id="another"))
    assert other.replay_id != first.replay_id


@pytest.mark.parametrize("text", ["", "topic", "topic:1", "topic:1:", ":1:2", "topic:-1:2", "topic:1:2:3", "t:1:²"])
def test_a_place_is_topic_partition_and_offset(text: str) -> None:
    assert origin_of("a.b.c:3:41") == Origin("a.b.c", 3, 41)
    with pytest.raises(ConfigurationError, match="no place of a message"):
        origin_of(text)
