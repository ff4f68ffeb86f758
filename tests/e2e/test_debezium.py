"""The real stack with Debezium in Kafka Connect in the reader's place: the books agree, whatever was killed."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.e2e.books import assert_books_agree
from tests.e2e.rig import log, new_seed, running_rig

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.timeout(900)
def test_debezium_feeds_the_books(tmp_path: Path) -> None:
    seed = new_seed()
    rng = random.Random(seed)
    with running_rig(tmp_path, workers=1, reader="debezium") as rig:
        with rig.load(seed):
            for victim in ("connect", "cdc"):
                time.sleep(rng.uniform(1.0, 4.0))
                (before,) = rig.states(victim)
                log.info("kill", service=victim)
                rig.supervisor.kill(victim)
                rig.wait_restarted(before)
        rig.settle()
        assert_books_agree(rig)
