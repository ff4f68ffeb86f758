"""Latencies counted into the buckets of a histogram where they arise: nothing is kept per discrepancy. Pure."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

LATENCY_BUCKETS_US: Final = (
    10_000, 25_000, 50_000, 100_000, 150_000, 200_000, 300_000, 500_000, 750_000, 1_000_000, 2_000_000, 5_000_000,
    30_000_000,
)  # fmt: skip
"""Upper bounds in µs; what is above the last one has a bucket of its own."""


class LatencyCounts:
    """How many latencies lie in each bucket, and their sum in µs."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENCY_BUCKETS_US) + 1)
        self.sum_us = 0

    def add(self, latency_us: int) -> None:
        """Count one; a bucket holds its upper bound."""
        self._counts[bisect_left(LATENCY_BUCKETS_US, latency_us)] += 1
        self.sum_us += latency_us

    def cumulative(self) -> list[int]:
        """How many are at most as long as each bound; the last entry counts all."""
        total = 0
        sums = []
        for count in list(self._counts):
            total += count
            sums.append(total)
        return sums
