"""The command line as a user meets it: a process of its own without a terminal, and what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
TEXT_END = 4_000


def command(*words: str) -> list[str]:
    """The argument list of `trueup` with these words."""
    return [sys.executable, "-m", "trueup.cli", *words]


def environment(**extra: str) -> dict[str, str]:
    """This process's environment, without settings, and with this working copy on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRUEUP_")}
    return {**kept, "PYTHONPATH": str(ROOT), **extra}


def trueup(*words: str, cwd: Path, seconds: float = 60, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run to the end; `cwd` is where `trueup.toml` is looked for."""
    return subprocess.run(
        command(*words),
        cwd=cwd,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


class Running:
    """A command that goes on; its output goes to files."""

    def __init__(self, words: tuple[str, ...], cwd: Path) -> None:
        self._out = cwd / "stdout"
        self._err = cwd / "stderr"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                command(*words), cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    def end_of_output(self) -> str:
        """For the message of a failure."""
        return f"{self.stdout[-TEXT_END:]}\n{self.stderr[-TEXT_END:]}"

    def children(self) -> list[psutil.Process]:
        """Its processes, and theirs."""
        try:
            found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return found


@contextlib.contextmanager
def started(*words: str, cwd: Path) -> Iterator[Running]:
    """Start a command; whatever is left of it at the end is killed."""
    running = Running(words, cwd)
    try:
        yield running
    finally:
        left = running.children()
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait(30)
        for child in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(left, timeout=30)


def alive(processes: list[psutil.Process]) -> list[str]:
    """Those that still run, by name."""
    _, left = psutil.wait_procs(processes, timeout=5)
    return [str(process) for process in left]
