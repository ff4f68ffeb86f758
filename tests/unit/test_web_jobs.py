"""Work in the background: its progress and file, who may see it, how it ends, and that nothing of it stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dashboards.web.jobs import JOBS_AT_ONCE, KEPT_MAX, KEPT_SECONDS, UNFINISHED_PER_OWNER_MAX, Job, Jobs, Work
from trueup.model.errors import ConfigurationError, UnavailableError

WAIT_SECONDS = 60


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(tmp_path: Path, clock: Clock) -> Iterator[Jobs]:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "left by an earlier process").touch()
    jobs = Jobs(tmp_path / "jobs", clock)
    assert not (tmp_path / "jobs").exists()
    yield jobs
    jobs.close()
    assert not (tmp_path / "jobs").exists()


def ended(job: Job) -> Job:
    until(lambda: job.is_finished)
    return job


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def write(job: Job) -> bool:
    job.path.write_text("rows")
    job.done = job.total
    return True


def held() -> tuple[threading.Event, Work]:
    """Work that writes once the event is set."""
    go = threading.Event()

    def work(job: Job) -> bool:
        assert go.wait(WAIT_SECONDS)
        return write(job)

    return go, work


def test_a_job_is_its_owners_alone(jobs: Jobs) -> None:
    job = ended(jobs.start("ann", "export", write, total=3))
    assert (job.state, job.done, job.path.read_text()) == ("done", 3, "rows")
    assert jobs.find(job.job_id, "ann") is job
    assert jobs.find(job.job_id, "bob") is None
    assert jobs.find("x", "ann") is None


def test_a_file_goes_with_its_job(jobs: Jobs, clock: Clock) -> None:
    job = ended(jobs.start("ann", "export", write, total=1))
    clock.now = KEPT_SECONDS
    assert jobs.find(job.job_id, "ann") is job
    clock.now += 1
    assert jobs.find(job.job_id, "ann") is None
    assert not job.path.exists()


def test_the_oldest_make_room(jobs: Jobs, clock: Clock) -> None:
    made = []
    for number in range(KEPT_MAX + 2):
        clock.now = number
        made.append(ended(jobs.start("ann", "export", write, total=1)))
    assert jobs.find(made[0].job_id, "ann") is None
    assert jobs.find(made[-1].job_id, "ann") is made[-1]
    assert len([job for job in made if job.path.exists()]) <= KEPT_MAX


def test_cancelling_leaves_no_file(jobs: Jobs) -> None:
    begun = threading.Event()

    def work(job: Job) -> bool:
        job.path.write_text("half")
        # All is told, and the file not closed yet.
        job.done = job.total
        begun.set()
        assert job.cancelled.wait(WAIT_SECONDS)
        return False

    job = jobs.start("ann", "export", work, total=2)
    assert begun.wait(WAIT_SECONDS)
    jobs.cancel(job)
    assert ended(job).state == "cancelled"
    assert not job.path.exists()


def test_what_is_cancelled_while_it_waits_is_never_begun(jobs: Jobs) -> None:
    go, work = held()
    running = [jobs.start("ann", "export", work, total=0) for _ in range(JOBS_AT_ONCE)]
    waiting = jobs.start("ann", "export", work, total=0)
    jobs.cancel(waiting)
    go.set()
    assert (ended(waiting).state, waiting.path.exists()) == ("cancelled", False)
    assert [ended(job).state for job in running] == ["done"] * JOBS_AT_ONCE


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UnavailableError("no answer", where="ClickHouse"), "no answer · ClickHouse"),
        (ValueError("secret"), "see the log"),
    ],
)
def test_a_failure_is_told_in_words(jobs: Jobs, error: Exception, told: str) -> None:
    def work(_job: Job) -> bool:
        raise error

    job = ended(jobs.start("ann", "export", work, total=2))
    assert job.state == "failed"
    assert told in job.error
    assert "secret" not in job.error


def test_one_owner_cannot_take_all_places(jobs: Jobs) -> None:
    go, work = held()
    started = [jobs.start("ann", "export", work, total=1) for _ in range(UNFINISHED_PER_OWNER_MAX)]
    with pytest.raises(ConfigurationError, match="not finished"):
        jobs.start("ann", "export", work, total=1)
    waiting = jobs.start("bob", "export", work, total=1)
    go.set()
    assert {ended(job).state for job in (*started, waiting)} == {"done"}
    assert ended(jobs.start("ann", "export", work, total=1)).state == "done"
