"""What a worker tells about itself: its figures and the parts of its readiness. Read from any thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final, Protocol

from streams.metrics import StageFigures, WorkerFigures
from streams.output import Output
from streams.stage import StageRunner
from streams.watermark import SourceClock
from streams.window_counters import WindowService
from trueup.model.health import Part

TURN_SECONDS_MAX: Final = 5.0
"""How long a loop that lives may be busy with one thing."""


class AppStanding(Protocol):
    """What is asked of a Faust application."""

    @property
    def settled(self) -> bool:
        """Whether it knows its share of the partitions, and all of it is open."""

    def lag_records(self) -> Mapping[str, int]:
        """Stage → records that are in the log but not yet read."""


class WorkerHealth:
    """Reads the stages of one worker.

    Args:
        stages, outputs, clocks: of the worker, by stage.
        apps: its applications.
        broker_answers: whether the reader of heartbeats gets answers.
    """

    def __init__(
        self,
        stages: Mapping[str, StageRunner],
        outputs: Mapping[str, Output],
        clocks: Mapping[str, SourceClock],
        apps: Sequence[AppStanding],
        broker_answers: Callable[[], bool],
    ) -> None:
        self._stages = stages
        self._outputs = outputs
        self._clocks = clocks
        self._apps = apps
        self._broker_answers = broker_answers
        self.loop: asyncio.AbstractEventLoop | None = None
        """Of the worker, once it runs."""

    def figures(self) -> WorkerFigures:
        """Everything that is counted."""
        lag = {stage: records for app in self._apps for stage, records in app.lag_records().items()}
        return WorkerFigures(
            ready=all(part.ready for part in self.parts().values()),
            heartbeat_us=max((clock.newest_us() for clock in self._clocks.values()), default=0),
            stages=[self._stage(name, lag.get(name, 0)) for name in self._stages],
        )

    def _stage(self, name: str, lag_records: int) -> StageFigures:
        stage, output = self._stages[name], self._outputs[name]
        partitions = list(stage.partitions.values())
        return StageFigures(
            stage=name,
            changes=output.changes,
            in_progress=stage.in_progress,
            processed_us=stage.processed_us,
            quarantined_by_code=dict(output.quarantined_by_code),
            skipped=output.skipped,
            truncations=output.truncations,
            raised=output.raised,
            latencies=output.latencies,
            windows=stage.counters,
            partitions=len(partitions),
            watermark_us=min((partition.watermark_us for partition in partitions), default=0),
            lag_records=lag_records,
        )

    def parts(self) -> Mapping[str, Part]:
        """What the worker needs: `kafka`, `clickhouse`, that `windows` become durable, that its share is `assigned`."""
        return {
            "kafka": self._service("kafka", answers=self._broker_answers()),
            "clickhouse": self._service("clickhouse", answers=True),
            "windows": Part(all(stage.counters.ready for stage in self._stages.values())),
            "assigned": Part(bool(self._apps) and all(app.settled for app in self._apps)),
        }

    def _service(self, service: WindowService, *, answers: bool) -> Part:
        counters = [stage.counters for stage in self._stages.values()]
        errors = [one.last_errors[service] for one in counters if service in one.last_errors]
        refuses = any(one.waiting_for == service for one in counters)
        return Part(answers and not refuses, errors[0] if errors else "")

    def alive(self) -> bool:
        """Whether the worker's loop turns; before it has one, the process is starting."""
        if self.loop is None:
            return True
        try:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self.loop).result(TURN_SECONDS_MAX)
        except (FutureTimeoutError, RuntimeError):
            return False
        return True
