"""Loads files: a file that is right as a whole becomes changes in Kafka, once, however often the process is killed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from cdc.delivery import DeliveryProducer
from cdc.files.checking import Wanted, stage_file
from cdc.files.declared import FILES_SCHEMA
from cdc.files.store import LINE_BITS, Difference, FileStore, Load
from cdc.files.text_lines import Progress
from cdc.topics import TopicPlan, ensure_topics, leg_topic
from trueup.model.errors import ConfigurationError
from trueup.settings import Settings

DELIVERY_SECONDS_MAX: Final = 120.0
ROWS_BETWEEN_REPORTS: Final = 5_000


@dataclass
class Sent:
    """Rows by what became of them."""

    created: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.created + self.updated + self.deleted


def load_file(
    settings: Settings, store: FileStore, wanted: Wanted, on_read: Progress, on_sent: Progress
) -> tuple[Load, Sent]:
    """Check a file and load it; a load that was interrupted is finished first.

    Args:
        settings: of the running stack.
        store: of its data directory.
        wanted: the file.
        on_read: told the bytes of the file that are checked.
        on_sent: told the rows that are sent.

    Errors: FileRefused, UnavailableError for the broker, ConfigurationError for a channel called like the database.
    """
    if wanted.mapping.channel == settings.source.name:
        raise ConfigurationError(
            f"the channel is called {settings.source.name}, as the source database is",
            where="channel",
            remedy="give the channel another name: topics begin with it",
        )
    with store.alone():
        finish_loads(settings, store)
        with store.all_or_nothing():
            load = stage_file(wanted, store, on_read)
        return load, _send(settings, store, load, on_sent)


def finish_loads(settings: Settings, store: FileStore) -> list[Load]:
    """Finish what a former process began and did not end; what was sent before is sent again, with the same versions."""
    begun = [load for load in store.loads() if load.state == "sending"]
    for load in begun:
        _send(settings, store, load, lambda _: None)
    return begun


def _send(settings: Settings, store: FileStore, load: Load, on_sent: Progress) -> Sent:
    """Send what a load changes and note that it is delivered."""
    kafka = settings.kafka
    topic = leg_topic(load.feed, kafka.partitions)
    ensure_topics(kafka.bootstrap, TopicPlan((topic,), kafka.replication_factor))
    producer = DeliveryProducer(kafka.bootstrap)
    sent = Sent()
    try:
        for difference in store.differences(load):
            producer.send(load.feed, difference.key, envelope(load, difference, sent))
            if sent.total % ROWS_BETWEEN_REPORTS == 0:
                on_sent(sent.total)
        producer.drain(DELIVERY_SECONDS_MAX)
    finally:
        producer.close()
    on_sent(sent.total)
    store.finish(load)
    return sent


def envelope(load: Load, difference: Difference, sent: Sent) -> bytes:
    """The message of one row, byte for byte the same each time it is made; counts it in `sent`."""
    before, after = difference.before, difference.after
    if before is None:
        op, sent.created = b"c", sent.created + 1
    elif after is None:
        op, sent.deleted = b"d", sent.deleted + 1
    else:
        op, sent.updated = b"u", sent.updated + 1
    at_us = load.loaded_at_us
    source = {
        "connector": "files", "name": load.channel, "ts_ms": at_us // 1000, "ts_us": at_us, "snapshot": "false",
        "db": load.channel, "schema": FILES_SCHEMA, "table": load.name, "file": load.file_name,
        "file_id": load.file_id, "line": difference.version & ((1 << LINE_BITS) - 1), "lsn": difference.version,
    }  # fmt: skip
    return b'{"before":%b,"after":%b,"source":%b,"transaction":null,"op":"%b","ts_ms":%d,"ts_us":%d}' % (
        before or b"null", after or b"null", orjson.dumps(source), op, at_us // 1000, at_us,
    )  # fmt: skip
