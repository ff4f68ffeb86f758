"""From one worker to three and back under load: partitions move with their state, and the books agree."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.e2e.books import assert_books_agree
from tests.e2e.rig import new_seed, running_rig

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.timeout(900)
def test_one_to_three_to_one_worker(tmp_path: Path) -> None:
    seed = new_seed()
    rng = random.Random(seed)
    with running_rig(tmp_path, workers=1) as rig:
        with rig.load(seed):
            for workers in (3, 1):
                time.sleep(rng.uniform(3.0, 6.0))
                rig.supervisor.scale("worker", workers)
                rig.wait_for_partitions(workers)
        rig.settle()
        assert [state.name for state in rig.states("worker")] == ["worker-1"]
        assert rig.states("worker")[0].restarts == 0, rig.errors("worker")
        assert_books_agree(rig)
