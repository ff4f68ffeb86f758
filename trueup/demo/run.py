"""The demo's plot: start the stack, run the workload with faults, stall the source once, and take the score."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg2
import structlog
from psycopg2.extensions import connection as Connection  # noqa: N812

from cdc.topics import source_topic
from clickhouse.client import connect
from clickhouse.reader import Reader
from trueup.demo.listener import Listener, percentile
from trueup.demo.scorecard import OpenFinding, Scorecard, score
from trueup.demo.settle import wait_for_watermark
from trueup.model.money import minor_units
from trueup.model.tables import ORDER_TABLES, STATEMENT_TABLES
from trueup.settings import RuleSettings, Settings
from trueup.stack import Stack
from trueup.upstream import auditor
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.second_site import plant_shared_ids
from trueup.upstream.session import WorkloadProgress
from trueup.upstream.traps import record_stall_window, resend
from trueup.upstream.workload import WorkloadResult, run

SITE: Final = "settlement_b"
"""Database of the second site, and name of the source."""

GRACE_SECONDS: Final = 4.0
STUCK_PAYOUT_SECONDS: Final = 15.0
STALL_AFTER_SHARE: Final = 0.4
"""The source is stalled when so much of the orders is done."""

STALL_SECONDS: Final = GRACE_SECONDS + 2.0
IN_HAND_US: Final = 500_000
"""Commits this shortly before a stall are not read out, or not judged, when it begins: they wait for its end as well."""

CATCH_UP_US: Final = 3_000_000
"""Commits this soon after a stall wait for the backlog: their latency says nothing of normal running."""

RESEND_COUNT: Final = 2_000
SETTLE_TIMEOUT_SECONDS: Final = 120.0

_log = structlog.get_logger()


def demo_rules() -> RuleSettings:
    """Tolerances that fit a run of a minute: days become seconds."""
    return RuleSettings(grace_seconds=GRACE_SECONDS, stuck_seconds={"payout.ongoing": STUCK_PAYOUT_SECONDS})


@dataclass(slots=True)
class DemoState:
    """What the view shows; written by the run, read by the view's thread."""

    orders_planned: int
    phase: str = "starting"
    progress: WorkloadProgress = field(default_factory=WorkloadProgress)
    began_at: float = 0.0
    stalled: bool = False
    stall_us: tuple[int, int] = (0, 0)
    waiting: timedelta | None = None
    finished: bool = False


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The outcome of a run; latencies leave out what was committed while the source was stalled on purpose."""

    workload: WorkloadResult
    card: Scorecard
    latencies_ms: list[float]
    quarantined: int
    elapsed_seconds: float

    def as_json(self) -> dict[str, Any]:
        """One object for scripts."""
        return {
            "orders": self.workload.orders,
            "changes": self.workload.changes,
            **self.card.as_json(),
            "quarantined": self.quarantined,
            "latency_ms": {"p50": percentile(self.latencies_ms, 0.5), "p99": percentile(self.latencies_ms, 0.99)},
            "elapsed_seconds": round(self.elapsed_seconds, 1),
        }


class Demo:
    """One run on a stack that has been started."""

    def __init__(self, stack: Stack, plan: WorkloadPlan, state: DemoState) -> None:
        self._stack = stack
        self._plan = plan
        self._state = state
        self._settings: Settings = stack.settings
        self._client = connect(self._settings.clickhouse)
        self.reader = Reader(self._client, self._settings.clickhouse.database)
        self.listener = Listener(self._settings.kafka.bootstrap)

    def play(self, stop: threading.Event) -> DemoResult:
        """Run to the end. Errors: those of the workload, the stack and the wait for quiescence."""
        began_at = self._state.began_at = time.monotonic()
        self.listener.start()
        self._state.phase = "orders are traded, billed, settled and paid"
        stall = _Interruption(self._stack, self._plan, self._state, stop)
        stall.start()
        try:
            workload = run(self._stack.postgres.dsn(), self._plan, self._watch, stop)
        finally:
            stall.finish()
        if not stop.is_set():
            self._state.phase = "a second site takes orders"
            self._take_orders_elsewhere()
            self._state.phase = "delivering events twice and out of order"
            names = [table.name for table in (*ORDER_TABLES, *STATEMENT_TABLES)]
            source = self._settings.source
            topics = [source_topic(source.name, source.schema_name, name) for name in names]
            resend(self._settings.kafka.bootstrap, topics, self._plan.seed, RESEND_COUNT)
        self._state.phase = "waiting until every grace period is over"
        self._settle()
        self._state.phase = "taking the score"
        result = self._take_score(workload, time.monotonic() - began_at)
        self._state.finished = True
        return result

    def reader_for_view(self) -> Reader:
        """A reader of its own for the view's thread."""
        self._view_client = connect(self._settings.clickhouse)
        return Reader(self._view_client, self._settings.clickhouse.database)

    def close(self) -> None:
        """Stop listening."""
        self.listener.stop()
        self._client.close()

    def _take_orders_elsewhere(self) -> None:
        """Some orders of the second site have ids that the first has given out."""
        if not self._plan.faults:
            return
        postgres = self._stack.postgres
        with (
            contextlib.closing(psycopg2.connect(postgres.dsn())) as first,
            contextlib.closing(psycopg2.connect(postgres.dsn(SITE))) as site,
        ):
            plant_shared_ids(first, site, self._plan.fault_copies)

    def _watch(self, progress: WorkloadProgress) -> None:
        self._state.progress = progress

    def _settle(self) -> None:
        with contextlib.closing(psycopg2.connect(self._stack.postgres.dsn())) as connection:
            now = _database_time(connection)
        longest = max(GRACE_SECONDS, STUCK_PAYOUT_SECONDS)
        target = now + timedelta(seconds=longest + 1)
        timeout = longest + SETTLE_TIMEOUT_SECONDS
        wait_for_watermark(self.reader, self._settings.kafka.partitions, target, timeout, self._waiting)
        self._state.waiting = None

    def _waiting(self, missing: timedelta) -> None:
        self._state.waiting = missing

    def _take_score(self, workload: WorkloadResult, elapsed_seconds: float) -> DemoResult:
        connection = psycopg2.connect(self._stack.postgres.dsn())
        try:
            card = take_score(connection, self.reader, self._settings.rules)
        finally:
            connection.close()
        counts = self.reader.counts()
        return DemoResult(
            workload,
            card,
            self.listener.latencies_ms(self._state.stall_us),
            sum(counts["quarantine"].values()),
            elapsed_seconds,
        )


def take_score(connection: Connection, reader: Reader, rules: RuleSettings) -> Scorecard:
    """The pipeline's books in ClickHouse against the auditor's, which reads the source database alone."""
    opened = [
        OpenFinding(
            row["rule"],
            row["entity_kind"],
            row["entity_id"],
            None if row["delta"] is None else minor_units(row["delta"], row["currency"]),
            row["currency"],
        )
        for row in reader.open_discrepancies()
    ]
    raised = {(row["rule"], row["entity_kind"], row["entity_id"]) for row in reader.discrepancy_keys()}
    running = {
        (total.statement_id, total.currency): (total.item_count, minor_units(total.amount, total.currency))
        for total in reader.running_totals()
    }
    return score(
        auditor.planted(connection),
        auditor.expected_findings(connection, rules.grace_seconds, rules.stuck_seconds),
        auditor.traps(connection),
        opened,
        raised,
        auditor.totals(connection),
        running,
    )


class _Interruption(threading.Thread):
    """Stalls the CDC reader once for longer than the grace, while the source goes on."""

    def __init__(self, stack: Stack, plan: WorkloadPlan, state: DemoState, stop: threading.Event) -> None:
        super().__init__(name="interruption", daemon=True)
        self._stack = stack
        self._plan = plan
        self._state = state
        self._stop_event = stop
        self._over = threading.Event()

    def finish(self) -> None:
        """The workload is over: end, and leave the reader running."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Wait for the moment, stall, record what must not be raised, go on."""
        if not self._plan.faults:
            return
        moment = self._plan.orders * STALL_AFTER_SHARE
        while self._state.progress.orders < moment:
            if self._over.wait(0.05) or self._stop_event.is_set():
                return
        with contextlib.closing(psycopg2.connect(self._stack.postgres.dsn())) as connection:
            began_at = _database_time(connection)
            self._stack.supervisor.pause("cdc")
            self._state.stalled = True
            try:
                self._stop_event.wait(STALL_SECONDS)
                ended_at = _database_time(connection)
                self._state.stall_us = (_epoch_us(began_at) - IN_HAND_US, _epoch_us(ended_at) + CATCH_UP_US)
                count = record_stall_window(connection, began_at, ended_at, GRACE_SECONDS, "demo")
            finally:
                self._stack.supervisor.resume("cdc")
                self._state.stalled = False
        _log.info("source_stalled", orders=count)


def _epoch_us(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def _database_time(connection: Connection) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        ((now,),) = cursor.fetchall()
    connection.commit()
    assert isinstance(now, datetime)
    return now
