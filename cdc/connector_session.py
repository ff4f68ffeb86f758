"""Follows a connector that reads the source, until asked to stop: the part that is the same for every kind of database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Final, NamedTuple

import structlog

from cdc.connect_offsets import ConnectorOffsets
from cdc.connector_config import connector_name
from cdc.connector_watch import ConnectorWatch
from cdc.counters import ReaderCounters
from cdc.delivery import DeliveryProducer, EndOffsets
from cdc.probe_clock import ProbeClock
from cdc.source_tables import SourceTable
from cdc.source_time_teller import SourceTimeTeller
from trueup.settings import Settings

PROBE_SECONDS_MIN: Final = 0.2
"""A connector commits its position a few times a second at most: more probes would tell nothing more."""

TURN_SECONDS: Final = 0.1

_log = structlog.get_logger()


class Followed(NamedTuple):
    """What differs between databases.

    Args:
        clock: probes the server; it is started and stopped here.
        nudge: gives the connector something to read while the tables rest.
        position_bits: how many low bits of a position count less than a byte of the log.
        on_first_commit: called when the connector has committed a position behind its copy, once.
    """

    clock: ProbeClock
    nudge: Callable[[], object]
    position_bits: int = 0
    on_first_commit: Callable[[], None] = lambda: None


def follow(
    settings: Settings,
    tables: Sequence[SourceTable],
    counters: ReaderCounters,
    stop: threading.Event,
    followed: Followed,
) -> None:
    """Tell source time until `stop` is set, with the connector registered. Errors: those of the broker and of the nudge."""
    bootstrap, name, source = settings.kafka.bootstrap, connector_name(settings), settings.source.name
    with ExitStack() as session:
        ends = EndOffsets(bootstrap, [table.topic(source) for table in tables])
        producer = session.enter_context(closing(DeliveryProducer(bootstrap)))
        topic = settings.connect.offsets_topic
        offsets = session.enter_context(closing(ConnectorOffsets(bootstrap, topic, name, source)))
        watch = ConnectorWatch(settings.connect.url, name)
        for thread in (followed.clock, watch):
            thread.start()
            session.callback(thread.stop)
        counters.began_streaming()
        _log.info("watching", connector=name, source=source)
        teller = SourceTimeTeller(source, producer, ends, counters, followed.nudge, followed.position_bits)
        has_committed = False
        while not stop.is_set():
            committed = offsets.take(TURN_SECONDS)
            teller.turn(followed.clock, watch.trouble, committed)
            if committed is not None and not committed.copying and not has_committed:
                has_committed = True
                followed.on_first_commit()
