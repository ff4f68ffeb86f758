"""A broker in memory for `--broker memory`, where Java is missing: librdkafka's mock cluster in a process of its own.

For a look only. It chooses its port itself and writes the address into a file:
`python -m trueup.embedded.memory_broker ADDRESS_FILE [TOPIC …]`.

confluent-kafka, aiokafka and with it Faust work against it, consumer groups and commits included. kafka-python does not
(it cannot read the cluster's answer to its version request), nor does any admin request but metadata.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from confluent_kafka import Producer

from trueup.embedded.kafka.java import JAVA_MAJOR_MIN
from trueup.embedded.service import Service
from trueup.model.errors import UnavailableError

# Fixed in librdkafka: the oldest messages of a partition are dropped past either bound.
PARTITION_BYTES_MAX: Final = 5 * 1024 * 1024
PARTITION_MESSAGES_MAX: Final = 100_000
# Fixed in librdkafka: a topic is made with this many partitions when somebody first asks for it.
PARTITIONS: Final = 4
# At some 700 bytes a change and 4 partitions, a reader may then stand still for a minute before it misses one.
SOURCE_CHANGES_PER_SECOND_MAX: Final = 400

LIMITS = (
    f"The broker is in memory, for a look only: it drops what is older than {PARTITION_BYTES_MAX // 1024**2} MB or "
    f"{PARTITION_MESSAGES_MAX:,} messages in a partition and forgets everything when it ends, so the source is held at "
    f"{SOURCE_CHANGES_PER_SECOND_MAX} changes a second. Install Java {JAVA_MAJOR_MIN} and Maven for the real one."
)

METADATA_TIMEOUT_SECONDS = 10
ADDRESS_FILE = "memory-broker.address"


@dataclass(frozen=True, slots=True)
class MemoryBroker:
    """The broker in memory.

    Args:
        data_dir: of the whole stack; the address is written there.
        topics: made at the start, since clients cannot create topics on it.
    """

    data_dir: Path
    topics: tuple[str, ...] = ()

    def bootstrap(self) -> str:
        """The address for clients, host:port; known once the service is ready.

        Raises:
            UnavailableError: the broker has not written its address.
        """
        try:
            return self._address_file.read_text(encoding="ascii").strip()
        except FileNotFoundError as error:
            raise UnavailableError("the broker in memory is not ready", where=str(self._address_file)) from error

    def service(self) -> Service:
        """The service for the supervisor. It is not restarted: its data and its port would be gone."""
        return Service(
            name="memory-broker",
            command=self._prepare,
            ready=self._address_file.exists,
            ready_timeout_seconds=30,
            stop_timeout_seconds=5,
            restart=False,
        )

    @property
    def _address_file(self) -> Path:
        return self.data_dir.resolve() / ADDRESS_FILE

    def _prepare(self) -> Sequence[str]:
        self._address_file.unlink(missing_ok=True)
        return [sys.executable, "-m", "trueup.embedded.memory_broker", str(self._address_file), *self.topics]


def serve(address_file: Path, topics: Sequence[str]) -> None:
    """Run the cluster until SIGTERM or SIGINT."""
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        ended.set()

    # The owner of the mock cluster: its own bootstrap servers are replaced by the cluster's.
    owner = Producer({"test.mock.num.brokers": 1, "log_level": 3})
    brokers = owner.list_topics(timeout=METADATA_TIMEOUT_SECONDS).brokers.values()
    address = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    for topic in topics:
        owner.list_topics(topic, timeout=METADATA_TIMEOUT_SECONDS)  # asking makes it
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    unfinished = address_file.with_name(address_file.name + ".new")
    unfinished.write_text(address + "\n", encoding="ascii")
    unfinished.replace(address_file)
    ended.wait()
    address_file.unlink(missing_ok=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2:])
