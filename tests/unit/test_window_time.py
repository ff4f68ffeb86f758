"""A partition that has not taken up its word yet says so in ClickHouse too: another worker may rebuild it from there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pyarrow as pa
import pytest

from clickhouse.writer import Writer
from streams.leg_partition import LegPartition
from streams.messages import TopicNames
from streams.mirror_partition import MirrorPartition, NoStore
from streams.output import Output
from streams.partition import Snapshot
from streams.stage import StageRunner
from streams.store import Meta
from streams.watermark import SourceClock

NOW_US = 9_000_000


class Opened:
    """A partition that closes one window, with the time that its meta record keeps."""

    def __init__(self, written_us: int) -> None:
        self.number = 3
        self.ends: dict[str, int] = {}
        self.watermark_us = 7_000_000
        self.store = NoStore()
        self._written_us = written_us

    def has_news(self) -> bool:
        return True

    def close_window(self) -> Snapshot:
        return Snapshot([], [], Meta({}, self.watermark_us, 1, self._written_us))

    def window_written(self) -> None:
        pass


class Inserted:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.tables: dict[str, pa.Table] = {}

    async def insert(self, tables: Mapping[str, pa.Table]) -> None:
        self.tables.update(tables)


def output() -> Output:
    return Output("orders", lambda *_: None, TopicNames("public"), lambda: NOW_US)


@pytest.mark.parametrize("written_us", [0, 5_000_000])
def test_the_time_of_a_window_is_the_one_that_the_store_keeps(written_us: int) -> None:
    inserted = Inserted()

    async def write() -> None:
        runner = StageRunner(
            "orders", ["orders"], output=output(), clock=SourceClock(["settlement"]),
            open_partition=lambda *_: cast("Any", Opened(written_us)), drain=lambda _: None,
            writer=cast("Writer", inserted), mark_durable=lambda _: None, source="settlement",
            flush_interval_seconds=1.0, flush_max_changes=10,
        )  # fmt: skip
        await runner.assigned({3: {}})
        await runner.flush(wait=True)

    asyncio.run(write())
    (recorded,) = inserted.tables["watermark"].column("recorded_at").cast(pa.int64()).to_pylist()
    assert recorded == written_us


def test_what_publishes_nothing_records_the_present_time() -> None:
    legs = LegPartition(0, {}, {}, output(), partition_count=1)
    mirror = MirrorPartition(0, {}, {}, output(), floors={}, partition_count=1)
    assert {one.close_window().meta.written_us for one in (legs, mirror)} == {NOW_US}
