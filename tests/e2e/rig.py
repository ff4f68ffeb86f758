"""A running stack for end-to-end tests: load until told to end, kills, waits with a bound, rest."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import psycopg2
import structlog
from psycopg2.extensions import connection as Connection  # noqa: N812

from clickhouse.client import connect
from clickhouse.reader import Reader
from trueup.demo.run import GRACE_SECONDS, STUCK_PAYOUT_SECONDS, demo_rules
from trueup.demo.settle import wait_for_watermark
from trueup.embedded.logs import tail
from trueup.embedded.ports import LOOPBACK
from trueup.embedded.runtime import ServiceState, State
from trueup.embedded.service import Backoff
from trueup.model.errors import UnavailableError
from trueup.settings import ReaderKind, StreamSettings
from trueup.stack import Stack
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.workload import run

log = structlog.get_logger()

ORDERS_PER_RUN = 1_000
CHANGES_PER_SECOND = 350.0
PARTITIONS = 4
LOG_LINES = 15
SETTLE_SECONDS = 300.0
READY_SECONDS = 240.0
_FAILURE = re.compile(r"error|critical|exception|traceback|failed", re.IGNORECASE)

# Kills come in a row; the stack's own patience is for crashes that nobody wants.
_IMPATIENT = Backoff(first_seconds=0.2, max_seconds=1.0, restart_attempts_max=200)


def new_seed() -> int:
    """A seed for one test; pytest shows the logged line when the test fails."""
    seed = random.getrandbits(32)
    log.info("seed", seed=seed)
    return seed


class Load(threading.Thread):
    """Runs of the reference workload with all faults and traps, one after the other, until told to end."""

    def __init__(self, dsn: str, seed: int, rate: float) -> None:
        super().__init__(name="load", daemon=True)
        self.orders = 0
        self.changes = 0
        self._dsn = dsn
        self._seed = seed
        self._rate = rate
        self._over = threading.Event()
        self._error: Exception | None = None

    def run(self) -> None:
        number = 0
        while not self._over.is_set():
            plan = WorkloadPlan(
                orders=ORDERS_PER_RUN,
                seed=self._seed + number,
                faults=True,
                grace_seconds=GRACE_SECONDS,
                rate_per_second=self._rate,
            )
            try:
                done = run(self._dsn, plan)
            except Exception as error:  # noqa: BLE001 - told by `finish` in the test's own thread
                self._error = error
                return
            number += 1
            self.orders += done.orders
            self.changes += done.changes

    def finish(self) -> None:
        """Let the run under way end as it should, and be the last one."""
        self._over.set()
        self.join(SETTLE_SECONDS)
        assert not self.is_alive(), f"the workload has not ended {SETTLE_SECONDS:.0f} s after it was asked to"
        if self._error is not None:
            raise self._error
        log.info("load", orders=self.orders, changes=self.changes)


class Rig:
    """A started stack, with what tests do to it; the dashboard only for those that look at it."""

    def __init__(
        self,
        data_dir: Path,
        workers: int,
        *,
        dashboard: bool = False,
        sites: Sequence[str] = (),
        reader: ReaderKind | None = None,
    ) -> None:
        self.stack = Stack(
            data_dir,
            workers=workers,
            partitions=PARTITIONS,
            rules=demo_rules(),
            streams=StreamSettings(flush_interval_seconds=0.5),
            sites=sites,
            reader=reader,
            backoff=_IMPATIENT,
            dashboard=dashboard,
        )
        self.supervisor = self.stack.supervisor

    def open(self) -> None:
        """Start the stack and wait until its workers have their partitions."""
        self.stack.start()
        self.settings = self.stack.settings
        self._client = connect(self.settings.clickhouse)
        self.reader = Reader(self._client, self.settings.clickhouse.database)
        self.wait_for_partitions()

    def close(self) -> None:
        """Stop everything; what is held goes on first, for the others would wait for it."""
        for state in self.supervisor.states():
            if state.paused:
                self.supervisor.resume(state.name)
        self.stack.stop()

    @contextlib.contextmanager
    def source(self) -> Iterator[Connection]:
        """A connection to the source database."""
        connection = psycopg2.connect(self.stack.postgres.dsn())
        try:
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def load(self, seed: int, rate: float = CHANGES_PER_SECOND) -> Iterator[Load]:
        """Load for as long as the block lasts, and until the run under way is complete."""
        load = Load(self.stack.postgres.dsn(), seed, rate)
        load.start()
        try:
            yield load
        except BaseException:
            load._over.set()
            raise
        load.finish()

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Rows from ClickHouse; `{db}` stands for the database."""
        text = statement.replace("{db}", self.settings.clickhouse.database)
        return [tuple(row) for row in self._client.query(text).result_rows]

    def states(self, group: str) -> list[ServiceState]:
        """The services of a group."""
        return [state for state in self.supervisor.states() if re.sub(r"-\d+$", "", state.name) == group]

    def metric(self, name: str, *, stage: str | None = None) -> list[float]:
        """A metric of every worker that answers, summed over its other labels."""
        labels = rf'\{{(?:[^}}]*,)?stage="{re.escape(stage)}"[^}}]*\}}' if stage else ""
        line = re.compile(rf"^{re.escape(name)}{labels} (\S+)$", re.MULTILINE)
        values = []
        for worker in self.states("worker"):
            with contextlib.suppress(urllib.error.URLError, OSError):
                address = f"http://{LOOPBACK}:{worker.port}/metrics"
                with urllib.request.urlopen(address, timeout=2) as answer:
                    found = line.findall(answer.read().decode())
                values += [sum(map(float, found))] if found else []
        return values

    def wait(self, what: str, condition: Callable[[], bool], seconds: float, *services: str) -> None:
        """Wait until the condition holds; fails with the ends of the services' logs."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}\n{self.logs(*services)}"
            time.sleep(0.1)

    def wait_for_partitions(self, workers: int | None = None) -> None:
        """Wait until the workers (so many of them) hold all partitions between them."""
        partitions = self.settings.kafka.partitions

        def complete() -> bool:
            held = self.metric("trueup_partitions", stage="statements")
            return sum(held) == partitions and (workers is None or len([one for one in held if one]) == workers)

        self.wait(f"{partitions} partitions are held", complete, READY_SECONDS, "worker")

    def wait_restarted(self, before: ServiceState) -> None:
        """Wait until the service, killed in that state, runs again and answers."""
        (group, name) = (re.sub(r"-\d+$", "", before.name), before.name)

        def back() -> bool:
            (now,) = [state for state in self.states(group) if state.name == name]
            assert now.state is not State.FAILED, f"{name} was given up: {now.last_error}\n{self.logs(group)}"
            return now.restarts > before.restarts and now.state is State.READY

        self.wait(f"{name} is back", back, READY_SECONDS, group)

    def kill_workers(self) -> None:
        """Kill all workers at once, and return when they hold their partitions again."""
        workers = self.states("worker")
        for worker in workers:
            self.supervisor.kill(worker.name)
        for worker in workers:
            self.wait_restarted(worker)
        self.wait_for_partitions()

    def settle(self) -> None:
        """Wait until the pipeline has seen everything, and every time limit of the rules is over."""
        longest = max(GRACE_SECONDS, STUCK_PAYOUT_SECONDS)
        target = self._source_time() + timedelta(seconds=longest + 1)
        try:
            wait_for_watermark(self.reader, self.settings.kafka.partitions, target, longest + SETTLE_SECONDS)
        except UnavailableError as error:
            raise AssertionError(f"{error}\n{self.logs('worker', 'cdc', 'kafka', 'clickhouse')}") from error

    def logs(self, *groups: str) -> str:
        """The ends of the logs of these services."""
        return "\n".join(
            f"--- {state.name} ({state.state}, {state.restarts} restarts, last error {state.last_error!r})\n"
            + tail(self.supervisor.log_path(state.name), LOG_LINES)
            for group in groups
            for state in self.states(group)
        )

    def errors(self, *groups: str) -> str:
        """The lines of these services' logs that tell of a failure, the newest ones."""
        return "\n".join(
            f"--- {state.name} ({state.restarts} restarts, last error {state.last_error!r})\n"
            + "\n".join(
                [line for line in _lines(self.supervisor.log_path(state.name)) if _FAILURE.search(line)][-LOG_LINES:]
            )
            for group in groups
            for state in self.states(group)
        )

    def _source_time(self) -> datetime:
        with self.source() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            ((now,),) = cursor.fetchall()
        assert isinstance(now, datetime)
        return now


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


@contextlib.contextmanager
def running_rig(
    data_dir: Path,
    *,
    workers: int = 2,
    dashboard: bool = False,
    sites: Sequence[str] = (),
    reader: ReaderKind | None = None,
) -> Iterator[Rig]:
    """A stack below the directory; its data are removed when all went well."""
    rig = Rig(data_dir, workers, dashboard=dashboard, sites=sites, reader=reader)
    try:
        rig.open()
        yield rig
    finally:
        rig.close()
    for folder in data_dir.iterdir():
        if folder.is_dir() and folder.name != "log":
            shutil.rmtree(folder)
