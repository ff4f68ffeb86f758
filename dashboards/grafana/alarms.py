"""The alarms: what must not be, for how long at most, and where it says what to do. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, Literal, NamedTuple

from clickhouse.case_reader import STAKE, UNSETTLED

RUNBOOK: Final = "docs/operations.md"
LINKS_CHECKED_MAX: Final = 10_000
"""Rows of each chain, the newest ones, that the alarm on the audit log looks at."""


class MetricAlarm(NamedTuple):
    """Rings while the expression gives anything.

    Args:
        name: in CamelCase, as Prometheus wants it.
        expression: PromQL that ends in a comparison.
        minutes: how long it must hold.
        severity: `page` wakes somebody, `ticket` waits until the morning.
        summary: one sentence for whoever gets it; the labels say where.
        section: anchor in docs/operations.md.
    """

    name: str
    expression: str
    minutes: int
    severity: Literal["page", "ticket"]
    summary: str
    section: str


class QueryAlarm(NamedTuple):
    """Rings while the column `value` of a query to ClickHouse is above the limit in any row.

    `sql` gives `time`, labels and `value`; the other fields are those of a MetricAlarm.
    """

    name: str
    sql: str
    limit: Decimal
    minutes: int
    severity: Literal["page", "ticket"]
    summary: str
    section: str


METRIC_ALARMS: Final = (
    MetricAlarm(
        "NoWorker", "(count(trueup_ready == 1) or vector(0)) == 0", 1, "page",
        "No worker is ready: nothing is reconciled.", "no-worker-is-ready",
    ),
    MetricAlarm(
        "WorkerNotReady", "trueup_ready == 0", 3, "ticket",
        "A worker lacks a service or its partitions; its readiness page tells which.", "no-worker-is-ready",
    ),
    MetricAlarm(
        "ReaderNotReady", "(min(trueup_reader_ready) or vector(0)) == 0", 2, "page",
        "A reader does not read: no change of its source arrives.", "the-source-lags",
    ),
    MetricAlarm(
        "SourceLagging", "max(trueup_reader_lag_seconds) > 30", 1, "page",
        "Delivered changes are more than 30 s behind the source's clock.", "the-source-lags",
    ),
    MetricAlarm(
        "LogHeldBack", "max(trueup_reader_lag_bytes) > 2e9", 5, "ticket",
        "The source keeps more than 2 GB of log for the reader.", "the-slot-holds-back-the-sources-log",
    ),
    MetricAlarm(
        "WatermarkStalled",
        "time() - min by (stage) (trueup_watermark_timestamp_seconds) > 60", 1, "page",
        "A stage is more than a minute behind the source: nothing newer is judged.", "the-watermark-falls-behind",
    ),
    MetricAlarm(
        "LagGrowing",
        "sum by (stage) (trueup_lag_records) > 50000 and sum by (stage) (deriv(trueup_lag_records[10m])) > 0", 10,
        "ticket", "More records arrive than the workers process.", "the-watermark-falls-behind",
    ),
    MetricAlarm(
        "QuarantineGrows",
        "sum by (stage, code) (increase(trueup_quarantined_total[15m])) > 0"
        " or sum by (code) (increase(trueup_reader_quarantined_total[15m])) > 0", 0, "ticket",
        "Messages were put in quarantine: their rows are missing from the books.", "quarantine-grows",
    ),
    MetricAlarm(
        "DetectionSlow",
        "histogram_quantile(0.99, sum by (le) (rate(trueup_detection_latency_seconds_bucket[5m]))) > 1", 5, "ticket",
        "One in a hundred discrepancies is found later than a second after its commit.", "detection-is-slow",
    ),
    MetricAlarm(
        "ServiceRefuses", "sum by (service) (rate(trueup_window_failures_total[5m])) > 0", 2, "ticket",
        "Kafka or ClickHouse does not take what the workers write.", "clickhouse-is-down",
    ),
)  # fmt: skip
"""Those that Prometheus can tell by itself."""


def query_alarms(database: str, risk_limit: Decimal) -> tuple[QueryAlarm, ...]:
    """Those that only the books can tell; `risk_limit` is an amount in major units of every currency."""
    unsettled = ", ".join(f"'{standing}'" for standing in UNSETTLED)
    return (
        QueryAlarm(
            "MoneyAtRisk",
            f"SELECT now() AS time, currency, sum({STAKE}) AS value FROM {database}.v_cases "
            f"WHERE standing IN ({unsettled}) AND currency != '' GROUP BY currency ORDER BY currency",
            risk_limit, 5, "page", "Open cases of a currency put more at risk than the limit.", "money-at-risk",
        ),
        QueryAlarm(
            "QuarantineNotEmpty",
            f"SELECT now() AS time, count() AS value FROM {database}.v_quarantine", Decimal(0), 15, "ticket",
            "Messages wait in quarantine: their rows are missing from the books.", "quarantine-grows",
        ),
        QueryAlarm(
            "AuditChainBroken",
            "SELECT now() AS time, countIf(number > 1 AND prev_hash != before) AS value FROM ("
            "SELECT prev_hash, lagInFrame(hash) OVER chain AS before, row_number() OVER chain AS number FROM ("
            f"SELECT topic, partition, kafka_offset, prev_hash, hash FROM {database}.v_audit_log "
            f"ORDER BY kafka_offset DESC LIMIT {LINKS_CHECKED_MAX} BY topic, partition) "
            "WINDOW chain AS (PARTITION BY topic, partition ORDER BY kafka_offset "
            "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))", Decimal(0), 0, "page",
            "A row of the audit log does not follow from the one before it.", "the-audit-log-does-not-hold",
        ),
    )  # fmt: skip
