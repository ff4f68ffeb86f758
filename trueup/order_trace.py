"""The steps of one order, as its page and the command line tell them: change events out of Kafka, and the judges' words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cdc.delivery import end_offsets
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
        newest: source table → offset of its newest row of the order: nothing behind it is looked at. A table that is
            missing is read to its end.
        seconds_max: reading ends after it.

    Errors: UnavailableError when the broker does not answer.
    """
    source = settings.source
    topics = {source_topic(source.name, source.schema_name, table.name): table.name for table in ORDER_TABLES}
    log_ends = end_offsets(settings.kafka.bootstrap, list(topics))
    ends = {
        (topic, partition): min(log_ends[topic][partition], newest.get(table, log_ends[topic][partition]) + 1)
        for topic, table in topics.items()
    }
    return read_changes(settings.kafka.bootstrap, ends, {key_of("order_id", order_id)}, seconds_max=seconds_max)


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
