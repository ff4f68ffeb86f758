"""Admission: how many queries of each kind run at once, and how many may wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trueup.embedded.clickhouse.errors import TOO_MANY_SIMULTANEOUS_QUERIES, EngineError
from trueup.embedded.clickhouse.job import Job
from trueup.embedded.clickhouse.settings import EndpointLimits


class Lane:
    """At most `slots` queries at once and `queued_max` waiting, each up to `queue_seconds_max`."""

    def __init__(self, slots: int, queued_max: int, queue_seconds_max: float) -> None:
        self._free = asyncio.Semaphore(slots)
        self._slots = slots
        self._queued_max = queued_max
        self._queue_seconds_max = queue_seconds_max
        self._queued = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Holds one slot.

        Raises:
            EngineError: TOO_MANY_SIMULTANEOUS_QUERIES, when the queue is full or the wait too long.
        """
        if self._queued >= self._queued_max:
            raise self._refusal()
        self._queued += 1
        try:
            await asyncio.wait_for(self._free.acquire(), self._queue_seconds_max)
        except TimeoutError:
            raise self._refusal() from None
        finally:
            self._queued -= 1
        try:
            yield
        finally:
            self._free.release()

    def _refusal(self) -> EngineError:
        return EngineError(
            TOO_MANY_SIMULTANEOUS_QUERIES,
            f"Too many simultaneous queries. Maximum: {self._slots}, and the queue is full",
        )


class Lanes:
    """Writes, reads, the pages' and the analyst's queries wait apart, so that none holds up the others."""

    def __init__(self, limits: EndpointLimits) -> None:
        def lane(slots: int) -> Lane:
            return Lane(slots, limits.queued_per_lane_max, limits.queue_seconds_max)

        self._writes = lane(limits.writes_at_once)
        self._reads = lane(limits.reads_at_once)
        self._analyst = lane(limits.analyst_queries_at_once)
        self._pages = lane(limits.pages_at_once)

    def of(self, job: Job) -> Lane:
        """The lane of a job."""
        if job.user.read_only:
            return self._analyst
        if not job.user.may_write:
            return self._pages
        return self._writes if job.is_write else self._reads
