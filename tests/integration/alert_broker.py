"""A broker with the discrepancy topics, for tests of the process of alerts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dashboards.alerts.listening import TOPICS
from trueup.embedded.memory_broker import MemoryBroker
from trueup.embedded.supervisor import Supervisor


@contextmanager
def discrepancy_broker(directory: Path) -> Iterator[str]:
    """The address of a broker that ends with the block."""
    broker = MemoryBroker(directory, topics=TOPICS)
    supervisor = Supervisor(directory, [broker.service()])
    supervisor.start()
    try:
        yield broker.bootstrap()
    finally:
        supervisor.stop()
