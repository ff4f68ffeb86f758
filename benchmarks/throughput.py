"""(a) Throughput from Kafka: pre-generated envelopes through the real workers, and stock Faust on the same topics.

Services and workers share this machine. The clock runs from the first change a worker takes until everything is judged
and durable: every partition's watermark, as written in ClickHouse, has reached the last commit.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import psutil

from benchmarks.traffic import Traffic, write_traffic
from clickhouse.client import connect
from clickhouse.reader import Reader
from trueup.stack import Stack
from trueup.worker_metrics import metric_total

WORKERS: Final = 2
TIMEOUT_SECONDS: Final = 600.0
BASELINE_SECONDS: Final = 25.0
POLL_SECONDS: Final = 0.05


class Throughput(NamedTuple):
    """Figures of one run; `cpu_us_per_change` is by process kind."""

    changes: int
    seconds: float
    changes_per_s: float
    cpu_us_per_change: dict[str, float]


def worker_changes(stack: Stack) -> float:
    """Source changes that all workers have processed."""
    ports = [state.port for state in stack.supervisor.states() if state.name.startswith("worker-")]
    return sum(metric_total(port, "trueup_changes_total") or 0.0 for port in ports if port is not None)


def measure(stack: Stack, traffic: Traffic, *, start: bool = True, orders: int | None = None) -> Throughput:
    """Returns when all of the traffic is judged and durable.

    Args:
        stack: with everything but workers running.
        traffic: what was written to its topics.
        start: start the workers on topics that hold the traffic already; False when they run.
        orders: how many orders there must be in the end, if more than this traffic's.
    """
    settings = stack.settings
    client = connect(settings.clickhouse)
    reader = Reader(client, settings.clickhouse.database)
    before = cpu_seconds(stack)
    if start:
        stack.start_workers(wait=False)
        while worker_changes(stack) == 0:
            time.sleep(POLL_SECONDS)
        # Start-up is not what is measured: the clock runs from the first change.
        before.update({"worker": cpu_seconds(stack)["worker"]})
    began_at = time.monotonic()
    wanted_us = traffic.last_commit_us
    while True:
        marks = [row["watermark_at"] for row in reader.watermarks() if row["stage"] in {"orders", "statements"}]
        if len(marks) == 2 * settings.kafka.partitions and min(marks).timestamp() * 1e6 >= wanted_us - 1:
            break
        if time.monotonic() - began_at > TIMEOUT_SECONDS:
            raise TimeoutError(f"not done after {TIMEOUT_SECONDS} s: {worker_changes(stack):,.0f} changes")
        time.sleep(0.2)
    seconds = time.monotonic() - began_at
    counts = reader.counts()["order_wide"]
    if counts != {"matched": orders or traffic.orders}:
        raise AssertionError(f"expected {orders or traffic.orders} matched orders, found {counts}")
    after = cpu_seconds(stack)
    client.close()
    cpu = {kind: round((after[kind] - before.get(kind, 0.0)) / traffic.changes * 1e6, 1) for kind in sorted(after)}
    return Throughput(traffic.changes, seconds, traffic.changes / seconds, cpu)


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """CPU time by kind of service, children included."""
    result: dict[str, float] = {}
    for state in stack.supervisor.states():
        if state.pid is None:
            continue
        process = psutil.Process(state.pid)
        used = 0.0
        for each in (process, *process.children(recursive=True)):
            times = each.cpu_times()
            used += times.user + times.system
        kind = state.name.split("-")[0]
        result[kind] = result.get(kind, 0.0) + used
    return result


def baseline(stack: Stack) -> dict[str, Any]:
    """Stock Faust agents and tables on the same topics, in a process of its own, services still running."""
    command = [sys.executable, "-m", "benchmarks.baseline_faust", "--bootstrap", stack.settings.kafka.bootstrap]
    result = subprocess.run(
        [*command, "--seconds", str(BASELINE_SECONDS)], capture_output=True, text=True, check=True, timeout=180
    )
    return dict(orjson.loads(result.stdout.strip().splitlines()[-1]))


def run(directory: Path, orders: int, rounds: int) -> dict[str, Any]:
    """Both sides in the same run; the median of `rounds` runs of each."""
    ours: list[Throughput] = []
    theirs: list[float] = []
    traffic: Traffic | None = None
    for number in range(rounds):
        stack = Stack(directory / f"throughput-{number}", workers=WORKERS)
        stack.start(cdc=False)
        try:
            traffic = write_traffic(stack.settings.kafka.bootstrap, stack.settings.source, orders)
            ours.append(measure(stack, traffic))
            stack.supervisor.scale("worker", 0)
            theirs.append(float(baseline(stack)["changes_per_s"]))
        finally:
            stack.stop()
    assert traffic is not None
    ours_rate = statistics.median(one.changes_per_s for one in ours)
    return {
        "throughput_changes_per_s": round(ours_rate),
        "baseline_changes_per_s": round(statistics.median(theirs)),
        "throughput_ratio": round(ours_rate / statistics.median(theirs), 1),
        "throughput_changes": traffic.changes,
        "throughput_orders": traffic.orders,
        "throughput_value_bytes": round(traffic.value_bytes / traffic.changes),
        "throughput_runs": [round(one.changes_per_s) for one in ours],
        "baseline_runs": [round(one) for one in theirs],
        "throughput_cpu_us_per_change": ours[-1].cpu_us_per_change,
    }
