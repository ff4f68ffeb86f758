"""The dashboard of the machinery: what flows in and out, what waits, how far each part is. Pure."""

from __future__ import annotations

from dashboards.grafana.panels import Json, chart, dashboard, metric_target, number, row_of


def pipeline_board() -> Json:
    """Uid `trueup-pipeline`; figures of Prometheus only."""
    rows = [
        row_of(_figures(), 4),
        row_of(_flows(), 8),
        row_of(_waiting(), 8),
        row_of(_windows(), 8),
        row_of(_machine(), 8),
    ]
    return dashboard("trueup-pipeline", "trueup: pipeline", rows, since="now-1h")


def _figures() -> list[Json]:
    return [
        number(
            "Workers ready", "Workers that have all they need",
            metric_target("count(trueup_ready == 1) or vector(0)", instant=True),
        ),
        number(
            "Reader ready", "1 while it reads and both sides answer",
            metric_target("min(trueup_reader_ready) or vector(0)", instant=True),
        ),
        number(
            "Source lag", "How far delivered changes are behind the clock",
            metric_target("max(trueup_reader_lag_seconds)", instant=True), unit="s", red_from=30,
        ),
        number(
            "Waiting in Kafka", "Records that are not read yet",
            metric_target("sum(trueup_lag_records)", instant=True), red_from=100_000,
        ),
        number(
            "In quarantine since the start", "Messages that workers and reader refused",
            metric_target("sum(trueup_quarantined_total) + sum(trueup_reader_quarantined_total)", instant=True),
            red_from=1,
        ),
        number(
            "Pages, p95", "From a request to the beginning of its answer, last 5 minutes",
            metric_target(
                "histogram_quantile(0.95, sum by (le) (rate(trueup_dashboard_request_seconds_bucket[5m])))", instant=True
            ), unit="s", red_from=0.2,
        ),
    ]  # fmt: skip


def _flows() -> list[Json]:
    return [
        chart(
            "In", "Changes and messages processed, by stage",
            [metric_target("sum by (stage) (rate(trueup_changes_total[1m]))", "{{stage}}")], unit="ops",
        ),
        chart(
            "Out", "Rows that are durable in ClickHouse, by stage",
            [metric_target("sum by (stage) (rate(trueup_rows_written_total[1m]))", "{{stage}}")], unit="wps",
        ),
        chart(
            "From the source", "Changes streamed and rows copied, by table",
            [
                metric_target("sum by (table) (rate(trueup_reader_changes_total[1m])) > 0", "{{table}}"),
                metric_target(
                    "sum by (table) (rate(trueup_reader_snapshot_rows_total[1m])) > 0", "{{table}}, snapshot", "B"
                ),
            ], unit="ops",
        ),
    ]  # fmt: skip


def _waiting() -> list[Json]:
    return [
        chart(
            "Lag", "Records in Kafka that are not read yet, by stage",
            [metric_target("sum by (stage) (trueup_lag_records)", "{{stage}}")],
        ),
        chart(
            "In progress", "Changes processed that are not durable yet",
            [metric_target("sum by (stage) (trueup_changes_in_progress)", "{{stage}}")],
        ),
        chart(
            "Behind the clock", "Watermark of each stage, and the newest heartbeat that was heard",
            [
                metric_target("time() - min by (stage) (trueup_watermark_timestamp_seconds)", "{{stage}}"),
                metric_target("time() - max(trueup_heartbeat_timestamp_seconds)", "heartbeats", "B"),
            ], unit="s",
        ),
    ]  # fmt: skip


def _windows() -> list[Json]:
    return [
        chart(
            "Time to make a window durable", "Mean over a minute, by stage",
            [
                metric_target(
                    "sum by (stage) (rate(trueup_window_seconds_total[1m])) / sum by (stage) (rate(trueup_windows_total[1m]))",
                    "{{stage}}",
                )
            ], unit="s",
        ),
        chart(
            "Refusals", "Attempts that Kafka or ClickHouse did not take, and messages put in quarantine",
            [
                metric_target("sum by (service) (rate(trueup_window_failures_total[5m]))", "{{service}}"),
                metric_target("sum by (code) (rate(trueup_quarantined_total[5m])) > 0", "quarantine: {{code}}", "B"),
                metric_target(
                    "sum by (code) (rate(trueup_reader_quarantined_total[5m])) > 0", "reader: {{code}}", "C"
                ),
            ], unit="ops",
        ),
        chart(
            "Log held back at the source", "What the slot keeps because it is not confirmed",
            [metric_target("max(trueup_reader_lag_bytes)", "bytes")], unit="bytes",
        ),
        chart(
            "Reader waits for the broker", "Share of the time",
            [metric_target("sum(rate(trueup_reader_throttled_seconds_total[1m]))", "throttled")], unit="percentunit",
        ),
    ]  # fmt: skip


def _machine() -> list[Json]:
    return [
        chart(
            "Partitions", "Owned by each process, of the first stage",
            [metric_target('trueup_partitions{stage="orders"}', "{{service}}")], stacked=True,
        ),
        chart(
            "Memory", "Resident, by process",
            [metric_target('process_resident_memory_bytes{service!=""}', "{{service}}")], unit="bytes",
        ),
        chart(
            "CPU", "Cores used, by process",
            [metric_target('rate(process_cpu_seconds_total{service!=""}[1m])', "{{service}}")],
        ),
    ]  # fmt: skip
