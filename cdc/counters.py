"""What the reader counts, for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ReaderCounters:
    """Totals since the start of the process; read from any thread.

    `confirmed_lsn` is what the slot may forget; `last_commit_us` and `watermark_us` are µs since the epoch.
    """

    changes: int = 0
    transactions: int = 0
    heartbeats: int = 0
    quarantined: int = 0
    snapshot_rows: int = 0
    sessions: int = 0
    confirmed_lsn: int = 0
    last_commit_us: int = 0
    watermark_us: int = 0
