"""(b) Detection latency: from the source's commit to the message on the discrepancy topic, at a steady rate.

A real workload with faults runs at a fixed rate through Postgres, the CDC reader, Kafka and the workers. The clock stops
when a consumer of the discrepancy topics receives the message. What waits for a grace period counts from its end.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Final

from trueup.demo.listener import Listener, percentile
from trueup.demo.run import demo_rules
from trueup.stack import Stack
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.workload import run as run_workload

CHANGES_PER_S: Final = 2_000
FAULT_COPIES: Final = 8
WORKERS: Final = 2
SETTLE_SECONDS: Final = 25.0


def run(directory: Path, orders: int) -> dict[str, Any]:
    """One run; the figures of all discrepancies raised while the load was on and until the last grace was over."""
    stack = Stack(directory / "latency", workers=WORKERS, rules=demo_rules())
    stack.start()
    try:
        plan = WorkloadPlan(
            orders=orders,
            seed=7,
            rate_per_second=CHANGES_PER_S,
            faults=True,
            grace_seconds=stack.settings.rules.grace_seconds,
            fault_copies=FAULT_COPIES,
        )
        listener = Listener(stack.settings.kafka.bootstrap)
        listener.start()
        try:
            done = run_workload(stack.postgres.dsn(), plan, None, threading.Event())
            time.sleep(SETTLE_SECONDS)
            latencies = listener.latencies_ms()
        finally:
            listener.stop()
    finally:
        stack.stop()
    return {
        "latency_p50_ms": round(percentile(latencies, 0.5) or 0, 1),
        "latency_p99_ms": round(percentile(latencies, 0.99) or 0, 1),
        "latency_max_ms": round(max(latencies), 1),
        "latency_raised": len(latencies),
        "latency_changes_per_s": round(done.changes / done.elapsed_seconds),
    }
