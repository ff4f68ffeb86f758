"""kill -9 of every part of the real stack, at random points and at the worst ones: the books agree afterwards."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.e2e.books import assert_books_agree
from tests.e2e.rig import Rig, log, new_seed, running_rig

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KILLS = 10

LONGEST_REST_SECONDS = {"worker": 4.0, "cdc": 4.0, "clickhouse": 4.0, "kafka": 5.0}
"""Between two kills, by what is killed: from in the middle of the recovery to steady work."""

SHARE_RECOVERED = 0.5
"""So many kills of a worker wait until the partitions are held again; the others hit the recovery."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One stack for all victims: what one of them left wrong would show with the next one too."""
    with running_rig(tmp_path_factory.mktemp("crash") / "stack") as rig:
        yield rig


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("victim", list(LONGEST_REST_SECONDS))
def test_nothing_is_lost_or_counted_twice(victim: str, rig: Rig) -> None:
    seed = new_seed()
    with rig.load(seed):
        kill_again_and_again(rig, victim, random.Random(seed))
    rig.wait_for_partitions()
    rig.settle()
    assert sum(state.restarts for state in rig.states(victim)) >= KILLS
    assert_books_agree(rig)


def kill_again_and_again(rig: Rig, victim: str, rng: random.Random) -> None:
    """Kill, wait until the service answers again, wait a random while, KILLS times."""
    time.sleep(rng.uniform(1.0, 4.0))
    for number in range(1, KILLS + 1):
        target = rng.choice(rig.states(victim))
        log.info("kill", number=number, service=target.name)
        rig.supervisor.kill(target.name)
        rig.wait_restarted(target)
        if victim == "worker" and rng.random() < SHARE_RECOVERED:
            rig.wait_for_partitions()
        time.sleep(rng.uniform(0.0, LONGEST_REST_SECONDS[victim]))
