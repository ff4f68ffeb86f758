"""A table is truncated at the source, told once as Debezium does: its rows leave the books everywhere, and stay gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from cdc.topics import source_topic
from tests.e2e.rig import Rig, new_seed, running_rig

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DELIVERY_SECONDS = 120.0
WAIT_SECONDS = 120.0
TABLES = ("billing_item", "payout_item", "payout")


def send(rig: Rig, table: str, value: dict[str, object], key: bytes | None, partition: int) -> None:
    topic = source_topic(rig.settings.source.name, rig.settings.source.schema_name, table)
    producer = Producer({"bootstrap.servers": rig.settings.kafka.bootstrap})
    producer.produce(topic, orjson.dumps(value), key, partition)
    assert producer.flush(DELIVERY_SECONDS) == 0


def log_position(rig: Rig) -> tuple[int, int]:
    """Where the source's log is, and the source's time in µs."""
    with rig.source() as source, source.cursor() as cursor:
        cursor.execute(
            "SELECT (pg_current_wal_insert_lsn() - '0/0')::int8, (extract(epoch FROM clock_timestamp()) * 1000000)::int8"
        )
        row = cursor.fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def event(rig: Rig, op: str, lsn: int, time_us: int, after: object = None) -> dict[str, object]:
    source = {"connector": "postgresql", "name": rig.settings.source.name, "lsn": lsn, "ts_us": time_us}
    return {"before": None, "after": after, "source": source, "op": op}


def counts(rig: Rig) -> tuple[int, ...]:
    """Live rows of the truncated tables in the mirrors, and items, lines and payouts in the wide rows."""
    found = [rig.query(f"SELECT count() FROM {{db}}.{table} FINAL WHERE is_deleted = 0")[0][0] for table in TABLES]
    found += rig.query("SELECT sum(billed_count), sum(line_count) FROM {db}.order_wide FINAL")[0]
    found += rig.query("SELECT sum(running_count), sum(payout_count), sum(line_count) FROM {db}.statement_wide FINAL")[
        0
    ]
    found += rig.query("SELECT sum(payout_count) FROM {db}.release_wide FINAL")[0]
    return tuple(int(str(count)) for count in found)


def floors(rig: Rig) -> int:
    return int(str(rig.query("SELECT count() FROM {db}.truncation FINAL")[0][0]))


@pytest.mark.timeout(900)
def test_a_truncated_table_leaves_the_books(tmp_path: Path) -> None:
    with running_rig(tmp_path / "stack") as rig:
        with rig.load(new_seed()):
            rig.wait("there are payouts", lambda: counts(rig)[2] > 0, WAIT_SECONDS, "worker", "cdc")
        rig.settle()
        before = counts(rig)
        assert min(before) > 0
        ((item, order),) = rig.query("SELECT billing_item_id, order_id FROM {db}.billing_item FINAL LIMIT 1")
        lsn, time_us = log_position(rig)
        for table in TABLES:
            send(rig, table, event(rig, "t", lsn, time_us), None, 0)
        partitions = rig.settings.kafka.partitions
        rig.wait(
            "every partition has heard of it", lambda: floors(rig) == len(TABLES) * partitions, WAIT_SECONDS, "worker"
        )
        rig.settle()
        rig.wait("nothing is left", lambda: counts(rig) == (0,) * len(before), WAIT_SECONDS, "worker")
        assert rig.query("SELECT count() FROM {db}.quarantine") == [(0,)]
        rig.supervisor.scale("worker", 0)
        for directory in rig.stack.data_dir.glob("worker-*"):
            shutil.rmtree(directory)
        rig.stack.start_workers()
        rig.wait_for_partitions()
        row: dict[str, object] = {
            "billing_item_id": int(str(item)),
            "order_id": int(str(order)),
            "shop_id": 1,
            "statement_id": 1,
        }
        row |= {"kind": "sale", "source_no": "1", "amount": "8.00", "currency": "USD", "status": "statemented"}
        row |= {"created_at": time_us, "updated_at": time_us}
        send(rig, "billing_item", event(rig, "c", lsn - 1, time_us, row), None, 0)
        rig.settle()
        assert counts(rig) == (0,) * len(before)
