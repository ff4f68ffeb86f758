"""When fetches go out, and how long the broker may hold them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streams import fetch_pace
from streams.fetch_pace import PAUSE_SECONDS, WHOLE_FETCH_WAIT_MS_MAX, pace_fetches

SHORT_MS = 50


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(fetch_pace, "time", clock)
    return clock


def fetcher(*nodes: int, **held: Any) -> Any:
    """A fetcher that would ask all of these brokers now; `held` is what keeps it from asking for everything."""

    def plan(_assignment: Any) -> Any:
        requests = [(node, SimpleNamespace(_max_wait_ms=SHORT_MS)) for node in nodes]
        return requests, held.get("awaiting", {}), 1.0, False, held.get("paused", [])

    made = SimpleNamespace(_get_actions_per_node=plan, _records=held.get("records", {}))
    pace_fetches(made)
    return made


def waits(made: Any) -> dict[int, int]:
    return {node: request._max_wait_ms for node, request in made._get_actions_per_node(None)[0]}


def test_a_fetch_of_everything_may_be_held_for_long(clock: Clock) -> None:
    assert waits(fetcher(1, 2)) == dict.fromkeys((1, 2), WHOLE_FETCH_WAIT_MS_MAX)


@pytest.mark.parametrize("held", [{"records": {"p": 1}}, {"awaiting": {1: ["p"]}}, {"paused": ["p"]}])
def test_a_fetch_that_misses_a_partition_comes_back_soon(clock: Clock, held: dict[str, Any]) -> None:
    assert waits(fetcher(1, **held)) == {1: SHORT_MS}


def test_the_next_fetch_waits_out_the_pause_and_no_longer(clock: Clock) -> None:
    made = fetcher(1)
    assert waits(made)
    clock.now += PAUSE_SECONDS / 2
    requests, _, timeout, _, _ = made._get_actions_per_node(None)
    assert requests == []
    assert timeout == pytest.approx(PAUSE_SECONDS / 2)
    clock.now += timeout
    assert waits(made)


def test_what_comes_after_a_silence_is_fetched_at_once(clock: Clock) -> None:
    made = fetcher(1)
    assert waits(made)
    clock.now += 10
    assert waits(made)


def test_each_broker_has_its_own_pause(clock: Clock) -> None:
    sent: list[int] = []
    nodes = [1]

    def plan(_assignment: Any) -> Any:
        return [(node, SimpleNamespace(_max_wait_ms=SHORT_MS)) for node in nodes], {}, 1.0, False, []

    made = SimpleNamespace(_get_actions_per_node=plan, _records={})
    pace_fetches(made)
    for _ in range(2):
        sent += waits(made)
        nodes.append(2)
    assert sent == [1, 2]


def test_what_is_left_behind_for_its_turn_keeps_no_other_from_being_fetched() -> None:
    made = fetcher(1)
    assert made._prefetch_backoff == 0.0
