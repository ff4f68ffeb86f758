"""What the reader counts and how it fares, for whoever shows it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, NamedTuple

ReaderService = Literal["source", "kafka", "connect"]


class Phase(StrEnum):
    """What the reader is doing."""

    CONNECTING = "connecting"
    SNAPSHOT = "snapshot"
    STREAMING = "streaming"


class Gap(NamedTuple):
    """Log that was not read: why, and from where on. `from_us` is source time, µs since the epoch, 0 if unknown.

    `repaired_us` is when a copy of all tables made up for it, 0 as long as none has.
    """

    reason: str
    from_lsn: int
    from_us: int
    repaired_us: int = 0

    def __str__(self) -> str:
        since = f" after {_clock(self.from_us)}" if self.from_us else ""
        repair = (
            f"all tables were copied again at {_clock(self.repaired_us)}" if self.repaired_us else "they are copied"
        )
        return f"{self.reason}: changes{since} (position {self.from_lsn}) may be missing; {repair}"


def _clock(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us // 1_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"


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
    nothing waited for the broker or it acknowledged something. `gap` is the newest one, `stopped` the tables that cannot be
    read now, by label, with the reason. `watches_connector` says that a connector reads in this reader's place.
    """

    tables: dict[str, TableCount] = field(default_factory=dict)
    quarantined_by_code: Counter[str] = field(default_factory=Counter)
    transactions: int = 0
    heartbeats: int = 0
    sessions: int = 0
    gaps: int = 0
    gap: Gap | None = None
    stopped: dict[str, str] = field(default_factory=dict)
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

    def found_gap(self, gap: Gap) -> None:
        """Log was not read; until it is made up for, this is one gap, however often it is found."""
        if self.gap is None or self.gap.repaired_us:
            self.gaps += 1
            self.gap = gap

    def repaired_gap(self, now_us: int) -> None:
        """All tables were copied anew."""
        if self.gap is not None and not self.gap.repaired_us:
            self.gap = self.gap._replace(repaired_us=now_us)

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
