"""Reader, broker and PostgreSQL are killed again and again under load: nothing is lost, and keys keep their order."""

from __future__ import annotations

import random
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.integration.cdc_stack import Source, running_stack
from tests.integration.cdc_workload import Writer
from tests.integration.reader_process import Keeper, kill_in_rounds, out_of_order, wait_long
from tests.integration.test_cdc_crash import confirmed_lsn, written_lsn
from trueup.embedded.service import Backoff

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1800)]


class PatientWriter(threading.Thread):
    """A writer that begins anew when the database dies under it; what it did not hear of may be committed or not."""

    def __init__(self, source: Source, number: int, seed: int) -> None:
        super().__init__(name=f"patient-{number}", daemon=True)
        self._source, self._number, self._seed = source, number, seed
        self._stopping = threading.Event()
        self.committed = 0

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        life = 0
        while not self._stopping.is_set():
            life += 1
            writer = Writer(self._source, self._number, self._seed + life)
            writer.start()
            while writer.is_alive() and not self._stopping.wait(0.05):
                pass
            try:
                writer.stop()
            except psycopg.Error:
                self._stopping.wait(0.1)
            self.committed += writer.committed


def is_reading(source: Source) -> bool:
    try:
        return confirmed_lsn(source) > 0
    except psycopg.Error:
        return False


def test_kills_of_reader_broker_and_database_lose_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    # Shown when the test fails; the moments of the kills follow from it.
    sys.stdout.write(f"seed {seed}\n")
    backoff = Backoff(first_seconds=0.05, max_seconds=0.2, healthy_after_seconds=0.5, restart_attempts_max=1000)
    with running_stack(tmp_path / "stack", backoff) as stack, ExitStack() as started:
        source = stack.source("killed")
        writers = [PatientWriter(source, number, 100 * seed) for number in range(2)]
        keeper = Keeper(source.settings, tmp_path)
        keeper.start()
        started.callback(keeper.stop)
        wait_long(lambda: is_reading(source))
        for writer in writers:
            writer.start()
            started.callback(writer.stop)
        services = ("kafka", "postgres")
        kill_in_rounds(keeper, stack.supervisor, services, lambda: is_reading(source), random.Random(seed))
        for writer in writers:
            writer.stop()
        end = written_lsn(source)
        wait_long(lambda: confirmed_lsn(source) >= end)
        keeper.stop()
        assert keeper.exits[-1] == 0, (tmp_path / "reader.log").read_text()[-2000:]
        assert sum(writer.committed for writer in writers) > 100
        assert source.mirror() == source.truth()
        assert out_of_order(source.told()) == []
