"""Asks a server for its clock and its log position, again and again, in a thread of its own."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import structlog

from cdc.heartbeat import PROBES_KEPT_MAX, Probe
from trueup.model.errors import TrueupError

RETRY_SECONDS: Final = 1.0
INTERVAL_SECONDS_MIN: Final = 0.01
STOP_SECONDS_MAX: Final = 40.0

_log = structlog.get_logger()


class ProbeClock(threading.Thread, ABC):
    """Takes probes until stopped. Without an answer from the server there are none, and source time stands still.

    Args:
        interval_seconds: between two probes.
        lost: errors of the server's driver that another connection may mend.
    """

    def __init__(self, interval_seconds: float, lost: tuple[type[Exception], ...]) -> None:
        super().__init__(name="server-clock", daemon=True)
        self._interval_seconds = max(INTERVAL_SECONDS_MIN, interval_seconds)
        self._passing: tuple[type[Exception], ...] = (TrueupError, *lost)
        self._stopping = threading.Event()
        self._probes: deque[Probe] = deque(maxlen=PROBES_KEPT_MAX)

    @abstractmethod
    def connected(self) -> AbstractContextManager[Callable[[], Probe]]:
        """Connect to the server; what is given takes one probe. The connection is closed behind it."""

    def take(self) -> list[Probe]:
        """The probes since the last call, oldest first."""
        taken = []
        while self._probes:
            taken.append(self._probes.popleft())
        return taken

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.join(STOP_SECONDS_MAX)

    def run(self) -> None:
        """Probe, and connect again when the connection breaks."""
        while not self._stopping.is_set():
            try:
                with self.connected() as probe:
                    while not self._stopping.is_set():
                        self._probes.append(probe())
                        self._stopping.wait(self._interval_seconds)
            except self._passing as error:
                _log.warning("source_clock_unavailable", reason=str(error).strip())
                self._stopping.wait(RETRY_SECONDS)
