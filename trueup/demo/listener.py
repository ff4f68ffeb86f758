"""Listens on the discrepancy topics as alerting would, and keeps the detection latency of what was raised."""

from __future__ import annotations

import threading
import time
from typing import Final

import orjson
from confluent_kafka import Consumer

from cdc.message_batches import poll_batch

DISCREPANCY_TOPICS: Final = ("discrepancy.one-sided", "discrepancy.wrong-amount", "discrepancy.mismatch")
POLL_SECONDS: Final = 0.1
BATCH_MAX: Final = 500


class Listener(threading.Thread):
    """Consumes from the end of the topics at its start; latency = received − source commit (or due time)."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="discrepancies", daemon=True)
        self._servers = bootstrap
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._latencies: list[tuple[int, float]] = []
        self._latest: dict[str, dict[str, object]] = {}
        self.assigned = threading.Event()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        self.join(timeout=10)

    def latencies_ms(self, left_out_us: tuple[int, int] = (0, 0)) -> list[float]:
        """Detection latency of every discrepancy that was opened, reopened or amended, in the order of arrival.

        `left_out_us` is a span of source time that does not count, such as one in which the source was stalled.
        """
        first_us, last_us = left_out_us
        with self._lock:
            return [latency for known_us, latency in self._latencies if not first_us <= known_us <= last_us]

    def recent(self, count: int) -> list[dict[str, object]]:
        """The newest messages, newest last."""
        with self._lock:
            return list(self._latest.values())[-count:]

    def run(self) -> None:
        """Poll until stopped."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": f"trueup-listener-{time.time_ns()}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
                "topic.metadata.refresh.interval.ms": 5_000,
            }
        )
        consumer.subscribe(list(DISCREPANCY_TOPICS), on_assign=lambda *_: self.assigned.set())
        try:
            while not self._stopping.is_set():
                for message in poll_batch(consumer, BATCH_MAX, POLL_SECONDS):
                    value = message.value()
                    if message.error() is None and value is not None:
                        self._take(orjson.loads(value), time.time_ns() // 1000)
        finally:
            consumer.close()

    def _take(self, discrepancy: dict[str, object], received_us: int) -> None:
        identifier = str(discrepancy["discrepancy_id"])
        source_commit_us = discrepancy["source_commit_us"]
        with self._lock:
            self._latest.pop(identifier, None)
            self._latest[identifier] = discrepancy
            if discrepancy["status"] in {"open", "regressed"} and isinstance(source_commit_us, int):
                self._latencies.append((source_commit_us, (received_us - source_commit_us) / 1000))


def percentile(values: list[float], share: float) -> float | None:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]
