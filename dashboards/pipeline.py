"""The state of the pipeline's parts as a page shows it, and what it means: a light for each part, with what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

Level = Literal["good", "warning", "bad", "unknown"]

WATERMARK_WARNING_MS: Final = 15_000
WATERMARK_BAD_MS: Final = 120_000
READER_WARNING_SECONDS: Final = 10.0
LAG_WARNING_RECORDS: Final = 50_000
JUDGING_STAGES: Final = frozenset({"orders", "statements", "releases", "groups"})
"""Stages whose watermark decides when something is judged."""


class Process(NamedTuple):
    """A process of the installation.

    Args:
        name: such as `worker-1` or `cdc`.
        state: stopped, starting, ready, backoff, stopping or failed.
        pid: None while it does not run.
        restarts: since the supervisor started.
        since_us: when it entered its state, µs since the epoch.
        paused: whether it is held by a signal.
        last_error: why it last failed, or "".
        answers: whether it answered on its port; None for one that has none.
        lacks: what it needs and does not have → why.
        metrics: name → label values → value, of the metrics that the page shows.
        log: its last lines.
    """

    name: str
    state: str
    pid: int | None
    restarts: int
    since_us: int
    paused: bool
    last_error: str
    answers: bool | None = None
    lacks: Mapping[str, str] = {}
    metrics: Mapping[str, Mapping[tuple[str, ...], float]] = {}
    log: str = ""

    def metric(self, name: str, *labels: str) -> float | None:
        """One value; None where it does not tell it."""
        return self.metrics.get(name, {}).get(labels)


class TopicLag(NamedTuple):
    """What the workers have not made durable of a topic, and its partition that is furthest behind."""

    group: str
    topic: str
    end: int
    records: int
    worst_partition: int
    worst_records: int


class Pipeline(NamedTuple):
    """What could be learned of the processes and of Kafka; `*_error` say why something could not."""

    processes: Sequence[Process] = ()
    processes_error: str = ""
    lags: Sequence[TopicLag] = ()
    lags_error: str = ""


class Light(NamedTuple):
    """How one part does. `text` and `remedy` are English sentences with `{named}` values; `section` of docs/operations.md."""

    part: str
    level: Level
    text: str
    remedy: str = ""
    section: str = ""
    values: Mapping[str, Any] = {}


def nothing_known() -> Pipeline:
    """Where no stack of this machine is known."""
    return Pipeline(processes_error="nothing is known of the processes", lags_error="nothing is known of Kafka")


def lights(pipeline: Pipeline, watermarks: Sequence[Mapping[str, Any]], waiting: int | None) -> list[Light]:
    """One light for each part.

    Args:
        pipeline: of the moment.
        watermarks: rows stage, source and lag_ms.
        waiting: refused messages that were not replayed; None where it is not known yet.
    """
    return [
        *_of_processes(pipeline),
        *_of_reader(pipeline),
        _of_watermark(watermarks),
        _of_lag(pipeline),
        _of_quarantine(waiting),
    ]


def worst(found: Sequence[Light]) -> Level:
    """The worst level among the lights."""
    order: tuple[Level, ...] = ("bad", "warning", "unknown", "good")
    return min((light.level for light in found), key=order.index, default="unknown")


def _of_processes(pipeline: Pipeline) -> Iterator[Light]:
    if not pipeline.processes:
        yield Light(
            "processes", "unknown", "The processes are not known here: {why}.", values={"why": pipeline.processes_error}
        )
        return
    section = "A worker crashes in a loop"
    working = 0
    for process in pipeline.processes:
        named = {"name": process.name, "why": process.last_error or "its log says why"}
        if process.state == "failed":
            yield Light(
                "processes", "bad", "{name} has failed and is not started again: {why}.",
                "See the end of its log, mend the cause, then restart the stack.", section, named,
            )  # fmt: skip
        elif process.state != "ready" or process.paused:
            yield Light(
                "processes", "warning", "{name} is not ready: {why}.",
                "It is started again by itself; if that goes on, see the end of its log.", section, named,
            )  # fmt: skip
        elif process.lacks or process.answers is False:
            lacking = ", ".join(f"{part} ({why})" if why else part for part, why in process.lacks.items())
            yield Light(
                "processes", "warning", "{name} runs, but lacks: {why}.",
                "Nothing is lost: it goes on when it has what it needs.", "No worker is ready",
                {"name": process.name, "why": lacking or "it does not answer"},
            )  # fmt: skip
        else:
            working += 1
    if working == len(pipeline.processes):
        yield Light("processes", "good", "All {count} processes run.", values={"count": working})


def _of_reader(pipeline: Pipeline) -> Iterator[Light]:
    for process in pipeline.processes:
        refused = process.metric("trueup_reader_quarantined_total")
        if refused:
            yield Light(
                "quarantine", "warning", "The reader has refused {count} changes since it started; only their topic has them.",
                "Mend the cause, then touch the rows at the source.", "Quarantine grows", {"count": int(refused)},
            )  # fmt: skip
        seconds = process.metric("trueup_reader_lag_seconds")
        if seconds is None:
            continue
        late = seconds > READER_WARNING_SECONDS
        yield Light(
            "source", "warning" if late else "good", "Changes of the source arrive {seconds} s behind the clock.",
            "See whether the source answers, and whether a large transaction is under way." if late else "",
            "The source lags" if late else "", {"seconds": f"{seconds:.1f}"},
        )  # fmt: skip


def _of_watermark(watermarks: Sequence[Mapping[str, Any]]) -> Light:
    judging = [row for row in watermarks if row["stage"] in JUDGING_STAGES]
    if not judging:
        return Light("watermark", "unknown", "No watermark is known yet: nothing is judged.")
    slowest = max(judging, key=lambda row: int(row["lag_ms"]))
    behind_ms = int(slowest["lag_ms"])
    level: Level = "bad" if behind_ms > WATERMARK_BAD_MS else "warning" if behind_ms > WATERMARK_WARNING_MS else "good"
    late = level != "good"
    return Light(
        "watermark", level, "Judging is {seconds} s behind the clock, in stage {stage}.",
        "Nothing is called missing meanwhile. See whether all processes are ready and the source answers." if late else "",
        "The watermark falls behind" if late else "",
        {"seconds": f"{behind_ms / 1000:.1f}", "stage": slowest["stage"]},
    )  # fmt: skip


def _of_lag(pipeline: Pipeline) -> Light:
    if pipeline.lags_error:
        return Light(
            "kafka",
            "unknown",
            "What waits in Kafka is not known: {why}.",
            "",
            "Kafka is down",
            {"why": pipeline.lags_error},
        )
    records = sum(lag.records for lag in pipeline.lags)
    late = records > LAG_WARNING_RECORDS
    return Light(
        "kafka", "warning" if late else "good", "{count} records wait in Kafka to become durable.",
        "The workers are the bound: see whether they are ready, then add some." if late else "",
        "Detection is slow" if late else "", {"count": records},
    )  # fmt: skip


def _of_quarantine(waiting: int | None) -> Light:
    if waiting is None:
        return Light("quarantine", "unknown", "The quarantine is being counted.")
    if waiting:
        return Light(
            "quarantine", "warning", "{count} refused messages were not replayed.",
            "Mend the cause at the source, or correct and replay them.", "Quarantine grows", {"count": waiting},
        )  # fmt: skip
    return Light("quarantine", "good", "No refused message waits.")
