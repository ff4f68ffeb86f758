"""What the reader counts and how it fares, for whoever shows it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

ReaderService = Literal["source", "kafka", "connect"]


class Phase(StrEnum):
    """What the reader is doing."""

    CONNECTING = "connecting"
    SNAPSHOT = "snapshot"
    STREAMING = "streaming"


@dataclass(slots=True)
class TableCount:
    """Of one table: changes that were streamed, rows that a snapshot copied."""

    changes: int = 0
    snapshot_rows: int = 0


@dataclass(slots=True)
class ReaderCounters:
    """Totals since the start of the process; read from any thread.

    `tables` is by `schema.table`. `confirmed_lsn` is what the slot may forget, `server_lsn` how far the server's log was
    written when it was last asked; both are bytes since the start of the log. `last_commit_us` and `watermark_us` are µs
    since the epoch. `throttled_seconds` is time spent waiting for the broker to take more. Times named `…_at` are seconds
    of the monotonic clock: of the last turn of the loop, the last answer of the source, and the last moment at which
    nothing waited for the broker or it acknowledged something. `watches_connector` says that a connector reads in this
    reader's place.
    """

    tables: dict[str, TableCount] = field(default_factory=dict)
    quarantined_by_code: Counter[str] = field(default_factory=Counter)
    transactions: int = 0
    heartbeats: int = 0
    sessions: int = 0
    in_flight: int = 0
    throttled_seconds: float = 0.0
    confirmed_lsn: int = 0
    server_lsn: int = 0
    last_commit_us: int = 0
    watermark_us: int = 0
    phase: Phase = Phase.CONNECTING
    failing: ReaderService | None = None
    last_errors: dict[ReaderService, str] = field(default_factory=dict)
    turned_at: float = field(default_factory=time.monotonic)
    source_answered_at: float = 0.0
    delivered_at: float = 0.0
    watches_connector: bool = False

    @property
    def changes(self) -> int:
        """Changes of all tables that were streamed."""
        return sum(count.changes for count in list(self.tables.values()))

    @property
    def snapshot_rows(self) -> int:
        """Rows of all tables that a snapshot copied."""
        return sum(count.snapshot_rows for count in list(self.tables.values()))

    @property
    def quarantined(self) -> int:
        """Changes that could not become a message."""
        return sum(list(self.quarantined_by_code.values()))

    def table(self, label: str) -> TableCount:
        """The counts of one table, made on first use."""
        return self.tables.setdefault(label, TableCount())

    def turn(self) -> None:
        """The reader's loop has turned."""
        self.turned_at = time.monotonic()

    def began_streaming(self) -> None:
        """Source and broker answer."""
        self.phase, self.failing = Phase.STREAMING, None
        self.source_answered_at = self.delivered_at = time.monotonic()

    def interrupted(self, service: ReaderService, error: str) -> None:
        """A session ended, and the reader tries again."""
        self.phase, self.failing, self.in_flight = Phase.CONNECTING, service, 0
        self.last_errors[service] = error

    def connector_trouble(self, trouble: str) -> None:
        """Say why the connector that is watched does not run, or, with "", that it does."""
        if trouble:
            self.failing = "connect"
            self.last_errors["connect"] = trouble
        elif self.failing == "connect":
            self.failing = None
