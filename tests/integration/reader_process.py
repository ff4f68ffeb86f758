"""The reader in a process of its own, as tests start and kill it, and rounds in which everything that it needs is killed too."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.integration.cdc_stack import WAIT_SECONDS, Message
from trueup.embedded.supervisor import Supervisor
from trueup.model.change import Change, Truncation
from trueup.settings import Settings
from trueup.stack_files import environment

ROOT = Path(__file__).resolve().parents[2]
KILLS = 20
WINDOW_SECONDS = 1.0
UP_SECONDS_MAX = 180.0


def start_reader(settings: Settings, directory: Path) -> subprocess.Popen[bytes]:
    """The reader's process; it logs to `reader.log` in the directory."""
    told = {**os.environ, "PYTHONPATH": str(ROOT), **environment(settings)}
    with (directory / "reader.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "trueup.reader"], cwd=directory, env=told, stdout=log, stderr=log
        )


class Keeper(threading.Thread):
    """Runs the reader's process, again and again, until stopped; the caller kills it."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        super().__init__(name="keeper", daemon=True)
        self._settings, self._directory = settings, directory
        self._stopping = threading.Event()
        self.process = start_reader(settings, directory)
        self.exits: list[int] = []

    def run(self) -> None:
        while True:
            self.exits.append(self.process.wait())
            if self._stopping.is_set():
                return
            self.process = start_reader(self._settings, self._directory)

    def kill(self) -> None:
        self.process.kill()

    def stop(self) -> None:
        self._stopping.set()
        self.process.terminate()
        self.join(WAIT_SECONDS)


def wait_long(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + UP_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "not within the time limit"
        time.sleep(0.05)


def kill_in_rounds(
    keeper: Keeper,
    supervisor: Supervisor,
    services: Sequence[str],
    is_reading: Callable[[], bool],
    pick: random.Random,
) -> None:
    """Kill the reader and the services within a second, wait until all are back and read, and again."""

    def all_are_up() -> bool:
        return all(str(state.state) == "ready" for state in supervisor.states()) and is_reading()

    victims = ["reader", *services]
    for _ in range(KILLS):
        wait_long(all_are_up)
        began = time.monotonic()
        for moment, name in sorted((pick.uniform(0, WINDOW_SECONDS), name) for name in victims):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            if name == "reader":
                keeper.kill()
            else:
                supervisor.kill(name)
    wait_long(all_are_up)


def out_of_order(told: Sequence[tuple[Message, Change | Truncation]]) -> list[tuple[bytes, int]]:
    """Keys whose messages tell a version for the first time after a higher one was told."""
    highest: dict[tuple[str, bytes], int] = {}
    known: set[tuple[str, bytes, int]] = set()
    wrong = []
    for message, event in told:
        if isinstance(event, Truncation):
            continue
        place = (message.topic, message.key)
        if event.version < highest.get(place, 0) and (*place, event.version) not in known:
            wrong.append((message.key, event.version))
        highest[place] = max(event.version, highest.get(place, 0))
        known.add((*place, event.version))
    return wrong
