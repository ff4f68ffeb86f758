"""Every metric of a worker, defined once; the figures are read when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Info, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.latency_counts import LATENCY_BUCKETS_US, LatencyCounts
from streams.window_counters import WindowCounters
from trueup import __version__
from trueup.model.reason_codes import OTHER_CODE, REASON_CODES


class StageFigures(NamedTuple):
    """What one stage of a worker has done since its start, and where it stands. Times are µs since the epoch, 0 unknown.

    `partitions` counts those that it owns, `watermark_us` is the lowest of theirs; `lag_records` wait in Kafka unread.
    """

    stage: str
    changes: int
    in_progress: int
    processed_us: int
    quarantined_by_code: Mapping[str, int]
    skipped: int
    truncations: int
    raised: int
    latencies: LatencyCounts
    windows: WindowCounters
    partitions: int
    watermark_us: int
    lag_records: int


class WorkerFigures(NamedTuple):
    """What a worker tells; `heartbeat_us` is the newest source time that it has heard of, µs since the epoch, or 0."""

    ready: bool
    heartbeat_us: int
    stages: Sequence[StageFigures]


class WorkerMetrics(Collector):
    """The figures of a worker as Prometheus reads them; label `stage` is one of those of the worker.

    Args:
        figures: of the worker in this process; may be called from any thread.
    """

    def __init__(self, figures: Callable[[], WorkerFigures]) -> None:
        self._figures = figures
        self.registry = CollectorRegistry()
        Info("trueup_build", "Version of the program.", registry=self.registry).info({"version": __version__})
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        figures = self._figures()
        yield GaugeMetricFamily(
            "trueup_ready", "1 while every service that the worker needs answers, and its partitions are open.",
            int(figures.ready),
        )  # fmt: skip
        heartbeat = GaugeMetricFamily(
            "trueup_heartbeat_timestamp_seconds", "Newest source time that the reader has told.", labels=[]
        )
        if figures.heartbeat_us:
            heartbeat.add_metric([], figures.heartbeat_us / 1e6)
        yield heartbeat
        yield from _in_and_out(figures.stages)
        yield from _findings(figures.stages)
        yield from _windows(figures.stages)
        yield from _standing(figures.stages)


def _in_and_out(stages: Sequence[StageFigures]) -> Iterable[Metric]:
    changes = CounterMetricFamily("trueup_changes", "Source changes and messages processed.", labels=["stage"])
    skipped = CounterMetricFamily(
        "trueup_messages_skipped",
        "Messages that say nothing of rows: tombstones, changes of a schema.",
        labels=["stage"],
    )
    truncations = CounterMetricFamily("trueup_truncations", "Truncations of source tables read.", labels=["stage"])
    written = CounterMetricFamily(
        "trueup_rows_written", "Rows that are durable in ClickHouse.", labels=["stage", "table"]
    )
    in_progress = GaugeMetricFamily(
        "trueup_changes_in_progress", "Changes processed that are not durable yet.", labels=["stage"]
    )
    processed = GaugeMetricFamily(
        "trueup_last_processed_timestamp_seconds", "When the last batch was processed.", labels=["stage"]
    )
    for figures in stages:
        changes.add_metric([figures.stage], figures.changes)
        skipped.add_metric([figures.stage], figures.skipped)
        truncations.add_metric([figures.stage], figures.truncations)
        for table, count in sorted(figures.windows.rows.items()):
            written.add_metric([figures.stage, table], count)
        in_progress.add_metric([figures.stage], figures.in_progress)
        if figures.processed_us:
            processed.add_metric([figures.stage], figures.processed_us / 1e6)
    return changes, skipped, truncations, written, in_progress, processed


def _findings(stages: Sequence[StageFigures]) -> Iterable[Metric]:
    quarantined = CounterMetricFamily(
        "trueup_quarantined", "Messages put in quarantine, by reason.", labels=["stage", "code"]
    )
    raised = CounterMetricFamily(
        "trueup_discrepancies_raised", "Discrepancies opened, reopened or amended.", labels=["stage"]
    )
    latency = HistogramMetricFamily(
        "trueup_detection_latency_seconds", "Source commit, or due time, to detection.", labels=["stage"]
    )
    bounds = (*(f"{bound / 1e6}" for bound in LATENCY_BUCKETS_US), "+Inf")
    for figures in stages:
        # Every reason from the start: the first increase of a series that appears late would not be seen.
        for code in (*REASON_CODES, OTHER_CODE):
            quarantined.add_metric([figures.stage, code], figures.quarantined_by_code.get(code, 0))
        raised.add_metric([figures.stage], figures.raised)
        buckets = list(zip(bounds, figures.latencies.cumulative(), strict=True))
        latency.add_metric([figures.stage], buckets, figures.latencies.sum_us / 1e6)
    return quarantined, raised, latency


def _windows(stages: Sequence[StageFigures]) -> Iterable[Metric]:
    windows = CounterMetricFamily("trueup_windows", "Durable windows written.", labels=["stage"])
    seconds = CounterMetricFamily("trueup_window_seconds", "Time spent writing these windows.", labels=["stage"])
    failures = CounterMetricFamily(
        "trueup_window_failures", "Attempts that Kafka or ClickHouse did not take.", labels=["stage", "service"]
    )
    for figures in stages:
        windows.add_metric([figures.stage], figures.windows.windows)
        seconds.add_metric([figures.stage], figures.windows.seconds)
        failures.add_metric([figures.stage, "kafka"], figures.windows.failures["kafka"])
        failures.add_metric([figures.stage, "clickhouse"], figures.windows.failures["clickhouse"])
    return windows, seconds, failures


def _standing(stages: Sequence[StageFigures]) -> Iterable[Metric]:
    partitions = GaugeMetricFamily("trueup_partitions", "Partitions owned.", labels=["stage"])
    lag = GaugeMetricFamily("trueup_lag_records", "Records in Kafka that are not read yet.", labels=["stage"])
    watermark = GaugeMetricFamily(
        "trueup_watermark_timestamp_seconds", "Source time up to which all its partitions have seen everything.",
        labels=["stage"],
    )  # fmt: skip
    for figures in stages:
        partitions.add_metric([figures.stage], figures.partitions)
        lag.add_metric([figures.stage], figures.lag_records)
        if figures.watermark_us:
            watermark.add_metric([figures.stage], figures.watermark_us / 1e6)
    return partitions, lag, watermark
