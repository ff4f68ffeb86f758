"""ClickHouse or Kafka away for a while under load: told by the readiness gauge, bounded in memory, and nothing lost."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest

from cdc.delivery import end_offsets
from tests.e2e.books import assert_books_agree
from tests.e2e.rig import Rig, new_seed, running_rig
from trueup.demo.listener import DISCREPANCY_TOPICS

pytestmark = [pytest.mark.integration, pytest.mark.slow]

OUTAGE_SECONDS = 20.0
RED_WITHIN_SECONDS = 60.0
GREEN_WITHIN_SECONDS = 180.0
WORKER_BYTES_MAX = 600 * 1024**2


class MemoryWatch(threading.Thread):
    """The largest resident size of any worker, looked at twice a second."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(name="memory", daemon=True)
        self.most_bytes = 0
        self._rig = rig
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.5):
            for worker in self._rig.states("worker"):
                try:
                    size = psutil.Process(worker.pid).memory_info().rss if worker.pid else 0
                except psutil.NoSuchProcess:
                    continue
                self.most_bytes = max(self.most_bytes, size)

    def finish(self) -> int:
        """The largest size so far; ends the watch."""
        self._over.set()
        self.join(5)
        return self.most_bytes


def raised_so_far(rig: Rig) -> int:
    """Messages on the discrepancy topics."""
    return sum(sum(ends) for ends in end_offsets(rig.settings.kafka.bootstrap, DISCREPANCY_TOPICS).values())


def wait_until_red(rig: Rig) -> None:
    rig.wait("a worker is not ready", lambda: 0.0 in rig.metric("trueup_ready"), RED_WITHIN_SECONDS, "worker")


def wait_until_green(rig: Rig) -> None:
    rig.wait_for_partitions()
    green = [1.0] * len(rig.states("worker"))
    rig.wait("all workers are ready", lambda: rig.metric("trueup_ready") == green, GREEN_WITHIN_SECONDS, "worker")


@pytest.mark.timeout(600)
def test_clickhouse_away(tmp_path: Path) -> None:
    """Detection goes on: discrepancies are told on Kafka before ClickHouse has them."""
    seed = new_seed()
    with running_rig(tmp_path) as rig:
        memory = MemoryWatch(rig)
        memory.start()
        with rig.load(seed):
            rig.wait("something is raised", lambda: raised_so_far(rig) > 0, 180, "worker", "cdc")
            wait_until_green(rig)
            rig.supervisor.pause("clickhouse")
            began_at, raised = time.monotonic(), raised_so_far(rig)
            wait_until_red(rig)
            time.sleep(max(0.0, began_at + OUTAGE_SECONDS - time.monotonic()))
            raised_meanwhile = raised_so_far(rig) - raised
            assert 0.0 in rig.metric("trueup_ready")
            rig.supervisor.resume("clickhouse")
            wait_until_green(rig)
        rig.settle()
        assert raised_meanwhile > 0, f"nothing was raised while ClickHouse was away\n{rig.logs('worker')}"
        assert sum(state.restarts for state in rig.states("worker")) == 0
        assert memory.finish() < WORKER_BYTES_MAX
        assert_books_agree(rig)


@pytest.mark.timeout(600)
def test_kafka_away(tmp_path: Path) -> None:
    """The source goes on; what it commits meanwhile waits in its log."""
    seed = new_seed()
    with running_rig(tmp_path) as rig:
        memory = MemoryWatch(rig)
        memory.start()
        with rig.load(seed):
            rig.wait("something is raised", lambda: raised_so_far(rig) > 0, 180, "worker", "cdc")
            wait_until_green(rig)
            rig.supervisor.pause("kafka")
            began_at = time.monotonic()
            wait_until_red(rig)
            time.sleep(max(0.0, began_at + OUTAGE_SECONDS - time.monotonic()))
            rig.supervisor.resume("kafka")
            wait_until_green(rig)
        rig.settle()
        assert memory.finish() < WORKER_BYTES_MAX
        assert_books_agree(rig)
