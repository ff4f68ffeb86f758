"""Stock Faust doing the work of stage 1 the idiomatic way: one event at a time, rows and totals in Faust tables.

`python -m benchmarks.baseline_faust --bootstrap 127.0.0.1:9092 --seconds 20` reads the same source topics as the product
from their beginning and prints how many changes it got through. It keeps the newest version of each row, the running
total of each statement, and an open finding for each completed order whose items do not add up. It writes no ClickHouse,
publishes no findings and judges one rule only, so it does less than the product. The default store is in memory, the
kindest to it; `--store rocksdb` keeps tables on disk through rocksdict. All other settings are Faust's own. As in any Faust
application with tables, each table write is also a message to a changelog topic; that, not the arithmetic, is the cost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import faust
import orjson
from confluent_kafka.admin import AdminClient

TIMEOUT_SECONDS = 60.0
IDLE_SECONDS = 10.0
# Not measured: the group rebalances once more when the changelog topics have been made.
WARM_UP_CHANGES = 1_000
TOPICS = ("orders", "billing_item", "payout_item")


@dataclass
class Progress:
    """Changes handled after the warm-up, and when the first and the last of them were."""

    changes: int = -WARM_UP_CHANGES
    first: float = 0.0
    last: float = 0.0

    def step(self) -> None:
        self.last = time.perf_counter()
        if not self.changes:
            self.first = self.last
        self.changes += 1


def units(amount: str) -> int:
    """A decimal of four places as an integer."""
    return int(Decimal(amount).scaleb(4))


class Books:
    """The tables, and what each change does to them."""

    def __init__(self, app: faust.App, partitions: int) -> None:
        self.orders = app.Table("orders", partitions=partitions)
        self.items = app.Table("items", default=dict, partitions=partitions)
        self.lines = app.Table("lines", default=dict, partitions=partitions)
        self.totals = app.Table("totals", default=int, partitions=partitions)
        self.findings = app.Table("findings", partitions=partitions)

    def on_order(self, change: dict[str, Any]) -> None:
        row, lsn = change["after"] or change["before"], change["source"]["lsn"]
        key = str(row["order_id"])
        held = self.orders.get(key)
        if held is not None and held["lsn"] >= lsn:
            return
        self.orders[key] = {"lsn": lsn, "row": change["after"]}
        self.judge(key)

    def on_item(self, change: dict[str, Any]) -> None:
        row, lsn = change["after"] or change["before"], change["source"]["lsn"]
        key, item = str(row["order_id"]), str(row["billing_item_id"])
        items = self.items[key]
        held = items.get(item)
        if held is not None and held["lsn"] >= lsn:
            return
        amount = units(row["amount"]) if change["after"] else 0
        self.totals[str(row["statement_id"])] += amount - (held["amount"] if held else 0)
        items[item] = {"lsn": lsn, "amount": amount, "row": change["after"]}
        self.items[key] = items
        self.judge(key)

    def on_line(self, change: dict[str, Any]) -> None:
        row, lsn = change["after"] or change["before"], change["source"]["lsn"]
        key, line = str(row["order_id"]), str(row["payout_item_id"])
        lines = self.lines[key]
        held = lines.get(line)
        if held is not None and held["lsn"] >= lsn:
            return
        lines[line] = {"lsn": lsn, "amount": units(row["amount"]) if change["after"] else 0, "row": change["after"]}
        self.lines[key] = lines
        self.judge(key)

    def judge(self, key: str) -> None:
        """Σ items = gross − tax − fee, and Σ payout lines, where there are any, = Σ items."""
        order = self.orders.get(key)
        if order is None or order["row"] is None or order["row"]["status"] != "completed":
            return
        row = order["row"]
        owed = units(row["gross_amount"]) - units(row["tax_amount"]) - units(row["fee_amount"])
        billed = sum(item["amount"] for item in self.items[key].values())
        paid = sum(line["amount"] for line in self.lines[key].values())
        if owed != billed or (paid and paid != billed):
            self.findings[key] = {"owed": owed, "billed": billed, "paid": paid}
        elif key in self.findings:
            del self.findings[key]


def build(arguments: argparse.Namespace, partitions: int, folder: Path) -> tuple[faust.App, Progress]:
    """The application: an agent per topic, as the Faust documentation shows it."""
    app = faust.App(
        f"baseline-{os.getpid()}-{time.time_ns()}",
        broker=[f"kafka://{server}" for server in arguments.bootstrap.split(",")],
        store=f"{arguments.store}://",
        datadir=str(folder),
        autodiscover=False,
        web_enabled=False,
        topic_partitions=partitions,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
    )
    books, progress = Books(app, partitions), Progress()
    for table, handle in zip(TOPICS, (books.on_order, books.on_item, books.on_line), strict=True):

        async def run(changes: faust.StreamT[Any], handle: Any = handle) -> None:
            async for change in changes:
                handle(change)
                progress.step()

        app.agent(app.topic(f"{arguments.prefix}.{table}", key_serializer="raw", value_serializer="json"), name=table)(
            run
        )
    return app, progress


async def measure(app: faust.App, progress: Progress, seconds: float) -> None:
    """Run until `seconds` have passed since the warm-up, or nothing has come for `IDLE_SECONDS`."""
    starting = asyncio.create_task(app.start())
    deadline = time.perf_counter() + TIMEOUT_SECONDS
    # Looked at from outside, so that the agents pay for no bookkeeping beyond two additions.
    while progress.changes <= 0 and time.perf_counter() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    while time.perf_counter() < min(progress.first + seconds, progress.last + IDLE_SECONDS):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    changes, last = progress.changes, progress.last
    await starting
    await app.stop()
    progress.changes, progress.last = changes, last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", default="127.0.0.1:9092")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--prefix", default="settlement.public", help="of the source topics")
    parser.add_argument("--store", default="memory", choices=("memory", "rocksdb"))
    arguments = parser.parse_args()
    admin = AdminClient({"bootstrap.servers": arguments.bootstrap})
    orders = admin.list_topics(f"{arguments.prefix}.orders", timeout=TIMEOUT_SECONDS).topics
    partitions = len(orders[f"{arguments.prefix}.orders"].partitions)
    folder = Path(tempfile.mkdtemp(prefix="baseline-"))
    app, progress = build(arguments, partitions, folder)
    try:
        asyncio.run(measure(app, progress, arguments.seconds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        mine = [topic for topic in admin.list_topics(timeout=TIMEOUT_SECONDS).topics if topic.startswith(app.conf.id)]
        for deleted in admin.delete_topics(mine).values() if mine else ():
            deleted.result(TIMEOUT_SECONDS)
    if progress.changes <= 0:
        raise SystemExit(f"the topics hold too few changes: {WARM_UP_CHANGES} are needed for the warm-up alone")
    elapsed = progress.last - progress.first
    result = {"changes": progress.changes, "seconds": round(elapsed, 3), "store": arguments.store}
    print(orjson.dumps({**result, "changes_per_s": round(progress.changes / elapsed)}).decode())


if __name__ == "__main__":
    main()
