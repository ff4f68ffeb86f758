"""What the durable windows of a stage have done, and whether they become durable now. Read from any thread."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

WindowService = Literal["kafka", "clickhouse"]

WINDOW_SECONDS_MAX: Final = 5.0
"""A window that takes longer to become durable means that a service does not answer, or is too slow."""


@dataclass(slots=True)
class WindowCounters:
    """Totals since the start of the worker.

    `rows` is by table, `failures` and `last_errors` by the service that a window could not be handed to. `changes` are
    those that a durable window has covered. `waiting_for` is the service that refuses the present window.
    """

    windows: int = 0
    seconds: float = 0.0
    changes: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    failures: Counter[WindowService] = field(default_factory=Counter)
    last_errors: dict[WindowService, str] = field(default_factory=dict)
    waiting_for: WindowService | None = None
    _began_at: float | None = None

    @property
    def ready(self) -> bool:
        """Whether windows become durable: not while a service refuses one, or says nothing for too long."""
        began_at = self._began_at
        return self.waiting_for is None and (began_at is None or time.monotonic() - began_at < WINDOW_SECONDS_MAX)

    def began(self) -> None:
        """A window starts to be written."""
        self._began_at = time.monotonic()

    def refused(self, service: WindowService, error: str) -> None:
        """A service did not take what the window holds."""
        self.waiting_for = service
        self.failures[service] += 1
        self.last_errors[service] = error

    def taken(self) -> None:
        """A service took it."""
        self.waiting_for = None

    def inserted(self, rows: Mapping[str, int]) -> None:
        """Rows by table are in ClickHouse."""
        self.rows.update(rows)

    def became_durable(self, changes: int) -> None:
        """The window is durable; it covers the first `changes` of the stage."""
        assert self._began_at is not None
        self.seconds += time.monotonic() - self._began_at
        self._began_at = None
        self.changes = max(self.changes, changes)
        self.windows += 1
