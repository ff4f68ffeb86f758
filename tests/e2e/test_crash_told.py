"""Workers die with words on their lips: what they told and could not keep is taken back. Apart, for it needs a stack of its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.books import assert_books_agree
from tests.e2e.rig import new_seed, running_rig
from trueup.demo.listener import Listener

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.timeout(900)
def test_what_was_told_before_a_crash_does_not_stay_told(tmp_path: Path) -> None:
    """All workers die right after they have told of a missing leg, before their state is durable.

    When they are back the leg has come: they may never learn that it was missing once.
    """
    seed = new_seed()
    with running_rig(tmp_path) as rig:
        listener = Listener(rig.settings.kafka.bootstrap)
        listener.start()
        told: set[object] = set()

        def told_anew() -> bool:
            missing = {
                row["discrepancy_id"]
                for row in listener.recent(1_000)
                if row["rule"] == "missing-billing" and row["status"] == "open"
            }
            fresh = bool(missing - told)
            told.update(missing)
            return fresh

        with rig.load(seed):
            for _ in range(4):
                deadline = time.monotonic() + 120
                while not told_anew():
                    assert time.monotonic() < deadline, f"nothing is missing\n{rig.logs('worker')}"
                    time.sleep(0.005)
                rig.kill_workers()
        listener.stop()
        rig.settle()
        assert_books_agree(rig)
