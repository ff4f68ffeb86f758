"""Whether the topics are as they must be: every fault at once, and nothing is made or changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, and not exported by name
    AdminClient,
    ConfigResource,
    ResourceType,
    TopicMetadata,
)

from cdc.topics import METADATA_TIMEOUT_SECONDS, TopicPlan, TopicSpec
from trueup.model.faults import Checked, Fault

_UNLIMITED: Final = "-1"

Configs = Mapping[str, Mapping[str, str]]
"""Topic → setting → value."""


def check_topics(bootstrap: str, plan: TopicPlan) -> Checked:
    """Compare the broker's topics with the plan; a broker that is away is one fault."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        # Asking for all of them makes none, as asking for one might.
        held = admin.list_topics(timeout=METADATA_TIMEOUT_SECONDS)
    except KafkaException as error:
        remedy = "start the broker, or correct kafka.bootstrap"
        return Checked([], [Fault(f"the broker does not answer: {error.args[0].str()}", bootstrap, remedy)])
    topics = {name: topic for name, topic in held.topics.items() if topic.error is None}
    facts = [f"Kafka at {bootstrap}, {len(held.brokers)} broker{'s' if len(held.brokers) > 1 else ''}"]
    known = [spec.name for spec in plan.topics if spec.name in topics]
    configs = _configs(admin, known)
    if configs is None:
        facts.append("this broker does not tell the settings of its topics")
    facts.append(f"{len(known)} topics")
    faults = []
    for spec in plan.topics:
        faults += topic_faults(spec, topics.get(spec.name), plan.replication_factor, bootstrap)
        if configs is not None and spec.name in configs:
            faults += config_faults(spec, configs[spec.name], bootstrap)
    return Checked(facts, faults)


def topic_faults(spec: TopicSpec, held: TopicMetadata | None, replication_factor: int, bootstrap: str) -> list[Fault]:
    """Whether one topic is there, with its partitions and copies. Pure."""
    where = f"{bootstrap}, topic {spec.name}"
    if held is None:
        remedy = (
            "start trueup again: it makes the topics that are missing. Never recreate one that was deleted while in use"
        )
        return [Fault(f"topic {spec.name} does not exist", where, remedy)]
    faults = []
    count = len(held.partitions)
    # The broker in memory makes more partitions of topics that need one; only the first is used.
    if count < spec.partitions or (count > spec.partitions and spec.partitions > 1):
        remedy = "set kafka.partitions back: it decides where the rows of an order are, and cannot be changed"
        faults.append(Fault(f"it has {count} partitions, but {spec.partitions} are set", where, remedy))
    copies = min((len(partition.replicas) for partition in held.partitions.values()), default=0)
    if copies < replication_factor:
        remedy = "add replicas with kafka-reassign-partitions.sh, or correct kafka.replication_factor"
        faults.append(Fault(f"it has {copies} replicas, but {replication_factor} are set", where, remedy))
    headless = [number for number, partition in held.partitions.items() if partition.error is not None]
    if headless:
        what = f"partitions {', '.join(map(str, sorted(headless)))} have no leader"
        faults.append(Fault(what, where, "bring the brokers back that hold them"))
    return faults


def config_faults(spec: TopicSpec, config: Mapping[str, str], bootstrap: str) -> list[Fault]:
    """Settings of one topic that would lose what is needed; a retention that somebody chose is left to them. Pure."""
    where = f"{bootstrap}, topic {spec.name}"
    faults = []
    wanted, held = spec.config["cleanup.policy"], config.get("cleanup.policy", "")
    if held != wanted:
        faults.append(_wrong_config(spec, "cleanup.policy", held, wanted, where))
    if spec.config.get("retention.ms") == _UNLIMITED:
        for name in ("retention.ms", "retention.bytes"):
            held = config.get(name, _UNLIMITED)
            if held != _UNLIMITED:
                faults.append(_wrong_config(spec, name, held, _UNLIMITED, where))
    return faults


def _wrong_config(spec: TopicSpec, name: str, held: str, wanted: str, where: str) -> Fault:
    remedy = f"kafka-configs.sh --alter --entity-type topics --entity-name {spec.name} --add-config {name}={wanted}"
    return Fault(f"its {name} is {held}, not {wanted}: it would lose what is needed", where, remedy)


def _configs(admin: AdminClient, names: list[str]) -> Configs | None:
    """The settings of topics; None where the broker does not tell them."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    try:
        answers = admin.describe_configs(resources, request_timeout=METADATA_TIMEOUT_SECONDS)
        return {
            resource.name: {name: str(entry.value) for name, entry in answer.result().items()}
            for resource, answer in answers.items()
        }
    except KafkaException:
        return None
