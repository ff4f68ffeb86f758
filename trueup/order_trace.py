"""The steps of one order, as its page and the command line tell them: change events out of Kafka, and the judges' words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cdc.delivery import end_offsets
from cdc.source_tables import settlement_topics
from cdc.topics import source_topic
from trueup.change_events import SECONDS_MAX, Changes, Event, key_of, read_changes
from trueup.model.money import shown
from trueup.model.tables import ORDER_TABLES
from trueup.settings import Settings


def change_events(
    settings: Settings, order_id: str, partition: int, newest: Mapping[str, int], *, seconds_max: float = SECONDS_MAX
) -> Changes:
    """The order's change events as they stand in Kafka, as far as retention keeps them, in time order.

    Args:
        settings: where Kafka is.
        order_id: as the views show it.
        partition: the Kafka partition that owns the order.
        newest: topic → offset of its newest row of the order: nothing behind it is looked at. A topic that is missing
            is read to its end.
        seconds_max: reading ends after it.

    Errors: UnavailableError when the broker does not answer.
    """
    topics = [topic for topic, (_, table) in settlement_topics(settings.sources).items() if table in ORDER_TABLES]
    log_ends = end_offsets(settings.kafka.bootstrap, topics)
    ends = {
        (topic, partition): min(log_ends[topic][partition], newest.get(topic, log_ends[topic][partition]) + 1)
        for topic in topics
    }
    return read_changes(settings.kafka.bootstrap, ends, {key_of("order_id", order_id)}, seconds_max=seconds_max)


def newest_offsets(settings: Settings, legs: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, int]:
    """Topic → offset of its newest row of an order; `legs` is source table → rows of its view."""
    newest: dict[str, int] = {}
    for table, rows in legs.items():
        for row in rows:
            topic = source_topic(row["source"], settings.schema_of(row["source"]), table)
            newest[topic] = max(newest.get(topic, 0), int(row["kafka_offset"]))
    return newest


def verdict_events(steps: Iterable[Mapping[str, Any]]) -> list[Event]:
    """Rows of `v_discrepancy_events` as events."""
    events = []
    for step in steps:
        delta = f", delta {shown(step['delta'], step['currency'])}" if step["delta"] is not None else ""
        detail = f"{step['entity_kind']} {step['entity_id']}: {step['detail']}{delta}"
        events.append(
            Event(step["at"], f"{step['status']}: {step['rule']}", detail, is_bad=step["status"] != "auto-resolved")
        )
    return events
