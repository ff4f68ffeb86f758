"""Follows how far Kafka Connect has committed a Debezium connector: in the topic where Connect keeps its offsets.

Connect commits an offset only when the broker has acknowledged that record and every record that the connector gave it
before. The topic tells each commit as it is made, where the REST interface would read the whole topic for every answer.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from cdc.position import position_of
from cdc.topics import METADATA_TIMEOUT_SECONDS
from trueup.model.errors import ConfigurationError, UnavailableError

COMMITS_MAX: Final = 500
_POSITIONS: Final = ("lsn", "lsn_commit", "lsn_proc")


class Committed(NamedTuple):
    """The newest commit of a connector.

    Args:
        lsn: every transaction whose commit record lies below it stands in Kafka; 0 while the connector copies tables.
            For a binlog, the version of the place.
        copying: whether it does that.
    """

    lsn: int
    copying: bool


def committed_of(offset: dict[str, Any]) -> Committed:
    """What an offset of Debezium's connectors for PostgreSQL and MySQL says. Pure.

    A connector sends transactions in the order of their commits, so whatever was committed below the position of any record
    that it has sent, it has sent before. The place in a binlog is the end of the last transaction that was sent whole.
    Offsets of a snapshot tell where it began, not how far it is.
    """
    if offset.get("snapshot") not in (None, False, "false"):
        return Committed(0, True)
    if "file" in offset:
        return Committed(position_of({"file": offset["file"], "pos": offset["pos"]}), False)
    return Committed(max(int(offset.get(name) or 0) for name in _POSITIONS), False)


class ConnectorOffsets:
    """The commits of one connector from now on. Not thread-safe.

    Args:
        bootstrap: the broker.
        topic: where Connect keeps offsets, its `offset.storage.topic`.
        connector: name of the connector.
        prefix: its `topic.prefix`.

    Raises:
        ConfigurationError: there is no such topic.
        UnavailableError: the broker does not answer.
    """

    def __init__(self, bootstrap: str, topic: str, connector: str, prefix: str) -> None:
        self._bootstrap = bootstrap
        self._key = [connector, {"server": prefix}]
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "trueup-connector-offsets",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
                "log_level": 0,
            }
        )
        try:
            held = self._consumer.list_topics(topic, timeout=METADATA_TIMEOUT_SECONDS).topics[topic]
            if held.error is not None or not held.partitions:
                self._consumer.close()
                remedy = "start Kafka Connect, or set connect.offsets_topic to its offset.storage.topic"
                raise ConfigurationError(f"the topic {topic} does not exist", where=bootstrap, remedy=remedy)
            self._consumer.assign([TopicPartition(topic, number, OFFSET_END) for number in held.partitions])
        except KafkaException as error:
            self._consumer.close()
            raise self._unavailable(error.args[0]) from error

    def take(self, wait_seconds: float) -> Committed | None:
        """The newest commit since the last call; waits so long for one. None when there was none.

        Raises:
            UnavailableError: the broker does not answer.
        """
        newest: Committed | None = None
        for message in self._consumer.consume(COMMITS_MAX, wait_seconds):
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._ALL_BROKERS_DOWN:
                    raise self._unavailable(error)
                continue
            if orjson.loads(message.key() or b"null") == self._key and message.value():
                newest = committed_of(orjson.loads(message.value() or b"{}"))
        return newest

    def close(self) -> None:
        """Free the connections."""
        self._consumer.close()

    def _unavailable(self, error: KafkaError) -> UnavailableError:
        return UnavailableError(f"the broker does not answer: {error.str()}", where=self._bootstrap)
