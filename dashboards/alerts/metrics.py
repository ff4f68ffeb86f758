"""Every metric of the alerts, defined once; labels are the five kinds of channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

KINDS: Final = ("webhook", "slack", "feishu", "dingtalk", "email")
_LABELS: Final = ("kind",)


class AlertMetrics:
    """Counters are totals since the process started; gauges are read from the small database now and then."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.taken = Counter("trueup_alerts_verdicts", "Verdicts read from the topics.", registry=self.registry)
        self.unreadable = Counter(
            "trueup_alerts_unreadable", "Messages that could not be read.", registry=self.registry
        )
        self.sent = Counter("trueup_alerts_sent", "Messages that arrived.", _LABELS, registry=self.registry)
        self.failed = Counter("trueup_alerts_failed", "Attempts that failed.", _LABELS, registry=self.registry)
        self.given_up = Counter("trueup_alerts_given_up", "Messages given up.", _LABELS, registry=self.registry)
        self.queued = Gauge("trueup_alerts_queued", "Messages that wait.", _LABELS, registry=self.registry)
        self.dead = Gauge(
            "trueup_alerts_dead", "Messages given up that nobody has seen to.", _LABELS, registry=self.registry
        )
        self.digesting = Gauge("trueup_alerts_digesting", "Channels in a storm.", _LABELS, registry=self.registry)
        self.lag = Gauge("trueup_alerts_lag_records", "Records in Kafka that wait to be read.", registry=self.registry)
        self._counters = {"sent": self.sent, "failed": self.failed, "dead": self.given_up}
        for kind in KINDS:
            for metric in (self.sent, self.failed, self.given_up, self.queued, self.dead, self.digesting):
                metric.labels(kind)

    def count(self, kind: str, state: str) -> None:
        """One more message that was sent, failed or given up."""
        self._counters[state].labels(kind).inc()

    def show(self, gauge: Gauge, by_kind: Mapping[str, int]) -> None:
        """Set a gauge for every kind; those that are not named are 0."""
        for kind in KINDS:
            gauge.labels(kind).set(by_kind.get(kind, 0))
