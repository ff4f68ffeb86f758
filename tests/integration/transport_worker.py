"""A worker process for the transport's tests: sums what it reads, keeps its state in files, and logs what happens.

`python tests/integration/transport_worker.py PLAN_FILE`, where the plan is JSON (see `WorkerPlan`). The log is one JSON
line per event, appended in one write, so that it survives kill -9.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from streams.batch import Batch, Stage, TopicPartition
from streams.faust_app import StreamApp, create_app, run_worker
from streams.transport import Limits
from trueup.settings import KafkaSettings, Settings


@dataclass(frozen=True)
class WorkerPlan:
    """How the worker behaves.

    Args:
        bootstrap: the broker.
        group: the consumer group.
        stages: stage → topics.
        log: file of events.
        state_dir: where partition numbers keep their state; "" for none, so that committed offsets count.
        durable_every_batches: a batch in so many makes everything durable.
        handler_seconds: how long the handler waits on each batch.
        fail_value: the handler raises on a record with this value.
        member: name in the group.
        backwards: marks of durability are given twice, the older ones last.
    """

    bootstrap: str
    group: str
    stages: dict[str, list[str]]
    log: str
    state_dir: str = ""
    durable_every_batches: int = 1
    handler_seconds: float = 0.0
    fail_value: str = ""
    backwards: bool = False
    open_seconds: float = 0.0
    session_seconds_max: float = 6.0
    batch_records_max: int = 500
    drain_seconds_max: float = 20.0
    member: str | None = None


class Summing:
    """Keeps, per partition number, the sum and count of the values, and the offsets that are in them."""

    def __init__(self, plan: WorkerPlan) -> None:
        self._plan = plan
        self._log = os.open(plan.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._states: dict[int, dict[str, Any]] = {}
        self._dirty: dict[TopicPartition, int] = {}
        self._previous: dict[TopicPartition, int] = {}
        self._batches = 0
        self.app: StreamApp | None = None

    def note(self, event: str, **fields: Any) -> None:
        line = orjson.dumps({"event": event, "pid": os.getpid(), "at": time.monotonic(), **fields}) + b"\n"
        os.write(self._log, line)

    def _path(self, number: int) -> Path:
        return Path(self._plan.state_dir) / f"{number}.json"

    async def on_partitions_assigned(
        self, committed: Mapping[TopicPartition, int | None]
    ) -> Mapping[TopicPartition, int | None]:
        self.note("assigned", committed=sorted([*partition, offset] for partition, offset in committed.items()))
        await asyncio.sleep(self._plan.open_seconds)
        if not self._plan.state_dir:
            return {}
        starts: dict[TopicPartition, int | None] = {}
        for number in {partition.partition for partition in committed}:
            path = self._path(number)
            self._states[number] = orjson.loads(path.read_bytes()) if path.exists() else {"sum": 0, "ends": {}}
        for partition in committed:
            starts[partition] = self._states[partition.partition]["ends"].get(partition.topic)
        self.note("opened", starts=sorted([*partition, offset] for partition, offset in starts.items()))
        return starts

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.note("revoking", partitions=[list(partition) for partition in sorted(partitions)])
        self._make_durable()
        self._states.clear()
        self.note("revoked", partitions=[list(partition) for partition in sorted(partitions)])

    async def handle(self, batch: Batch) -> None:
        for number, records in batch.records.items():
            spans: dict[str, list[int]] = {}
            for record in records:
                if self._plan.fail_value and record.value == self._plan.fail_value.encode():
                    self.note("failing", offset=record.offset)
                    raise RuntimeError("this record is refused")
                span = spans.setdefault(record.topic, [record.offset, record.offset])
                assert record.offset <= span[1] + 1
                span[1] = record.offset
                if number in self._states:
                    self._states[number]["sum"] += int(record.value or b"0")
            for topic, (first, last) in spans.items():
                self.note("handled", stage=batch.stage, topic=topic, partition=number, first=first, last=last)
                if number in self._states:
                    self._states[number]["ends"][topic] = last + 1
        if self._plan.handler_seconds:
            await asyncio.sleep(self._plan.handler_seconds)
        self._dirty.update(batch.ends)
        self._batches += 1
        if self._batches % self._plan.durable_every_batches == 0:
            self._make_durable()

    def _make_durable(self) -> None:
        for number in {partition.partition for partition in self._dirty if partition.partition in self._states}:
            temporary = self._path(number).with_suffix(f".{os.getpid()}")
            temporary.write_bytes(orjson.dumps(self._states[number]))
            temporary.replace(self._path(number))
        self.note("durable", ends=sorted([*partition, end] for partition, end in self._dirty.items()))
        assert self.app is not None
        self.app.mark_durable(self._dirty)
        if self._plan.backwards:
            self.app.mark_durable(self._previous)
        self._previous, self._dirty = {**self._previous, **self._dirty}, {}


def main(plan_file: str) -> int:
    plan = WorkerPlan(**orjson.loads(Path(plan_file).read_bytes()))
    settings = Settings(
        data_dir=Path(plan.log).parent, kafka=KafkaSettings(bootstrap=plan.bootstrap, group=plan.group, partitions=4)
    )
    owner = Summing(plan)
    limits = Limits(
        batch_records_max=plan.batch_records_max,
        session_seconds_max=plan.session_seconds_max,
        commit_interval_seconds=0.3,
        drain_seconds_max=plan.drain_seconds_max,
    )
    stages = [Stage(name, tuple(topics)) for name, topics in plan.stages.items()]
    owner.app = create_app(
        settings, stages, {stage.name: owner.handle for stage in stages}, owner, limits, member=plan.member
    )
    code = run_worker([owner.app])
    owner.note("exit", code=code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
