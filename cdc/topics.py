"""The Kafka topics: their names, their plan, and making those that are missing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.model.tables import REFERENCE_TABLES, TABLES

HEARTBEAT_TOPIC: Final = "trueup.heartbeat"
STATE_TOPIC: Final = "trueup.cdc-state"
QUARANTINE_TOPIC: Final = "trueup.quarantine"

READ_PARTITION: Final = 0
"""The only partition of heartbeats and reader state that is written and read; the broker in memory makes more."""

SOURCE_RETENTION_SECONDS: Final = 30 * 86_400
QUARANTINE_RETENTION_SECONDS: Final = 90 * 86_400
PARTIALS_RETENTION_SECONDS: Final = 7 * 86_400
VERDICTS_UNCOMPACTED_SECONDS: Final = 7 * 86_400
HEARTBEAT_RETENTION_SECONDS: Final = 3600
HEARTBEAT_SEGMENT_SECONDS: Final = 600
ADMIN_TIMEOUT_SECONDS: Final = 30.0
ADMIN_TIMEOUT_MS: Final = 30_000
METADATA_TIMEOUT_SECONDS: Final = 5.0
SETTLE_PAUSE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic: how many partitions, and the settings in which it differs from the broker's defaults."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """All topics of an installation."""

    topics: tuple[TopicSpec, ...]
    replication_factor: int = 1


def source_topic(source_name: str, schema: str, table: str) -> str:
    """The topic of a source table, such as `settlement.public.orders`."""
    return f"{source_name}.{schema}.{table}"


def source_topics(source_name: str, schema: str) -> list[str]:
    """The topics of all source tables."""
    return [source_topic(source_name, schema, table) for table in TABLES]


def topic_plan(
    source_names: Iterable[str],
    schema: str,
    partitions: int,
    replication_factor: int = 1,
    source_retention_seconds: int = SOURCE_RETENTION_SECONDS,
    leg_topics: Sequence[str] = (),
) -> TopicPlan:
    """Every topic that is read or written.

    Args:
        source_names: one per source; each has its own topics.
        schema: of the source tables.
        partitions: of every joined topic, and of what is derived from them.
        replication_factor: of all topics.
        source_retention_seconds: how long changes can be replayed; -1 keeps them for ever.
        leg_topics: of the tables that users' own specs name, those of the settlement schema among them.
    """
    compacted = {"cleanup.policy": "compact"}
    # The audit log has an entry for every message, so one that waits to be read must not be compacted away.
    verdicts = {**compacted, "min.compaction.lag.ms": str(VERDICTS_UNCOMPACTED_SECONDS * 1000)}
    # A row is never compacted away by its order id: one order has many rows.
    source = _kept(source_retention_seconds)
    names = [topic for name in source_names for topic in source_topics(name, schema)]
    # What was agreed with sellers is asked for as long as anything is judged by it.
    kept = {source_topic(name, schema, table.name): _kept(-1) for name in source_names for table in REFERENCE_TABLES}
    topics = [TopicSpec(topic, partitions, kept.get(topic, source)) for topic in dict.fromkeys((*names, *leg_topics))]
    heartbeat = {**_kept(HEARTBEAT_RETENTION_SECONDS), "segment.ms": str(HEARTBEAT_SEGMENT_SECONDS * 1000)}
    topics += [
        TopicSpec(HEARTBEAT_TOPIC, 1, heartbeat),
        TopicSpec(STATE_TOPIC, 1, compacted),
        TopicSpec("trueup.statement-partials", partitions, _kept(PARTIALS_RETENTION_SECONDS)),
        TopicSpec("trueup.statement-totals", partitions, compacted),
        TopicSpec("trueup.release-shares", partitions, _kept(PARTIALS_RETENTION_SECONDS)),
        TopicSpec("trueup.legs", partitions, _kept(PARTIALS_RETENTION_SECONDS)),
        TopicSpec("discrepancy.one-sided", partitions, verdicts),
        TopicSpec("discrepancy.wrong-amount", partitions, verdicts),
        TopicSpec("discrepancy.mismatch", partitions, verdicts),
        # Keyed and partitioned as the discrepancies themselves, and kept for good: people's decisions exist nowhere else.
        TopicSpec("trueup.case-commands", partitions, _kept(-1)),
        # Read by the stage that reads the commands, so it has their partitions; the record of it is in ClickHouse.
        TopicSpec("trueup.quarantine-replays", partitions, _kept(QUARANTINE_RETENTION_SECONDS)),
        TopicSpec(QUARANTINE_TOPIC, 1, _kept(QUARANTINE_RETENTION_SECONDS)),
    ]
    return TopicPlan(tuple(topics), replication_factor)


def leg_topic(name: str, partitions: int) -> TopicSpec:
    """The topic of a table that only users' own specs name."""
    return TopicSpec(name, partitions, _kept(SOURCE_RETENTION_SECONDS))


def _kept(seconds: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(seconds * 1000 if seconds >= 0 else -1)}


def ensure_topics(bootstrap: str, plan: TopicPlan, *, created_by_asking: bool = False) -> dict[str, int]:
    """Make the topics that are missing, check the others, and tell the partition count of each.

    Settings of a topic that exists are left as they are: somebody may have chosen them.

    Args:
        bootstrap: address of the broker.
        plan: what there must be.
        created_by_asking: for the broker in memory, which has no CreateTopics: it makes a topic, with a partition count
            of its own, when somebody asks for its metadata. Partition counts are then not checked.

    Raises:
        ConfigurationError: a topic exists with another partition count.
        UnavailableError: the broker does not answer or does not make a topic.
    """
    if not created_by_asking:
        return _create(bootstrap, plan)
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        return {spec.name: _ask(admin, bootstrap, spec.name) for spec in plan.topics}
    except KafkaException as error:
        raise UnavailableError(f"the broker does not answer: {error.args[0]}", where=bootstrap) from error


def _create(bootstrap: str, plan: TopicPlan) -> dict[str, int]:
    try:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap, client_id="trueup-topics")
    except KafkaError as error:
        raise UnavailableError(f"the broker does not answer: {error}", where=bootstrap) from error
    try:
        known = _partition_counts(admin)
        missing = {
            spec.name: {
                "num_partitions": spec.partitions,
                "replication_factor": plan.replication_factor,
                "configs": dict(spec.config),
            }
            for spec in plan.topics
            if spec.name not in known
        }
        if missing:
            # Another process may make the same topics at the same time.
            with contextlib.suppress(TopicAlreadyExistsError):
                admin.create_topics(missing, timeout_ms=ADMIN_TIMEOUT_MS)
            # Whoever made them: a broker knows of them a moment later only.
            admin.wait_for_topics(list(missing), timeout_ms=ADMIN_TIMEOUT_MS)
            known = _partition_counts(admin)
    except KafkaError as error:
        raise UnavailableError(f"topics cannot be made: {error}", where=bootstrap) from error
    finally:
        admin.close()
    for spec in plan.topics:
        if spec.name not in known:
            raise UnavailableError(f"topic {spec.name} was made but does not appear", where=bootstrap)
        if known[spec.name] != spec.partitions:
            raise ConfigurationError(
                f"topic {spec.name} has {known[spec.name]} partitions, but {spec.partitions} are set",
                where=bootstrap,
                remedy="set the partition count back: it decides where the rows of an order are, and cannot be changed",
            )
    return {spec.name: known[spec.name] for spec in plan.topics}


def _partition_counts(admin: KafkaAdminClient) -> dict[str, int]:
    return {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}


def _ask(admin: AdminClient, bootstrap: str, name: str) -> int:
    deadline = time.monotonic() + ADMIN_TIMEOUT_SECONDS
    while True:
        topic = admin.list_topics(name, timeout=METADATA_TIMEOUT_SECONDS).topics[name]
        if topic.error is None and topic.partitions:
            return len(topic.partitions)
        if time.monotonic() > deadline:
            raise UnavailableError(f"the broker does not make topic {name}: {topic.error}", where=bootstrap)
        time.sleep(SETTLE_PAUSE_SECONDS)


def partition_counts(admin: AdminClient) -> dict[str, int]:
    """The topics that exist, with their partition counts."""
    topics = admin.list_topics(timeout=METADATA_TIMEOUT_SECONDS).topics
    return {name: len(topic.partitions) for name, topic in topics.items() if topic.error is None}
