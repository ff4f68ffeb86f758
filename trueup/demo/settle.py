"""Waits until the pipeline has seen everything that the source will ever say about a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from clickhouse.reader import Reader
from trueup.model.errors import UnavailableError

POLL_SECONDS: Final = 0.25
JUDGING_STAGES: Final = frozenset({"orders", "statements", "releases"})


def lowest_watermark(reader: Reader, partitions: int) -> datetime | None:
    """The source time that every partition of the judging stages has reached; None while one has told none."""
    marks = {
        (row["stage"], row["partition"]): row["watermark_at"]
        for row in reader.watermarks()
        if row["stage"] in JUDGING_STAGES
    }
    return min(marks.values()) if len(marks) >= len(JUDGING_STAGES) * partitions else None


def wait_for_watermark(
    reader: Reader,
    partitions: int,
    target: datetime,
    timeout_seconds: float,
    watch: Callable[[timedelta], None] = lambda _: None,
) -> None:
    """Return when every partition's watermark, as written in ClickHouse, has passed `target`.

    A watermark row is written in the window that holds everything judged at it, so what can be read then is complete.
    Errors: UnavailableError when it does not happen in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        lowest = lowest_watermark(reader, partitions)
        if lowest is not None and lowest > target:
            return
        if lowest is not None:
            watch(target - lowest)
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"the pipeline has not seen everything up to {target:%H:%M:%S} after {timeout_seconds:.0f} s",
                where="no watermark yet" if lowest is None else f"slowest partition: {lowest.astimezone(UTC):%H:%M:%S}",
                remedy="see `trueup status` and the logs below the data directory",
            )
        time.sleep(POLL_SECONDS)
