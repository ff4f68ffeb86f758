"""Reader, broker and database are killed again and again under load: nothing is lost, and keys keep their order."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import psycopg
import pytest

from tests.integration.cdc_stack import WAIT_SECONDS, Source, is_truncate, running_stack
from tests.integration.cdc_workload import Writer
from tests.integration.test_cdc_crash import confirmed_lsn, start_reader, written_lsn
from trueup.embedded.service import Backoff

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = 20
WINDOW_SECONDS = 1.0
UP_SECONDS_MAX = 180.0


class PatientWriter(threading.Thread):
    """A writer that begins anew when the database dies under it; what it did not hear of may be committed or not."""

    def __init__(self, source: Source, number: int, seed: int) -> None:
        super().__init__(name=f"patient-{number}")
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


class Keeper(threading.Thread):
    """Runs the reader's process, again and again, until stopped; the caller kills it."""

    def __init__(self, source: Source, directory: Path) -> None:
        super().__init__(name="keeper")
        self._source, self._directory = source, directory
        self._stopping = threading.Event()
        self.process: subprocess.Popen[bytes] = start_reader(source, directory)
        self.exits: list[int] = []

    def run(self) -> None:
        while True:
            self.exits.append(self.process.wait())
            if self._stopping.is_set():
                return
            self.process = start_reader(self._source, self._directory)

    def kill(self) -> None:
        self.process.kill()

    def stop(self) -> None:
        self._stopping.set()
        self.process.terminate()
        self.join(WAIT_SECONDS)


def is_reading(source: Source) -> bool:
    try:
        return confirmed_lsn(source) > 0
    except psycopg.Error:
        return False


def wait_long(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + UP_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "not within the time limit"
        time.sleep(0.05)


def out_of_order(source: Source) -> list[tuple[bytes, int]]:
    """Keys whose messages tell a version for the first time after a higher one was told."""
    highest: dict[tuple[str, bytes], int] = {}
    known: set[tuple[str, bytes, int]] = set()
    wrong = []
    for message in source.messages():
        if is_truncate(message):
            continue
        version = int(orjson.loads(message.value)["source"]["lsn"])
        place = (message.topic, message.key)
        if version < highest.get(place, 0) and (*place, version) not in known:
            wrong.append((message.key, version))
        highest[place] = max(version, highest.get(place, 0))
        known.add((*place, version))
    return wrong


def test_kills_of_reader_broker_and_database_lose_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    # Shown when the test fails; the moments of the kills follow from it.
    sys.stdout.write(f"seed {seed}\n")
    pick = random.Random(seed)
    backoff = Backoff(first_seconds=0.05, max_seconds=0.2, healthy_after_seconds=0.5, restart_attempts_max=1000)
    with running_stack(tmp_path / "stack", backoff) as stack:
        source = stack.source("killed")
        writers = [PatientWriter(source, number, 100 * seed) for number in range(2)]
        keeper = Keeper(source, tmp_path)
        keeper.start()
        wait_long(lambda: is_reading(source))
        for writer in writers:
            writer.start()

        def all_are_up() -> bool:
            return all(str(state.state) == "ready" for state in stack.supervisor.states()) and is_reading(source)

        kills: dict[str, Callable[[], None]] = {
            "reader": keeper.kill,
            "kafka": lambda: stack.supervisor.kill("kafka"),
            "postgres": lambda: stack.supervisor.kill("postgres"),
        }
        for _ in range(KILLS):
            wait_long(all_are_up)
            began = time.monotonic()
            for moment, name in sorted((pick.uniform(0, WINDOW_SECONDS), name) for name in kills):
                time.sleep(max(0.0, began + moment - time.monotonic()))
                kills[name]()
        wait_long(all_are_up)
        for writer in writers:
            writer.stop()
        end = written_lsn(source)
        wait_long(lambda: confirmed_lsn(source) >= end)
        keeper.stop()
        assert keeper.exits[-1] == 0, (tmp_path / "reader.log").read_text()[-2000:]
        assert sum(writer.committed for writer in writers) > 100
        assert source.mirror() == source.truth()
        assert out_of_order(source) == []
