"""What a supervised service is: how to start it, when it is ready, how it is stopped."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trueup.embedded.readiness import always_ready

Command = Sequence[str] | Callable[[], Sequence[str]]

_NUMBERED = re.compile(r"-\d+$")
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]*$")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How a child that died is started again: delays double up to a bound, and attempts end.

    Args:
        first_seconds: delay before the first restart.
        max_seconds: longest delay.
        healthy_after_seconds: ready for so long, its earlier failures are forgotten.
        start_attempts_max: attempts of a service that has never been ready.
        restart_attempts_max: failures in a row, without a healthy time between, of one that has been.
    """

    first_seconds: float = 0.2
    max_seconds: float = 10.0
    healthy_after_seconds: float = 20.0
    start_attempts_max: int = 3
    restart_attempts_max: int = 20

    def delay_seconds(self, failures: int) -> float:
        """Delay after the given number (≥ 1) of failures in a row."""
        doublings = min(failures - 1, 32)
        return min(self.max_seconds, self.first_seconds * float(2**doublings))


@dataclass(frozen=True, slots=True)
class ProcessUser:
    """The system user a child runs as, when the supervisor is root and the child refuses to be."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Service:
    """One child process to supervise.

    Args:
        name: lower case; services named `worker-1`, `worker-2` … form the group `worker`, which starts and stops together.
        command: the argument list, or a function that prepares the start (such as initdb) and returns it; the
            function may raise TrueupError.
        env: variables added to the supervisor's environment.
        ready: says whether the service answers; must itself return within a second or two.
        ready_timeout_seconds: how long a start may take.
        awaited: whether the services after it start only when it is ready.
        stop_signal: asks the process to end.
        stop_timeout_seconds: how long it may take to end before it is killed.
        restart: whether it is started again when it dies.
        port: for display.
        serves_metrics: whether Prometheus finds `/metrics` at the port.
        user: system user to run as; None for the supervisor's own.
        cwd: working directory; None for the supervisor's own.
        death_signal: what the process receives when the supervisor itself is killed (Linux).
    """

    name: str
    command: Command
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] = always_ready
    ready_timeout_seconds: float = 60.0
    awaited: bool = True
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = 15.0
    restart: bool = True
    port: int | None = None
    serves_metrics: bool = False
    user: ProcessUser | None = None
    cwd: Path | None = None
    death_signal: signal.Signals = signal.SIGKILL

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ValueError(f"a service name has lower-case letters, digits and hyphens only: {self.name!r}")

    @property
    def group(self) -> str:
        """The name without its number: what starts and stops together."""
        return _NUMBERED.sub("", self.name)
