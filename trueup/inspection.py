"""What a person asks of a running stack: its status, one order's story, one statement's totals."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from cdc.delivery import end_offsets
from cdc.polling import poll_batch
from cdc.topics import source_topic
from clickhouse.reader import Reader
from trueup.embedded.runtime import RuntimeState
from trueup.group_wiring import consumer_group
from trueup.model.money import shown
from trueup.model.tables import ORDER_TABLES, TABLES
from trueup.settings import Settings
from trueup.user_specs import read_user_specs

EVENTS_READ_MAX: Final = 200_000
"""CDC events of one partition that a trace looks through, newest ones."""

POLL_SECONDS: Final = 2.0
FETCH_MESSAGES: Final = 5_000


def stack_status(settings: Settings, runtime: RuntimeState, reader: Reader) -> dict[str, Any]:
    """Services, lag, watermark, counts by verdict, open discrepancies by rule."""
    counts = reader.counts()
    marks = [row["watermark_at"] for row in reader.watermarks() if row["stage"] in {"orders", "statements", "releases"}]
    opened = Counter(row["rule"] for row in reader.open_discrepancies())
    return {
        "services": [asdict(service) for service in runtime.services],
        "lag_records": group_lag(settings),
        "watermark_lag_seconds": (datetime.now(UTC) - min(marks)).total_seconds() if marks else None,
        "orders": counts["order_wide"],
        "statements": counts["statement_wide"],
        "discrepancies": counts["discrepancy"],
        "quarantine": counts["quarantine"],
        "open_by_rule": dict(opened.most_common()),
    }


def group_lag(settings: Settings) -> int | None:
    """Records in the source topics that the workers have not made durable yet; None where the broker cannot tell.

    A topic that users' own specs read as well counts for them too.
    """
    source = settings.source
    read = {settings.kafka.group: [source_topic(source.name, source.schema_name, table) for table in TABLES]}
    specs = read_user_specs(settings)
    if specs.specs:
        read[consumer_group(settings, specs)] = list(specs.topics)
    lag = 0
    for group, topics in read.items():
        durable = committed_offsets(settings, group)
        if durable is None:
            return None
        for topic, offsets in end_offsets(settings.kafka.bootstrap, topics).items():
            lag += sum(max(0, end - max(0, durable.get((topic, number), 0))) for number, end in enumerate(offsets))
    return lag


def committed_offsets(settings: Settings, group: str = "") -> dict[tuple[str, int], int] | None:
    """(topic, partition) → the offset below which the workers have made everything durable; None where the broker cannot tell.

    `group` is a consumer group other than that of the settings.
    """
    try:
        admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap, client_id="trueup-status")
    except KafkaError:
        # The broker in memory does not speak all of the protocol.
        return None
    try:
        name = group or settings.kafka.group
        committed = admin.list_group_offsets(name)[name]
    except KafkaError:
        return None
    finally:
        admin.close()
    return {(place.topic, place.partition): held.offset for place, held in committed.items()}


def order_timeline(settings: Settings, reader: Reader, order_id: str) -> dict[str, Any] | None:
    """The order's wide row, its legs, and every event about it in time order; None for an unknown order."""
    order = reader.order(order_id)
    if order is None:
        return None
    legs, events = [], []
    for table, rows in reader.order_legs(order_id).items():
        for row in rows:
            topic = source_topic(row["source"], settings.source.schema_name, table)
            deleted = " (deleted)" if row["is_deleted"] else ""
            legs.append(
                {
                    "table": table,
                    "key": str(row[TABLES[table].primary_key]),
                    "state": str(row.get("status", "")) + deleted,
                    "amount": shown(row.get("amount", row.get("gross_amount")), row["currency"]),
                    "version": row["version"],
                    "topic": topic,
                    "place": f"{row['kafka_partition']}:{row['kafka_offset']}",
                }
            )
    events += _cdc_events(settings, order_id, order["partition"])
    found = reader.order_discrepancies(order_id)
    for step in reader.events([row["discrepancy_id"] for row in found]) if found else []:
        delta = f", delta {shown(step['delta'], step['currency'])}" if step["delta"] is not None else ""
        events.append(
            {
                "at": _text(step["at"]),
                "what": f"{step['status']}: {step['rule']}",
                "detail": f"{step['entity_kind']} {step['entity_id']}: {step['detail']}{delta}",
                "is_bad": step["status"] != "auto-resolved",
            }
        )
    events.sort(key=lambda event: event["at"])
    return {"order": order, "legs": legs, "events": events, "discrepancies": found}


def statement_facts(reader: Reader, statement_id: str) -> dict[str, Any] | None:
    """The statement's wide row, its running totals by currency and its discrepancies; None for an unknown one."""
    statement = reader.statement(statement_id)
    if statement is None:
        return None
    totals = list(zip(statement["totals_currency"], statement["totals_count"], statement["totals_amount"], strict=True))
    return {
        "statement": statement,
        "totals": totals,
        "discrepancies": reader.statement_discrepancies(statement_id),
    }


def _cdc_events(settings: Settings, order_id: str, partition: int) -> list[dict[str, Any]]:
    """The order's change events as they stand in Kafka, as far as retention keeps them."""
    source = settings.source
    topics = [source_topic(source.name, source.schema_name, table.name) for table in ORDER_TABLES]
    ends = end_offsets(settings.kafka.bootstrap, topics)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap,
            "group.id": "trueup-trace",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    events = []
    key = orjson.dumps({"order_id": int(order_id) if order_id.lstrip("-").isdigit() else order_id})
    try:
        left = {topic: offsets[partition] for topic, offsets in ends.items() if offsets[partition] > 0}
        consumer.assign(
            [TopicPartition(topic, partition, max(0, end - EVENTS_READ_MAX)) for topic, end in left.items()]
        )
        while left:
            messages = poll_batch(consumer, FETCH_MESSAGES, POLL_SECONDS)
            if not messages:
                break
            for message in messages:
                topic, offset = message.topic(), message.offset()
                if message.error() is not None or topic is None or offset is None:
                    continue
                if message.key() == key and message.value() is not None:
                    events.append(_cdc_event(topic, partition, offset, message.value()))
                if offset + 1 >= left.get(topic, 0):
                    left.pop(topic, None)
    finally:
        consumer.close()
    return [event for event in events if event is not None]


def _cdc_event(topic: str, partition: int, offset: int, value: bytes | None) -> dict[str, Any] | None:
    operations = {"c": "insert", "u": "update", "d": "delete", "r": "snapshot"}
    try:
        envelope = orjson.loads(value or b"")
        row = envelope["after"] or envelope["before"]
        before = envelope["before"] or {}
        changed = [name for name in row if before and envelope["after"] and before.get(name) != row[name]]
        shown = {name: row[name] for name in (changed or row) if name not in {"factors", "updated_at"}}
        at = _text(datetime.fromtimestamp(envelope["source"]["ts_us"] / 1e6, UTC))
        what = f"{operations.get(envelope['op'], envelope['op'])} {topic.rsplit('.', 1)[-1]}"
    except (ValueError, KeyError, TypeError):
        return None
    detail = ", ".join(f"{name}={held}" for name, held in shown.items())
    return {"at": at, "what": what, "detail": f"{detail} · {partition}:{offset}", "is_bad": False}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
