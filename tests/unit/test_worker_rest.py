"""Stages judge between a complete opening and the letting go of their partitions, and at no other time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams.batch import TopicPartition
from streams.reference import References
from streams.stage import StageRunner
from streams.watermark import Heartbeat, SourceClock
from streams.worker import Worker

HEARTBEAT = Heartbeat("settlement", 1, {"orders": [0]})
PLACES: dict[TopicPartition, int | None] = {TopicPartition("orders", 1): 0}


class Stage:
    """A stage that notes what is asked of it; letting go takes as long as `released` is not set."""

    name, topics = "orders", ("orders",)

    def __init__(self) -> None:
        self.partitions: dict[int, Any] = {}
        self.advances = 0
        self.adopts = asyncio.Event()
        self.released = asyncio.Event()

    def advance(self) -> None:
        self.advances += 1

    async def assigned(self, committed: Mapping[int, Mapping[str, int]]) -> dict[TopicPartition, int]:
        self.partitions = {number: SimpleNamespace(written_us=0, watermark_us=0) for number in committed}
        await self.adopts.wait()
        return {}

    def adopt(self, _said: object, _numbers: Collection[int]) -> None:
        """Nothing was said before."""

    async def revoked(self, _numbers: Collection[int]) -> None:
        await self.released.wait()
        self.partitions = {}


class OfflineWorker(Worker):
    """A worker whose heartbeats the test brings."""

    def _start_once(self) -> None:
        """Nothing runs beside the test."""


def worker_of(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr("streams.worker.read_aftermath", lambda *_: {})
    return OfflineWorker(
        {"orders": cast("StageRunner", stage)}, {}, {"orders": SourceClock(["settlement"])},
        "127.0.0.1:1", References([], ["settlement"], 1), {},
    )  # fmt: skip


def test_nothing_is_judged_while_partitions_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async def rebalance() -> list[int]:
        stage = Stage()
        worker = worker_of(stage, monkeypatch)
        seen = []

        def hear() -> None:
            worker._take_heartbeats([HEARTBEAT])
            seen.append(stage.advances)

        hear()
        opening = asyncio.ensure_future(worker.open(["orders"], PLACES))
        await asyncio.sleep(0)
        hear()
        stage.adopts.set()
        await opening
        hear()
        closing = asyncio.ensure_future(worker.close(["orders"], frozenset(PLACES)))
        await asyncio.sleep(0)
        hear()
        stage.released.set()
        await closing
        hear()
        return seen

    assert asyncio.run(rebalance()) == [0, 0, 1, 1, 1]


def test_a_cancelled_opening_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def cancelled() -> int:
        stage = Stage()
        worker = worker_of(stage, monkeypatch)
        opening = asyncio.ensure_future(worker.open(["orders"], PLACES))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        worker._take_heartbeats([HEARTBEAT])
        return stage.advances

    assert asyncio.run(cancelled()) == 0
