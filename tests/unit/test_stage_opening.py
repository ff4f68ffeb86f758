"""A rebalance may cancel the opening of a partition; what its thread has opened by then is closed with the rest."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from clickhouse.writer import Writer
from streams.messages import TopicNames
from streams.output import Output
from streams.stage import StagePartition, StageRunner
from streams.store import PartitionStore
from streams.watermark import SourceClock


class Opened:
    """A partition that has nothing but its store."""

    def __init__(self, store: PartitionStore) -> None:
        self.store = store
        self.ends: dict[str, int] = {}

    def has_news(self) -> bool:
        return False


def test_a_cancelled_opening_gives_its_store_back(tmp_path: Path) -> None:
    opening, go_on = threading.Event(), threading.Event()

    def open_slowly(number: int, _committed: Mapping[str, int]) -> StagePartition:
        opening.set()
        assert go_on.wait(10)
        return cast("StagePartition", Opened(PartitionStore(tmp_path / str(number))))

    runner = StageRunner(
        "orders", ["orders"], output=Output("orders", lambda *_: None, TopicNames("public"), lambda: 0),
        clock=SourceClock(["settlement"]), open_partition=open_slowly, drain=lambda _: None,
        writer=cast("Writer", None), mark_durable=lambda _: None, source="settlement",
        flush_interval_seconds=1.0, flush_max_changes=10,
    )  # fmt: skip

    async def rebalance() -> dict[int, Any]:
        assigning = asyncio.ensure_future(runner.assigned({4: {}}))
        await asyncio.to_thread(opening.wait, 10)
        assigning.cancel()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        with contextlib.suppress(asyncio.CancelledError):
            await assigning
        held = dict(runner.partitions)
        await runner.revoked({4})
        return held

    assert list(asyncio.run(rebalance())) == [4]
    again = PartitionStore(tmp_path / "4")
    assert again.meta() is None
    again.close()
