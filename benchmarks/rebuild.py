"""(c) Rebuild of a partition's state from ClickHouse, and (d) memory of one worker after many orders.

One worker takes all orders from Kafka; its resident memory is read at the end. Then its local state is rebuilt from
ClickHouse, partition by partition, with the code that a worker runs when its state is missing: once at once, while ClickHouse
still merges what the orders' inserts left, and once when it is done with that. The second is the figure, as parts are
measured apart.
"""

from __future__ import annotations

import gc
import shutil
import time
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.throughput import measure
from benchmarks.traffic import write_traffic
from clickhouse.client import connect
from clickhouse.schema import ORDER_WIDE
from streams.recovery import Recovery
from trueup.stack import Stack

ORDERS_PER_ROUND: Final = 200_000
QUIET_SECONDS: Final = 5.0
"""Without a merge for so long, ClickHouse is done with them."""

MERGES_SECONDS_MAX: Final = 300.0
MIB: Final = 1 << 20


def run(directory: Path, orders: int) -> dict[str, Any]:
    """Feed `orders` orders through one worker, then rebuild what it holds."""
    stack = Stack(directory / "rebuild", workers=1)
    stack.start(cdc=False)
    try:
        rss: list[int] = []
        first, last_us = 1, 0
        while first <= orders:
            count = min(ORDERS_PER_ROUND, orders - first + 1)
            traffic = write_traffic(stack.settings.kafka.bootstrap, stack.settings.source, count, first, last_us)
            last_us = traffic.last_commit_us
            measure(stack, traffic, start=first == 1, orders=first + count - 1)
            first += count
            rss.append(_worker_rss(stack))
        stack.supervisor.scale("worker", 0)
        merging = _rebuild(stack, directory)
        _await_merges(stack)
        figures = _rebuild(stack, directory)
    finally:
        stack.stop()
    return {
        "worker_rss_mib": round(max(rss) / MIB),
        "worker_rss_mib_by_round": [round(each / MIB) for each in rss],
        "worker_rss_orders": orders,
        **figures,
        "rebuild_orders_per_s_while_merging": merging["rebuild_orders_per_s"],
    }


def _worker_rss(stack: Stack) -> int:
    (pid,) = [state.pid for state in stack.supervisor.states() if state.name == "worker-1"]
    return int(psutil.Process(pid).memory_info().rss)


def _await_merges(stack: Stack) -> None:
    """Wait until ClickHouse merges no more."""
    client = connect(stack.settings.clickhouse)
    began_at = quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET_SECONDS:
        if time.monotonic() - began_at > MERGES_SECONDS_MAX:
            raise TimeoutError(f"ClickHouse still merges after {MERGES_SECONDS_MAX} s")
        if client.query("SELECT count() FROM system.merges").result_rows[0][0]:
            quiet_since = time.monotonic()
        time.sleep(0.2)
    client.close()


def _rebuild(stack: Stack, directory: Path) -> dict[str, Any]:
    settings = stack.settings
    client = connect(settings.clickhouse)
    target = directory / "rebuilt"
    recovery = Recovery(
        target, client, settings.clickhouse.database, ORDER_WIDE, batch_rows=settings.streams.rebuild_batch_rows
    )
    rates, orders = [], 0
    # As the worker does before it opens partitions.
    gc.collect()
    gc.disable()
    for number in range(settings.kafka.partitions):
        count = client.query(
            f"SELECT count() FROM {settings.clickhouse.database}.order_wide FINAL WHERE partition = {{number:UInt16}}",
            {"number": number},
        ).result_rows[0][0]
        began_at = time.monotonic()
        opened = recovery.open(number, {"rebuilt": 1})
        rates.append(count / (time.monotonic() - began_at))
        opened.store.close()
        orders += count
    gc.enable()
    client.close()
    shutil.rmtree(target, ignore_errors=True)
    return {
        "rebuild_orders_per_s": round(sorted(rates)[len(rates) // 2]),
        "rebuild_orders_per_s_by_partition": [round(rate) for rate in rates],
        "rebuild_orders": orders,
    }
