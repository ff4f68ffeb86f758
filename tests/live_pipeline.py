"""Both stages under honest heartbeats: topics are delivered in any interleaving, time comes from `SourceClock` alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

from streams.messages import PARTIALS_TOPIC
from streams.order_partition import OrderPartition
from streams.statement_partition import StatementPartition
from streams.watermark import Heartbeat, SourceClock
from streams.worker import totals_markers
from tests.partition_bench import Bench, LogRecord, order_bench, partials_for, partition_of, statement_bench
from tests.source_log import SOURCE, Event
from trueup.model.tables import ORDER_TABLES, STATEMENT_TABLES

PARTITIONS = 2
SOURCE_TOPICS = tuple(table.name for table in (*ORDER_TABLES, *STATEMENT_TABLES))
ORDER_TOPICS = tuple(table.name for table in ORDER_TABLES)
STATEMENT_TOPICS = (*(table.name for table in STATEMENT_TABLES), PARTIALS_TOPIC)

Log = dict[str, list[LogRecord]]


class LivePipeline:
    """Two partitions of each stage; every method is one thing that can happen at any time."""

    def __init__(self, stack: ExitStack, path: Path, random: Random) -> None:
        self._random = random
        self.order_logs: list[Log] = [{topic: [] for topic in SOURCE_TOPICS} for _ in range(PARTITIONS)]
        self.orders: list[Bench[OrderPartition]] = []
        self.statements: list[Bench[StatementPartition]] = []
        self.clocks = {"orders": SourceClock([SOURCE]), "statements": SourceClock([SOURCE])}
        self._waiting: dict[str, list[Heartbeat]] = {"orders": [], "statements": []}
        self._partials_taken = [0] * PARTITIONS
        for number in range(PARTITIONS):
            self.orders.append(order_bench(path / f"o{number}", number=number, partition_count=PARTITIONS))
            self.statements.append(statement_bench(path / f"s{number}", number=number, partition_count=PARTITIONS))
            stack.callback(self.orders[-1].close)
            stack.callback(self.statements[-1].close)
        self._mark = totals_markers(self._send_marker, PARTITIONS)

    def commit(self, events: Sequence[Event]) -> None:
        """The source's changes are in Kafka."""
        for event in events:
            number = partition_of(event.key, PARTITIONS)
            log = self.order_logs[number][event.table.name]
            log.append(LogRecord(event.table.name, number, len(log), event.value))

    def heartbeat(self, time_us: int) -> None:
        """Everything committed at or before `time_us` has been delivered."""
        positions = {topic: [len(log[topic]) for log in self.order_logs] for topic in SOURCE_TOPICS}
        for waiting in self._waiting.values():
            waiting.append(Heartbeat(SOURCE, time_us, positions))

    def hear(self, stage: str, *, everything: bool = False) -> None:
        """A worker's stage reads some of the heartbeats that wait for it."""
        waiting = self._waiting[stage]
        heard = len(waiting) if everything else self._random.randint(0, len(waiting))
        for heartbeat in waiting[:heard]:
            self.clocks[stage].add(heartbeat)
        del waiting[:heard]
        self.advance(stage)

    def poll(self, stage: str, number: int, *, everything: bool = False) -> None:
        """One partition takes a batch of some of its topics, then the stage advances."""
        benches, topics = (self.orders, ORDER_TOPICS) if stage == "orders" else (self.statements, STATEMENT_TOPICS)
        bench = benches[number]
        batch: list[LogRecord] = []
        for topic in self._random.sample(topics, len(topics)):
            left = self.order_logs[number].get(topic, [])[bench.partition.ends.get(topic, 0) :]
            batch += left if everything else left[: self._random.choice((0, 1, 2, 1000))]
        bench.partition.process(batch)
        self.advance(stage)

    def advance(self, stage: str) -> None:
        """Bring all partitions of the stage to their watermarks, then send the markers, as the worker does."""
        if stage == "statements":
            for held in self.statements:
                ends = held.partition.ends
                held.partition.advance(self.clocks[stage].watermark_us(held.partition.number, STATEMENT_TOPICS, ends))
            return
        self.collect()
        for bench in self.orders:
            ends = bench.partition.ends
            bench.partition.advance(self.clocks[stage].watermark_us(bench.partition.number, ORDER_TOPICS, ends))
        self.collect()
        self._mark([bench.partition for bench in self.orders])

    def collect(self) -> None:
        """Append to the partials topic what the order partitions sent."""
        for index, bench in enumerate(self.orders):
            fresh = bench.sent[self._partials_taken[index] :]
            self._partials_taken[index] = len(bench.sent)
            for number in range(PARTITIONS):
                for value in partials_for(fresh, number, PARTITIONS):
                    self._append_partial(number, value)

    def _append_partial(self, number: int, value: bytes | None) -> None:
        log = self.order_logs[number].setdefault(PARTIALS_TOPIC, [])
        log.append(LogRecord(PARTIALS_TOPIC, number, len(log), value))

    def _send_marker(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        assert (topic, key, headers) == (PARTIALS_TOPIC, None, None)
        assert partition is not None
        self._append_partial(partition, value)

    def crash(self, stage: str) -> None:
        """The worker of a stage dies; another one goes on from its stores and from what it had said."""
        if stage == "statements":
            for held in self.statements:
                held.crash()
            return
        self.collect()
        for bench in self.orders:
            bench.marked_us = max(bench.marked_us, bench.partition.marker.reached_us)
            bench.crash()
        self._mark = totals_markers(self._send_marker, PARTITIONS)
        self._mark([bench.partition for bench in self.orders])

    def something(self) -> None:
        """Any one of the things that can happen, a crash seldom."""
        number = self._random.randrange(PARTITIONS)
        stage = self._random.choice(("orders", "statements"))
        action = self._random.choice((*("poll", "poll", "poll", "hear", "close", "finish") * 3, "crash"))
        bench = (self.orders if stage == "orders" else self.statements)[number]
        if action == "poll":
            self.poll(stage, number)
        elif action == "hear":
            self.hear(stage)
        elif action == "crash":
            self.crash(stage)
        elif action == "close":
            bench.close_window()
        else:
            bench.finish_window()

    def catch_up(self) -> None:
        """Everything is read and heard."""
        for stage in ("orders", "statements"):
            self.hear(stage, everything=True)
            for number in range(PARTITIONS):
                self.poll(stage, number, everything=True)
