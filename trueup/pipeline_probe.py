"""Asks the processes of a stack and Kafka how they do, for whoever shows it; asked by many, it asks once in a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import orjson
from prometheus_client.parser import text_string_to_metric_families

from dashboards.pipeline import Pipeline, Process, TopicLag
from trueup.embedded.logs import tail
from trueup.embedded.runtime import ServiceState, State, read_runtime
from trueup.group_wiring import consumer_group
from trueup.kafka_lag import PartitionLag, partition_lags
from trueup.model.errors import TrueupError
from trueup.settings import Settings
from trueup.user_specs import read_user_specs

KEPT_SECONDS: Final = 2.0
"""How long an answer is given to others who ask."""

ANSWER_SECONDS_MAX: Final = 1.0
LOG_LINES: Final = 15
_ASKED: Final = ("worker-", "cdc", "alerts")
"""Processes that serve their metrics and readiness; the dashboard does not ask itself."""

_SHOWN: Final = frozenset(
    {
        "trueup_ready", "trueup_partitions", "trueup_lag_records", "trueup_changes_total", "trueup_quarantined_total",
        "trueup_watermark_timestamp_seconds", "trueup_last_processed_timestamp_seconds", "trueup_reader_lag_seconds",
        "trueup_reader_lag_bytes", "trueup_reader_confirmed_position_bytes", "trueup_reader_watermark_timestamp_seconds",
        "trueup_reader_ready", "trueup_reader_quarantined_total", "trueup_reader_messages_in_flight",
    }
)  # fmt: skip
_BY_STAGE: Final = "stage"


class PipelineProbe:
    """Reads the state of the stack on the data directory of the settings, and the lag of its consumer groups.

    May be called from several threads.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._held = Pipeline()

    def __call__(self) -> Pipeline:
        """The state, at most `KEPT_SECONDS` old."""
        with self._lock:
            if not self._read_at or time.monotonic() - self._read_at > KEPT_SECONDS:
                self._held = self._read()
                self._read_at = time.monotonic()
            return self._held

    def _read(self) -> Pipeline:
        data_dir = self._settings.data_dir
        processes: list[Process] = []
        processes_error, lags_error = "", ""
        lags: list[TopicLag] = []
        try:
            processes = [_process(service, data_dir) for service in read_runtime(data_dir).services]
        except TrueupError as error:
            processes_error = str(error)
        try:
            lags = self._lags()
        except TrueupError as error:
            lags_error = str(error)
        else:
            lags_error = "" if lags else "this broker does not tell what was committed"
        return Pipeline(processes, processes_error, lags, lags_error)

    def _lags(self) -> list[TopicLag]:
        specs = read_user_specs(self._settings)
        groups = [self._settings.kafka.group]
        if specs.specs:
            groups.append(consumer_group(self._settings, specs))
        return [lag for group in groups for lag in by_topic(group, partition_lags(self._settings, group) or [])]


def by_topic(group: str, partitions: list[PartitionLag]) -> list[TopicLag]:
    """The partitions of each topic added up, those with the most waiting first."""
    held: dict[str, list[PartitionLag]] = {}
    for one in partitions:
        held.setdefault(one.topic, []).append(one)
    found = []
    for topic, those in held.items():
        worst = max(those, key=lambda one: one.records)
        found.append(
            TopicLag(
                group, topic, sum(one.end for one in those), sum(one.records for one in those), worst.partition,
                worst.records,
            )
        )  # fmt: skip
    return sorted(found, key=lambda lag: (-lag.records, lag.topic))


def read_metrics(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """The metrics that are shown, by name; a label `stage` is the key, other labels are added up."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in _SHOWN:
                key = (sample.labels[_BY_STAGE],) if _BY_STAGE in sample.labels else ()
                values = found.setdefault(sample.name, {})
                values[key] = values.get(key, 0.0) + sample.value
    return found


def _process(service: ServiceState, data_dir: Path) -> Process:
    process = Process(
        service.name, str(service.state), service.pid, service.restarts, service.since_us, service.paused,
        service.last_error, log=tail(data_dir / "log" / f"{service.name}.log", LOG_LINES),
    )  # fmt: skip
    if service.port is None or service.state != State.READY or not service.name.startswith(_ASKED):
        return process
    metrics = _get(service.port, "metrics")
    if metrics is None:
        return process._replace(answers=False)
    return process._replace(answers=True, lacks=_lacking(_get(service.port, "readyz")), metrics=read_metrics(metrics))


def _lacking(answer: str | None) -> Mapping[str, str]:
    """What a process says that it lacks, by name, with the error."""
    try:
        parts = orjson.loads(answer or "{}").get("parts", {})
        return {name: str(part["error"]) for name, part in parts.items() if not part["ready"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _get(port: int, path: str) -> str | None:
    """The answer, also one that says that something is missing; None if nobody answers."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=ANSWER_SECONDS_MAX) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        return error.read().decode(errors="replace")
    except (URLError, OSError):
        return None
