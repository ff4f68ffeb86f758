"""The lights of the pipeline's health, and what they are made of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dashboards.pipeline import (
    LAG_WARNING_RECORDS,
    WATERMARK_BAD_MS,
    WATERMARK_WARNING_MS,
    Light,
    Pipeline,
    Process,
    TopicLag,
    lights,
    nothing_known,
    worst,
)
from trueup.kafka_lag import PartitionLag
from trueup.pipeline_probe import PipelineProbe, by_topic, read_metrics
from trueup.settings import Settings

HEADINGS = re.findall(r"^### (.+)$", Path("docs/operations.md").read_text(), re.MULTILINE)


def process(name: str = "worker-1", state: str = "ready", **more: Any) -> Process:
    return Process(name, state, 17, 0, 1, False, "")._replace(**more)


def watermark(lag_ms: int, stage: str = "orders") -> dict[str, Any]:
    return {"stage": stage, "source": "settlement", "lag_ms": lag_ms}


def lag(records: int) -> TopicLag:
    return TopicLag("trueup", "settlement.public.orders", 1_000_000, records, 3, records)


def by_part(found: list[Light]) -> dict[str, Light]:
    return {light.part: light for light in found}


HEALTHY = Pipeline([process(), process("cdc", metrics={"trueup_reader_lag_seconds": {(): 0.2}})], lags=[lag(10)])


def test_all_lights_are_green_when_everything_works() -> None:
    found = lights(HEALTHY, [watermark(900), watermark(10**9, "mirrors")], 0)
    assert {light.level for light in found} == {"good"}
    assert worst(found) == "good"
    assert {light.part for light in found} == {"processes", "source", "watermark", "kafka", "quarantine"}


@pytest.mark.parametrize(
    ("one", "level", "said"),
    [
        (process(state="failed", last_error="out of memory"), "bad", "out of memory"),
        (process(state="backoff"), "warning", "worker-1"),
        (process(paused=True), "warning", "worker-1"),
        (process(answers=False), "warning", "does not answer"),
        (process(answers=True, lacks={"clickhouse": "no answer"}), "warning", "clickhouse (no answer)"),
    ],
)
def test_a_process_that_does_not_work_is_named_with_what_to_do(one: Process, level: str, said: str) -> None:
    (light,) = [light for light in lights(Pipeline([one]), [], None) if light.part == "processes"]
    assert light.level == level
    assert said in light.text.format(**light.values)
    assert light.remedy


@pytest.mark.parametrize(
    ("lag_ms", "level"),
    [(WATERMARK_WARNING_MS, "good"), (WATERMARK_WARNING_MS + 1, "warning"), (WATERMARK_BAD_MS + 1, "bad")],
)
def test_the_slowest_judging_stage_gives_the_light_of_the_watermark(lag_ms: int, level: str) -> None:
    light = by_part(lights(HEALTHY, [watermark(1), watermark(lag_ms, "releases")], 0))["watermark"]
    assert light.level == level
    assert light.values["stage"] == "releases"


def test_what_waits_is_told() -> None:
    busy = HEALTHY._replace(lags=[lag(LAG_WARNING_RECORDS), lag(1)])
    found = by_part(lights(busy, [watermark(1)], 3))
    assert (found["kafka"].level, found["quarantine"].level) == ("warning", "warning")
    refusing = HEALTHY._replace(processes=[process("cdc", metrics={"trueup_reader_quarantined_total": {(): 2.0}})])
    assert [light.values for light in lights(refusing, [], 0) if light.level == "warning"] == [{"count": 2}]
    late = HEALTHY._replace(processes=[process("cdc", metrics={"trueup_reader_lag_seconds": {(): 60.0}})])
    assert by_part(lights(late, [], None))["source"].level == "warning"


def test_what_is_not_known_is_no_green_light() -> None:
    found = lights(nothing_known(), [], None)
    assert {light.level for light in found} == {"unknown"}
    assert worst(found) == worst([]) == "unknown"


def test_every_remedy_stands_in_the_operations_page() -> None:
    broken = [process(state=state) for state in ("failed", "backoff")] + [process(answers=False)]
    late = process("cdc", metrics={"trueup_reader_lag_seconds": {(): 60.0}})
    pipelines = [Pipeline([*broken, late], lags=[lag(10**6)]), nothing_known()]
    found = [light for pipeline in pipelines for light in lights(pipeline, [watermark(10**9)], 5)]
    sections = {light.section for light in found if light.section}
    assert len(sections) >= 6
    assert sections <= set(HEADINGS)
    assert all(light.text.format(**light.values) for light in found)


def test_partitions_add_up_to_their_topic_with_the_worst_one_named() -> None:
    partitions = [
        PartitionLag("a", 0, 10, 10),
        PartitionLag("b", 0, 5, 1),
        PartitionLag("b", 1, 9, 2),
        PartitionLag("b", 2, 1, 3),
    ]
    found = by_topic("trueup", partitions)
    assert found == [TopicLag("trueup", "b", 15, 11, 1, 7), TopicLag("trueup", "a", 10, 0, 0, 0)]


def test_metrics_are_kept_by_stage() -> None:
    text = (
        "# TYPE trueup_partitions gauge\n"
        'trueup_partitions{stage="orders"} 8.0\ntrueup_partitions{stage="cases"} 4.0\n'
        "# TYPE trueup_quarantined counter\n"
        'trueup_quarantined_total{stage="orders",code="a"} 1.0\ntrueup_quarantined_total{stage="orders",code="b"} 2.0\n'
        "# TYPE something gauge\nsomething 1.0\n"
    )
    assert read_metrics(text) == {
        "trueup_partitions": {("orders",): 8.0, ("cases",): 4.0},
        "trueup_quarantined_total": {("orders",): 3.0},
    }


def test_where_no_stack_runs_the_probe_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("trueup.pipeline_probe.partition_lags", lambda *given: asked.append(given))
    probe = PipelineProbe(Settings(data_dir=tmp_path))
    found = probe()
    assert "no stack is running here" in found.processes_error
    assert found.lags_error
    # Many who look at once ask once.
    assert probe() is found
    assert len(asked) == 1
