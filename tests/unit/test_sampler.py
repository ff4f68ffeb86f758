"""Figures read in the background: fresh while looked at, within their share of a core, and never lost by a fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from clickhouse.query import Query
from dashboards.web import sampler as module
from dashboards.web.sampler import Figure, Sampler
from trueup.model.errors import UnavailableError

PATIENCE_SECONDS = 60.0


@pytest.fixture
def sampler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sampler]:
    monkeypatch.setattr(module, "INTERVAL_SECONDS_MIN", 0.01)
    made = Sampler()
    yield made
    made.close()


class Counted:
    """A reading that tells how often it was done, and how many were under way at once."""

    under_way = threading.Semaphore(1)

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.times = 0

    def __call__(self, query: Query) -> int:
        assert self.under_way.acquire(blocking=False), "two readings at once"
        time.sleep(self.seconds)
        self.times += 1
        self.under_way.release()
        return self.times


def until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.005)
    return holds()


def test_first_look_waits_for_the_value(sampler: Sampler) -> None:
    (sample,) = sampler.look([Figure(Query("SELECT 1"), Counted())], PATIENCE_SECONDS)
    assert sample.value == 1
    assert sample.age_seconds is not None
    assert sample.query.text == "SELECT 1"


def test_a_page_does_not_wait_for_a_slow_figure(sampler: Sampler) -> None:
    slow = Figure(Query("SELECT 1"), Counted(3.0))
    began_at = time.monotonic()
    (sample,) = sampler.look([slow], 0.02)
    assert time.monotonic() - began_at < 2.0
    assert (sample.value, sample.read_at, sample.age_seconds, sample.error) == (None, None, None, "")
    assert sampler.look([slow], PATIENCE_SECONDS)[0].value == 1


def test_a_figure_is_old_while_it_is_not_known_and_when_nobody_kept_it_fresh(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Figure(Query("SELECT 1"), Counted(0.5))
    (unknown,) = sampler.look([slow], 0.0)
    (known,) = sampler.look([slow], PATIENCE_SECONDS)
    assert (unknown.is_old, known.is_old) == (True, False)
    monkeypatch.setattr(module, "WATCHED_SECONDS", 0.0)
    assert until(lambda: known.is_old)


def test_a_watched_figure_is_read_again_and_the_others_rest(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Counted()
    figure = Figure(Query("SELECT 1"), read)
    assert until(lambda: (sampler.look([figure])[0].value or 0) >= 3)
    monkeypatch.setattr(module, "WATCHED_SECONDS", 0.05)
    time.sleep(0.2)
    times = read.times
    time.sleep(0.2)
    assert read.times == times
    assert until(lambda: sampler.look([figure])[0].value > times)


def test_a_figure_that_rested_is_read_before_it_is_shown_again(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCHED_SECONDS", 0.05)
    read = Counted()
    figure = Figure(Query("SELECT 1"), read)
    sampler.look([figure], PATIENCE_SECONDS)
    time.sleep(0.2)
    times = read.times
    assert sampler.look([figure], PATIENCE_SECONDS)[0].value > times


def test_readings_cost_at_most_their_share_together(sampler: Sampler) -> None:
    reads = [Counted(0.02), Counted(0.02)]
    figures = [Figure(Query(f"SELECT {number}"), read) for number, read in enumerate(reads)]
    began_at = time.monotonic()
    sampler.look(figures, PATIENCE_SECONDS)
    time.sleep(1.0)
    # In that time: the first reading of each, and a tenth of it for all further ones.
    spent_seconds = sum(read.times for read in reads) * 0.02
    assert spent_seconds <= 2 * 0.02 + (time.monotonic() - began_at) * module.SHARE_MAX + 0.02


def test_a_failed_reading_keeps_the_value_and_tells_why(sampler: Sampler) -> None:
    faults: list[Exception] = []

    def read(query: Query) -> str:
        if faults:
            raise faults[0]
        return "good"

    figure = Figure(Query("SELECT 1"), read)
    sampler.look([figure], PATIENCE_SECONDS)
    for fault in (UnavailableError("no answer", where="ClickHouse"), ValueError("a fault of ours")):
        faults[:] = [fault]
        assert until(lambda: sampler.look([figure])[0].error != "")
        failed = sampler.look([figure])[0]
        assert failed.value == "good"
        assert failed.read_at is not None
        assert failed.age_seconds is not None
        faults.clear()
        assert until(lambda: sampler.look([figure])[0].error == "")


def test_a_figure_that_never_was_read_tells_its_error_at_once(sampler: Sampler) -> None:
    def read(query: Query) -> None:
        raise UnavailableError("no answer", where="ClickHouse")

    (sample,) = sampler.look([Figure(Query("SELECT 1"), read)], PATIENCE_SECONDS)
    assert sample.value is None
    assert sample.read_at is None
    assert "no answer" in sample.error


def test_the_same_query_is_shared_and_other_parameters_are_another_figure(sampler: Sampler) -> None:
    read = Counted()
    text = "SELECT {shop:String}"
    same = [Figure(Query(text, {"shop": "a"}), read) for _ in range(2)]
    other = Figure(Query(text, {"shop": "b"}), read)
    samples = sampler.look([*same, other], PATIENCE_SECONDS)
    assert samples[0] == samples[1]
    assert samples[2].query.parameters == {"shop": "b"}
    assert samples[2].value != samples[0].value


def test_figures_looked_at_longest_ago_make_room(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIGURES_MAX", 2)
    reads = [Counted() for _ in range(3)]
    figures = [Figure(Query(f"SELECT {number}"), read) for number, read in enumerate(reads)]
    for figure in figures:
        sampler.look([figure], PATIENCE_SECONDS)
    times = reads[0].times
    assert until(lambda: reads[2].times >= 3)
    assert reads[0].times <= times + 1


def test_a_closed_sampler_answers_with_what_it_has() -> None:
    sampler = Sampler()
    figure = Figure(Query("SELECT 1"), Counted())
    assert sampler.look([figure], PATIENCE_SECONDS)[0].value == 1
    sampler.close()
    assert sampler.look([figure], PATIENCE_SECONDS)[0].value == 1
