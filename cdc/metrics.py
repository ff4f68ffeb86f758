"""Every metric of the reader, defined once, and what it says of its health; read when somebody asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Info, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cdc.counters import Phase, ReaderCounters
from trueup import __version__
from trueup.model.health import Part
from trueup.model.reason_codes import OTHER_CODE, REASON_CODES, counted_code

LOOP_SECONDS_MAX: Final = 300.0
"""Longer than anything that the loop waits for: delivery of what was sent, which has 120 s."""

ANSWER_SECONDS_MAX: Final = 5.0
"""The source is asked for the time, and the broker acknowledges, many times within it."""


class ReaderMetrics(Collector):
    """The counters of the reader as Prometheus reads them.

    Args:
        counters: of the reader in this process.
        now: seconds since the epoch, for the lag.
    """

    def __init__(self, counters: ReaderCounters, now: Callable[[], float] = time.time) -> None:
        self._counters = counters
        self._now = now
        self.registry = CollectorRegistry()
        Info("trueup_build", "Version of the program.", registry=self.registry).info({"version": __version__})
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        yield from self._tables()
        yield from self._totals()
        yield from self._positions()
        yield from self._times()
        ready = all(part.ready for part in reader_parts(self._counters).values())
        yield GaugeMetricFamily("trueup_reader_ready", "1 while source and broker let it read.", int(ready))

    def _tables(self) -> Iterable[Metric]:
        counts = sorted(self._counters.tables.items())
        changes = CounterMetricFamily("trueup_reader_changes", "Changes streamed.", labels=["table"])
        copied = CounterMetricFamily("trueup_reader_snapshot_rows", "Rows copied by a snapshot.", labels=["table"])
        for label, count in counts:
            changes.add_metric([label], count.changes)
            copied.add_metric([label], count.snapshot_rows)
        refused = CounterMetricFamily("trueup_reader_quarantined", "Changes put in quarantine.", labels=["code"])
        by_code: dict[str, int] = dict.fromkeys((*REASON_CODES, OTHER_CODE), 0)
        for code, count_of_code in list(self._counters.quarantined_by_code.items()):
            by_code[counted_code(code)] += count_of_code
        for code, count_of_code in by_code.items():
            refused.add_metric([code], count_of_code)
        yield from (changes, copied, refused)

    def _totals(self) -> Iterable[Metric]:
        counters = self._counters
        yield CounterMetricFamily("trueup_reader_transactions", "Transactions streamed.", counters.transactions)
        yield CounterMetricFamily("trueup_reader_heartbeats", "Heartbeats sent.", counters.heartbeats)
        yield CounterMetricFamily("trueup_reader_sessions", "Sessions begun with the source.", counters.sessions)
        yield CounterMetricFamily("trueup_reader_gaps", "Times that log of the source was not read.", counters.gaps)
        open_gap = counters.gap is not None and not counters.gap.repaired_us
        yield GaugeMetricFamily("trueup_reader_gap_open", "1 while a gap is not made up for.", int(open_gap))
        yield GaugeMetricFamily(
            "trueup_reader_stopped_tables", "Tables that cannot be read as they are now.", len(counters.stopped)
        )
        yield CounterMetricFamily(
            "trueup_reader_throttled_seconds", "Time spent waiting for the broker to take more.",
            counters.throttled_seconds,
        )  # fmt: skip
        yield GaugeMetricFamily(
            "trueup_reader_messages_in_flight", "Messages that the broker has not acknowledged.", counters.in_flight
        )

    def _positions(self) -> Iterable[Metric]:
        confirmed, server = self._counters.confirmed_lsn, self._counters.server_lsn
        yield GaugeMetricFamily(
            "trueup_reader_confirmed_position_bytes", "Log position up to which the source may forget.", confirmed
        )
        yield GaugeMetricFamily(
            "trueup_reader_server_position_bytes", "Log position that the source has written.", server
        )
        # Before the first confirmation the whole log would look like lag.
        yield _known(
            "trueup_reader_lag_bytes", "Log of the source that is not confirmed.",
            max(0, server - confirmed) if confirmed else None,
        )  # fmt: skip

    def _times(self) -> Iterable[Metric]:
        watermark_us, commit_us = self._counters.watermark_us, self._counters.last_commit_us
        yield _known(
            "trueup_reader_watermark_timestamp_seconds", "Source time up to which every change is delivered.",
            watermark_us / 1e6 if watermark_us else None,
        )  # fmt: skip
        yield _known(
            "trueup_reader_last_commit_timestamp_seconds", "Source time of the newest transaction.",
            commit_us / 1e6 if commit_us else None,
        )  # fmt: skip
        yield _known(
            "trueup_reader_lag_seconds", "How far the delivered changes are behind the clock.",
            max(0.0, self._now() - watermark_us / 1e6) if watermark_us else None,
        )  # fmt: skip


def _known(name: str, documentation: str, value: float | None) -> Metric:
    """A gauge that has a value only once there is one: 0 would be a lie."""
    family = GaugeMetricFamily(name, documentation, labels=[])
    if value is not None:
        family.add_metric([], value)
    return family


def reader_parts(counters: ReaderCounters) -> Mapping[str, Part]:
    """What the reader needs: `source`, `kafka`, and that it is `reading`, a snapshot or the stream.

    `history` is there when no gap is left open, `tables` when all of them can be read, and `connector`, where one reads in this
    reader's place, when that runs.
    """
    now = time.monotonic()
    streaming = counters.phase is Phase.STREAMING
    source = counters.failing != "source" and not (streaming and now - counters.source_answered_at > ANSWER_SECONDS_MAX)
    kafka = counters.failing != "kafka" and not (streaming and now - counters.delivered_at > ANSWER_SECONDS_MAX)
    connector = Part(counters.failing != "connect", counters.last_errors.get("connect", ""))
    return {
        "source": Part(source, counters.last_errors.get("source", "")),
        "kafka": Part(kafka, counters.last_errors.get("kafka", "")),
        "reading": Part(counters.phase is not Phase.CONNECTING),
        "history": Part(counters.gap is None or counters.gap.repaired_us > 0, str(counters.gap or "")),
        "tables": Part(not counters.stopped, "; ".join(list(counters.stopped.values()))),
        **({"connector": connector} if counters.watches_connector else {}),
    }


def reader_alive(counters: ReaderCounters) -> bool:
    """Whether the reader's loop turns."""
    return time.monotonic() - counters.turned_at < LOOP_SECONDS_MAX
