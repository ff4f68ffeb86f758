"""Truncated tables in the stages: every partition hears of it, time stands still meanwhile, nothing comes back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import orjson

from cdc.broadcast import BROADCAST
from cdc.dialect import UNAVAILABLE
from clickhouse.truncation_table import erasure_query
from streams.floors import Floor
from streams.messages import TopicNames
from streams.mirror_partition import MirrorPartition
from streams.order_partition import OrderPartition
from streams.output import Output
from streams.reference import ReferenceRecord, References
from streams.release_messages import SHARES_TOPIC, ShareMessage, decode_shares_topic
from streams.statement_partition import StatementPartition
from streams.store import PartitionStore
from tests.histories import walking_by
from tests.partition_bench import Bench, LogRecord, Sent, messages_of, order_bench, records_of, statement_bench
from tests.source_log import DECODERS, FAR_US, SOURCE, START_US, SourceLog, decoded_of, envelope, row_of
from trueup.model.tables import ACCOUNT

ORDER_COUNT = 25


def many_orders() -> SourceLog:
    log = SourceLog()
    for number in range(1, ORDER_COUNT + 1):
        log.put("orders", order_id=number).put("billing_item", billing_item_id=number, order_id=number)
    return log.tick().truncate("billing_item")


def walks(bench: Bench[OrderPartition]) -> bool:
    return bench.partition.is_walking


def live_items(bench: Bench[OrderPartition]) -> int:
    return sum(not held.deleted for state in bench.states().values() for held in state.books.items.values())


def without_headers(records: list[LogRecord]) -> list[LogRecord]:
    return [dataclasses.replace(record, headers=()) for record in records]


def test_one_that_came_to_a_single_partition_is_sent_to_all_and_not_applied(tmp_path: Path) -> None:
    bench = order_bench(tmp_path, partition_count=3)
    records = without_headers(records_of(messages_of(many_orders().events)))
    bench.partition.process(records)
    assert bench.sent == [Sent("billing_item", None, records[-1].value, number, (BROADCAST,)) for number in range(3)]
    assert not walks(bench)
    bench.settle_all(FAR_US)
    assert live_items(bench) == ORDER_COUNT
    bench.close()


def test_time_stands_still_until_the_walk_is_over(tmp_path: Path) -> None:
    bench = order_bench(tmp_path, cache_entities=3)
    with walking_by(4):
        records = records_of(messages_of(many_orders().events))
        bench.partition.process(records[:-1])
        bench.partition.advance(START_US)
        bench.close_window()
        bench.finish_window()
        bench.partition.process(records[-1:])
        turns = 0
        while bench.partition.watermark_us < FAR_US:
            assert bench.partition.marker.settled_us == START_US
            bench.partition.advance(FAR_US)
            turns += 1
        bench.settle_all(FAR_US)
    assert turns > ORDER_COUNT // 4
    assert live_items(bench) == 0
    assert all(not state.contributed for state in bench.states().values())
    bench.close()


def test_a_worker_that_dies_in_the_middle_of_the_walk_starts_it_again(tmp_path: Path) -> None:
    bench = order_bench(tmp_path)
    records = records_of(messages_of(many_orders().events))
    with walking_by(4):
        bench.partition.process(records)
        bench.partition.advance(START_US)
        bench.close_window()
        bench.finish_window()
        assert walks(bench)
        bench.crash()
        assert walks(bench)
        assert bench.partition.ends["billing_item"] == ORDER_COUNT + 1
        bench.settle_all(FAR_US)
    assert live_items(bench) == 0
    bench.crash()
    assert not walks(bench)
    late = envelope(None, row_of("billing_item", billing_item_id=99), "c", 1005, START_US)
    bench.partition.process([LogRecord("billing_item", 0, ORDER_COUNT + 1, late)])
    bench.settle_all(FAR_US)
    assert live_items(bench) == 0
    bench.close()


def test_the_mirror_is_emptied_behind_the_rows_of_the_window(tmp_path: Path) -> None:
    bench = order_bench(tmp_path)
    bench.partition.process(records_of(messages_of(many_orders().events)))
    (erasure,) = bench.output.take_erasures()
    query, parameters = erasure_query(erasure, "trueup")
    assert query.startswith("INSERT INTO trueup.billing_item (`billing_item_id`")
    assert (parameters["source"], parameters["partition"]) == (SOURCE, 0)
    assert parameters["version"] == erasure.truncation.version
    (row,) = bench.output.rows["truncation"]
    assert row[:4] == ("stage", 0, SOURCE, "billing_item")
    bench.close()


def told(bench: Bench[StatementPartition]) -> dict[Any, tuple[int, int]]:
    """Release → version and count of the share that a reader of the topic holds."""
    held: dict[Any, tuple[int, int]] = {}
    for message in bench.sent:
        decoded = decode_shares_topic(message.value) if message.topic == SHARES_TOPIC else None
        if isinstance(decoded, ShareMessage) and decoded.share.version > held.get(decoded.release_id, (-1, 0))[0]:
            count = sum(total.count for total in decoded.share.totals.values())
            held[decoded.release_id] = decoded.share.version, count
    return held


def test_shares_of_releases_are_told_again_when_the_walk_is_over(tmp_path: Path) -> None:
    log = SourceLog()
    for number in range(1, 7):
        log.put("payout", payout_id=number, statement_id=number, channel_ref=f"R{number % 2}")
    records = records_of(messages_of(log.truncate("payout").put("payout", payout_id=9, channel_ref="R1").events))
    bench = statement_bench(tmp_path, partition_count=1)
    bench.partition.process(records[:6])
    assert told(bench) == {0: (12, 3), 1: (12, 3)}
    bench.close_window()
    bench.finish_window()
    with walking_by(2):
        bench.partition.process(records[6:7])
        bench.close_window()
        bench.finish_window()
        assert bench.partition.is_walking
        bench.crash()
        bench.partition.process(records[7:])
        assert told(bench) == {0: (12, 3), 1: (12, 3)}
        bench.settle_all(FAR_US)
    assert told(bench) == {0: (17, 0), 1: (17, 1)}
    bench.close()


def test_shares_told_in_the_batch_of_a_truncation_are_corrected(tmp_path: Path) -> None:
    log = SourceLog().put("payout", channel_ref="R1")
    bench = statement_bench(tmp_path, partition_count=1)
    bench.partition.process(records_of(messages_of(log.events)))
    bench.partition.process(records_of(messages_of(log.truncate("payout").events)))
    assert told(bench) == {1: (5, 0)}
    bench.close()


def mirror(floors: dict[tuple[str, str], Floor]) -> tuple[MirrorPartition, Output, list[Any]]:
    sent: list[Any] = []
    output = Output("mirrors", lambda *message: sent.append(message), TopicNames("public"), lambda: 0)
    return (
        MirrorPartition(0, {}, {"account": DECODERS["account"]}, output, floors=floors, partition_count=2),
        output, sent,
    )  # fmt: skip


def test_mirrors_without_a_store_keep_their_floors_as_well() -> None:
    log = SourceLog().put("account").truncate("account").put("account", shop_id=10)
    records = records_of(messages_of(log.events))
    partition, output, sent = mirror({})
    partition.process([dataclasses.replace(records[at], offset=offset) for offset, at in enumerate((1, 0, 2))])
    # The row was inserted and taken within one window: what is written is that it is gone.
    assert [(row[0], bool(row[6])) for row in output.take_rows({})["account"]] == [(9, True), (10, False)]
    assert [erasure.truncation.table for erasure in output.take_erasures()] == [ACCOUNT]
    assert not sent
    again, output, sent = mirror({(SOURCE, "account"): Floor(1020, START_US, 0, 0)})
    again.process(without_headers(records[:2]))
    assert [bool(row[6]) for row in output.take_rows({})["account"]] == [True]
    assert [message[3] for message in sent] == [0, 1]
    assert not output.take_erasures()


def test_reference_tables_end_with_their_truncation_in_any_order() -> None:
    log = SourceLog().put("account").tick().truncate("account").tick().put("account", shop_id=10)
    events = decoded_of(log)
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2, 1, 0)):
        references = References(["account"], [SOURCE], 1)
        references.take([ReferenceRecord("account", 0, 0, events[place], copied=False) for place in order])
        books = references.books
        assert books.as_of("account", SOURCE, 9, START_US) is not None
        assert books.as_of("account", SOURCE, 9, FAR_US) is None
        assert books.as_of("account", SOURCE, 10, FAR_US) is not None
        assert [held.version for held in books.versions("account", SOURCE, 9)] == [1010]


def update(status: str, version: int) -> bytes:
    """An update without its before-image, whose factors did not change."""
    return envelope(None, row_of("orders", factors=UNAVAILABLE, status=status), "u", version, START_US)


def factors(bench: Bench[OrderPartition]) -> Any:
    ((_, held),) = bench.partition.load([1])[1].books.orders.items()
    assert held.row is not None
    return held.version, held.row.factors, held.row.status


def mirrored(bench: Bench[OrderPartition]) -> list[tuple[int, object]]:
    """Version and factors of what the window writes to the mirror of the orders."""
    return [(change.version, (change.row or ())[6]) for change in bench.output.mirror("orders").values()]


def test_a_value_left_out_is_that_of_the_former_version(tmp_path: Path) -> None:
    bench = order_bench(tmp_path)
    first = envelope(None, row_of("orders", factors="{}", status="created"), "c", 10, START_US)
    messages = [("orders", first), ("orders", update("paid", 20)), ("orders", update("completed", 30))]
    records = records_of(messages)
    bench.partition.process(records[:2])
    assert factors(bench) == (20, "{}", "paid")
    assert mirrored(bench) == [(20, "{}")]
    bench.partition.process(records[2:])
    bench.partition.process([dataclasses.replace(records[1], offset=3)])
    assert factors(bench) == (30, "{}", "completed")
    assert bench.output.quarantined_by_code == {}
    assert mirrored(bench) == [(30, "{}")]
    bench.close()


def test_a_value_left_out_of_a_row_that_is_not_known_is_refused(tmp_path: Path) -> None:
    bench = order_bench(tmp_path)
    gone = envelope(row_of("orders"), None, "d", 20, START_US)
    messages = [("orders", update("paid", 10)), ("orders", gone), ("orders", update("paid", 30))]
    bench.partition.process(records_of(messages))
    assert bench.output.quarantined_by_code == {"incomplete-row": 2}
    assert [row[4] for row in bench.output.rows["quarantine"]] == ["incomplete-row"] * 2
    bench.close()


def test_a_truncation_makes_the_former_version_unknown(tmp_path: Path) -> None:
    bench = order_bench(tmp_path)
    log = SourceLog().put("orders", factors="{}").truncate("orders")
    bench.partition.process(records_of([*messages_of(log.events), ("orders", update("paid", 2000))]))
    assert bench.output.quarantined_by_code == {"incomplete-row": 1}
    bench.close()


def test_tombstones_are_counted_and_nothing_else(tmp_path: Path) -> None:
    bench = order_bench(tmp_path)
    bench.partition.process(
        [LogRecord("orders", 0, 0, None), LogRecord("orders", 0, 1, b'{"schema":null,"payload":null}')]
    )
    assert (bench.output.skipped, bench.output.quarantined_by_code) == (2, {})
    assert mirrored(bench) == []
    bench.close()


def test_floors_are_read_back_from_the_store(tmp_path: Path) -> None:
    bench = order_bench(tmp_path)
    bench.partition.process(records_of(messages_of(many_orders().events)))
    bench.settle_all(FAR_US)
    bench.close()
    store = PartitionStore(tmp_path)
    (key,) = store.keys_after(b"", b"t", 10)
    assert orjson.loads(key[1:]) == [SOURCE, "billing_item"]
    assert orjson.loads(store.get_many([key])[0] or b"")[-1] is True
    store.close()
