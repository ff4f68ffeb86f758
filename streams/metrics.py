"""Every metric of a worker, defined once; served on 127.0.0.1 in Prometheus' text format."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

LATENCY_BUCKETS_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 30.0)


class WorkerMetrics:
    """Counters are totals since the process started; label `stage` is orders, statements, mirrors or cases."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.changes = Counter("trueup_changes", "Source changes processed.", ["stage"], registry=self.registry)
        self.quarantined = Counter(
            "trueup_quarantined", "Messages put in quarantine.", ["stage"], registry=self.registry
        )
        self.raised = Counter(
            "trueup_discrepancies_raised", "Discrepancies opened, reopened or amended.", ["stage"],
            registry=self.registry,
        )  # fmt: skip
        self.latency = Histogram(
            "trueup_detection_latency_seconds", "Source commit to detection.", ["stage"],
            buckets=LATENCY_BUCKETS_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.watermark = Gauge(
            "trueup_watermark_timestamp_seconds", "Source time up to which all partitions have seen everything.",
            ["stage"], registry=self.registry,
        )  # fmt: skip
        self.lag = Gauge("trueup_lag_records", "Records in Kafka that wait to be processed.", registry=self.registry)
        self.windows = Counter("trueup_windows", "Durable windows written.", ["stage"], registry=self.registry)
        self.partitions = Gauge("trueup_partitions", "Partitions owned.", ["stage"], registry=self.registry)
        self.ready = Gauge(
            "trueup_ready", "1 while every service that the worker needs answers.", registry=self.registry
        )

    def serve(self, port: int) -> None:
        """Answer GET /metrics on 127.0.0.1 from a thread of its own."""
        start_http_server(port, addr="127.0.0.1", registry=self.registry)
