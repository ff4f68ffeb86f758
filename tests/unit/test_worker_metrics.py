"""What a worker tells: figures by stage, the histogram of latencies, and when it is ready."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streams.latency_counts import LATENCY_BUCKETS_US, LatencyCounts
from streams.metrics import StageFigures, WorkerFigures, WorkerMetrics
from streams.window_counters import WINDOW_SECONDS_MAX, WindowCounters
from streams.worker_health import WorkerHealth


def figures_of(windows: WindowCounters, latencies: LatencyCounts) -> WorkerFigures:
    stage = StageFigures(
        stage="orders", changes=70, in_progress=20, processed_us=1_500_000, quarantined_by_code={"not-finite": 2},
        skipped=5, truncations=1, raised=3, latencies=latencies, windows=windows, partitions=4, watermark_us=0, lag_records=9,
    )  # fmt: skip
    return WorkerFigures(ready=True, heartbeat_us=2_000_000, stages=[stage])


def samples_of(figures: WorkerFigures) -> Mapping[tuple[str, ...], float]:
    """(name, label values in the order of the labels) → value, of everything of ours that is exposed."""
    text = generate_latest(WorkerMetrics(lambda: figures).registry).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("trueup_")
    }


def test_figures_are_told_by_stage() -> None:
    windows = WindowCounters()
    windows.began()
    windows.inserted({"order_wide": 40, "discrepancy": 2})
    windows.became_durable(50)
    samples = samples_of(figures_of(windows, LatencyCounts()))
    assert samples["trueup_changes_total", "orders"] == 70
    assert samples["trueup_messages_skipped_total", "orders"] == 5
    assert samples["trueup_truncations_total", "orders"] == 1
    assert samples["trueup_changes_in_progress", "orders"] == 20
    assert samples["trueup_rows_written_total", "orders", "order_wide"] == 40
    assert samples["trueup_windows_total", "orders"] == 1
    assert samples["trueup_last_processed_timestamp_seconds", "orders"] == 1.5
    assert samples["trueup_heartbeat_timestamp_seconds",] == 2.0
    assert samples["trueup_lag_records", "orders"] == 9
    assert ("trueup_watermark_timestamp_seconds", "orders") not in samples


def test_every_reason_has_a_series_from_the_start() -> None:
    samples = samples_of(figures_of(WindowCounters(), LatencyCounts()))
    assert samples["trueup_quarantined_total", "not-finite", "orders"] == 2
    assert samples["trueup_quarantined_total", "malformed-json", "orders"] == 0


def test_latencies_come_as_a_histogram() -> None:
    latencies = LatencyCounts()
    for latency_us in (10_000, 10_001, 400_000, 90_000_000):
        latencies.add(latency_us)
    samples = samples_of(figures_of(WindowCounters(), latencies))
    name = "trueup_detection_latency_seconds"
    assert [samples[f"{name}_bucket", bound, "orders"] for bound in ("0.01", "0.025", "0.5", "30.0", "+Inf")] == [
        1, 2, 3, 3, 4,
    ]  # fmt: skip
    assert samples[f"{name}_count", "orders"] == 4
    assert samples[f"{name}_sum", "orders"] == pytest.approx(90.420001)


@given(st.lists(st.integers(0, 2 * LATENCY_BUCKETS_US[-1])))
def test_a_bucket_counts_what_is_at_most_as_long_as_its_bound(latencies_us: list[int]) -> None:
    counts = LatencyCounts()
    for latency_us in latencies_us:
        counts.add(latency_us)
    expected = [sum(latency <= bound for latency in latencies_us) for bound in LATENCY_BUCKETS_US]
    assert counts.cumulative() == [*expected, len(latencies_us)]
    assert counts.sum_us == sum(latencies_us)


def test_a_window_that_is_refused_or_takes_too_long_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = WindowCounters()
    assert windows.ready
    windows.began()
    windows.refused("clickhouse", "no answer")
    assert (windows.ready, windows.failures["clickhouse"], windows.last_errors) == (
        False, 1, {"clickhouse": "no answer"},
    )  # fmt: skip
    windows.taken()
    assert windows.ready
    monkeypatch.setattr("streams.window_counters.WINDOW_SECONDS_MAX", -WINDOW_SECONDS_MAX)
    assert not windows.ready


class App:
    """An application that has or has not its share of the partitions."""

    def __init__(self, *, settled: bool) -> None:
        self.settled = settled

    def lag_records(self) -> dict[str, int]:
        return {"orders": 5}


@pytest.mark.parametrize(("answers", "settled"), [(True, True), (False, True), (True, False)])
def test_a_worker_is_ready_when_the_broker_answers_and_its_share_is_open(answers: bool, settled: bool) -> None:
    health = WorkerHealth({}, {}, {}, [App(settled=settled)], lambda: answers)
    parts = health.parts()
    assert (parts["kafka"].ready, parts["assigned"].ready) == (answers, settled)
    assert health.figures().ready == (answers and settled)


def test_a_worker_without_applications_is_starting() -> None:
    health = WorkerHealth({}, {}, {}, [], lambda: True)
    assert not health.parts()["assigned"].ready
    assert health.alive()
