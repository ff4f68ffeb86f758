"""Topics of one test of the transport, and the worker processes that read them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from trueup.embedded.kafka.broker import Kafka

PARTITIONS = 4
WAIT_SECONDS = 180.0
WORKER = Path(__file__).with_name("transport_worker.py")
ROOT = Path(__file__).parents[2]

Event = dict[str, Any]


class Scene:
    """Topics of one test, the records in them, and the workers that read them."""

    def __init__(self, broker: Kafka, folder: Path) -> None:
        self.broker = broker
        self.folder = folder
        self.name = f"{folder.name}-{time.time_ns()}"
        self.orders = [f"{self.name}.orders", f"{self.name}.items"]
        self.statements = [f"{self.name}.statements"]
        self.topics = [*self.orders, *self.statements]
        self.produced: dict[tuple[str, int], int] = defaultdict(int)
        self.total = 0
        self.workers: list[subprocess.Popen[bytes]] = []
        self._producer = Producer(
            {"bootstrap.servers": broker.bootstrap, "acks": "all", "linger.ms": 5, "compression.type": "lz4"}
        )
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in self.topics]).values():
            future.result(WAIT_SECONDS)

    def produce(self, count: int) -> None:
        """Numbered records, in turn to every partition of every topic."""
        for number in range(count):
            topic = self.topics[number % len(self.topics)]
            partition = number // len(self.topics) % PARTITIONS
            self._producer.produce(topic, str(number).encode(), partition=partition)
            self.produced[topic, partition] += 1
            self.total += number
        assert self._producer.flush(WAIT_SECONDS) == 0

    def produce_joined(self, values: dict[str, bytes], count: int) -> None:
        """Numbers of these topics, side by side in partition 0, a millisecond apart."""
        for place in range(count):
            for topic, value in values.items():
                self._producer.produce(topic, value, partition=0, timestamp=1_700_000_000_000 + place)
                self.produced[topic, 0] += 1
                self.total += int(value)
            if place % 1_000 == 0:
                self._producer.flush(WAIT_SECONDS)
        assert self._producer.flush(WAIT_SECONDS) == 0

    def start(self, **behaviour: Any) -> subprocess.Popen[bytes]:
        """A worker; `behaviour` are fields of the worker's `WorkerPlan`."""
        plan = {
            "bootstrap": self.broker.bootstrap,
            "group": self.name,
            "stages": {"orders": self.orders, "statements": self.statements},
            "log": str(self.folder / "events.log"),
            **behaviour,
        }
        plan_file = self.folder / f"plan-{len(self.workers)}.json"
        plan_file.write_bytes(orjson.dumps(plan))
        with (self.folder / f"output-{len(self.workers)}").open("wb") as output:
            worker = subprocess.Popen(
                [sys.executable, str(WORKER), str(plan_file)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.workers.append(worker)
        return worker

    def output(self, index: int) -> str:
        return (self.folder / f"output-{index}").read_text(encoding="utf-8", errors="replace")

    def events(self, *kinds: str) -> list[Event]:
        log = self.folder / "events.log"
        # The end of a line that is being written may not be there yet.
        lines = log.read_bytes().rpartition(b"\n")[0].splitlines() if log.exists() else []
        return [event for event in map(orjson.loads, lines) if not kinds or event["event"] in kinds]

    def handled(self) -> dict[tuple[str, int], set[int]]:
        seen: dict[tuple[str, int], set[int]] = defaultdict(set)
        for event in self.events("handled"):
            seen[event["topic"], event["partition"]].update(range(event["first"], event["last"] + 1))
        return seen

    def everything_handled(self) -> bool:
        seen = self.handled()
        return all(len(seen[partition]) == count for partition, count in self.produced.items())

    def committed(self) -> dict[tuple[str, int], int]:
        consumer = Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": self.name})
        asked = [TopicPartition(topic, number) for topic in self.topics for number in range(PARTITIONS)]
        found = consumer.committed(asked, WAIT_SECONDS)
        consumer.close()
        return {(entry.topic, entry.partition): entry.offset for entry in found if entry.offset >= 0}

    def stop(self, worker: subprocess.Popen[bytes]) -> int:
        worker.terminate()
        return worker.wait(WAIT_SECONDS)

    def state_sum(self, folder: Path) -> int:
        return sum(orjson.loads(path.read_bytes())["sum"] for path in folder.glob("*.json"))

    def owners(self) -> dict[tuple[str, int], set[int]]:
        """Who holds what: assigned last, and not revoked since."""
        held: dict[int, set[tuple[str, int]]] = {}
        for event in self.events("assigned", "revoking", "exit"):
            held[event["pid"]] = {(topic, number) for topic, number, _ in event.get("committed", [])}
        owners: dict[tuple[str, int], set[int]] = defaultdict(set)
        for pid, partitions in held.items():
            for partition in partitions:
                owners[partition].add(pid)
        return owners

    def settled(self, workers: list[subprocess.Popen[bytes]]) -> bool:
        """Every partition has one owner, and every worker owns some."""
        owners = self.owners()
        complete = len(owners) == len(self.topics) * PARTITIONS and all(len(pids) == 1 for pids in owners.values())
        return complete and {pid for pids in owners.values() for pid in pids} == {worker.pid for worker in workers}


def wait_for(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
