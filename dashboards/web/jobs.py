"""Work that takes longer than a page may: done in the background, with its progress, for the account that started it.

    job = board.jobs.start(account.login, "export", work, total=1_000_000)
    board.jobs.find(job.job_id, account.login)     # None for everybody else

`work` is given the job; it tells `job.done`, looks at `job.cancelled`, and leaves what it made in `job.result` or in a
file named by `job.path`. It returns whether that is all of it: False after it was cancelled on the way. An hour after its
end a job is forgotten, and its file removed.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from trueup.model.errors import ConfigurationError, TrueupError

JOBS_AT_ONCE: Final = 2
"""Of each kind; further ones wait their turn."""

UNFINISHED_PER_OWNER_MAX: Final = 4
KEPT_MAX: Final = 40
"""Jobs of everybody, files included; the oldest finished one makes room."""

KEPT_SECONDS: Final = 3_600.0

State = Literal["waiting", "running", "done", "failed", "cancelled"]

_log = structlog.get_logger()

Work = Callable[["Job"], bool]
"""Whether all of it was done."""


@dataclass
class Job:
    """One piece of work.

    `total` and `done` count rows or commands; `path` is where the job may write its file; `error` says in words why it failed.
    """

    job_id: str
    owner: str
    kind: str
    path: Path
    total: int
    done: int = 0
    state: State = "waiting"
    error: str = ""
    result: Any = None
    title: str = ""
    ended_at: float | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen."""
        return self.ended.is_set()


class Jobs:
    """The jobs of one dashboard.

    Args:
        folder: for their files; emptied at the start, because nobody can fetch what an earlier process left there. None for
            one of the system's temporary folders.
        clock: seconds that never go back.
    """

    def __init__(self, folder: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"trueup-{secrets.token_hex(8)}"
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._timers: set[threading.Timer] = set()
        self._pools: dict[str, ThreadPoolExecutor] = {}
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self, owner: str, kind: str, work: Work, *, total: int, title: str = "") -> Job:
        """Begin a piece of work as soon as there is a place for it.

        Raises:
            ConfigurationError: the owner has too many that are not finished.
        """
        with self._lock:
            self._forget_old()
            mine = [job for job in self._jobs.values() if job.owner == owner and not job.is_finished]
            if len(mine) >= UNFINISHED_PER_OWNER_MAX:
                raise ConfigurationError(
                    f"{len(mine)} of your jobs are not finished", remedy="wait for one of them, or cancel it"
                )
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # The id is part of an address, and must not be guessed.
            identifier = secrets.token_urlsafe(16)
            job = Job(identifier, owner, kind, self._folder / identifier, total, title=title)
            self._jobs[identifier] = job
            # By kind, so that a decision never waits for somebody's export.
            pool = self._pools.setdefault(kind, ThreadPoolExecutor(JOBS_AT_ONCE, thread_name_prefix=kind))
        pool.submit(self._run, job, work)
        return job

    def find(self, job_id: str, owner: str) -> Job | None:
        """The job, for the account that started it and nobody else."""
        with self._lock:
            self._forget_old()
            job = self._jobs.get(job_id)
        return job if job is not None and job.owner == owner else None

    def cancel(self, job: Job) -> None:
        """Ask the work to stop; what was done by then stays done."""
        job.cancelled.set()

    def close(self) -> None:
        """Stop all work, wait for it, and remove the files."""
        for job in list(self._jobs.values()):
            job.cancelled.set()
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)
        for timer in list(self._timers):
            timer.cancel()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, job: Job, work: Work) -> None:
        state: State = "failed"
        try:
            if job.cancelled.is_set():
                state = "cancelled"
            else:
                job.state = "running"
                state = "done" if work(job) else "cancelled"
        except TrueupError as error:
            job.error = str(error)
        except Exception:  # noqa: BLE001 - a fault of ours in one job must not leave it unfinished for ever
            _log.exception("job_failed", kind=job.kind)
            job.error = "the work failed; see the log of the dashboard"
        if state != "done":
            job.path.unlink(missing_ok=True)
        job.ended_at = self._clock()
        job.state = state
        job.ended.set()
        self._forget_later()

    def _forget_later(self) -> None:
        """Files go even if nobody asks for a job again."""

        def forget() -> None:
            with self._lock:
                self._timers.discard(timer)
                self._forget_old()

        timer = threading.Timer(KEPT_SECONDS + 1, forget)
        timer.daemon = True
        self._timers.add(timer)
        timer.start()

    def _forget_old(self) -> None:
        finished = sorted(
            (job for job in self._jobs.values() if job.is_finished), key=lambda job: (job.ended_at or 0.0, job.job_id)
        )
        surplus = len(self._jobs) - KEPT_MAX
        for number, job in enumerate(finished):
            if number < surplus or self._clock() - (job.ended_at or 0.0) > KEPT_SECONDS:
                del self._jobs[job.job_id]
                job.path.unlink(missing_ok=True)
