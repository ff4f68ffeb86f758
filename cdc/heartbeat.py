"""How far in source time the stream is: the times that heartbeats tell. Pure.

A heartbeat with time H says: every change committed at or before H is delivered, and stands below its positions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import orjson

COMMIT_SKEW_US: Final = 50_000
"""Postgres takes the commit time just before it writes the commit record. Commit times are therefore out of log order
by as long as a process can be held up between the two; heartbeats stay so far behind."""

PROBES_KEPT_MAX: Final = 64


class Probe(NamedTuple):
    """The server's clock in µs since the epoch, and then the position at which its log was about to be continued.

    A transaction whose commit record is written at or after `lsn` took its commit time at or after `time_us`, but for
    the skew. The position is where the log is written, not where it is flushed: a commit that is still being flushed
    already has its commit time, and is not streamed yet.
    """

    time_us: int
    lsn: int


class SourceTime:
    """The source time up to which everything has been received; it never goes back."""

    def __init__(self) -> None:
        self._probes: deque[Probe] = deque()
        self._reached_us = 0

    @property
    def reached_us(self) -> int:
        """Every change committed at or before has been received; 0 while nothing is known."""
        return self._reached_us

    @property
    def waiting(self) -> bool:
        """Whether a probe was taken whose position has not been received."""
        return bool(self._probes)

    def probed(self, probe: Probe) -> None:
        """Take a probe of the server; they come in the order of their positions."""
        if len(self._probes) == PROBES_KEPT_MAX:
            # The oldest stays, so that time moves on however far behind the stream is.
            self._probes = deque(list(self._probes)[::2])
        self._probes.append(probe)

    def received(self, lsn: int) -> None:
        """All transactions whose commit record lies below `lsn` have been received."""
        probes = self._probes
        while probes and probes[0].lsn <= lsn:
            self._reach(probes.popleft().time_us)

    def committed(self, commit_us: int) -> None:
        """A transaction was received whole; all that lie before it in the log were too."""
        self._reach(commit_us)

    def _reach(self, time_us: int) -> None:
        self._reached_us = max(self._reached_us, time_us - COMMIT_SKEW_US)


def encode_heartbeat(source: str, time_us: int, lsn: int, positions: Mapping[str, Sequence[int]]) -> bytes:
    """The message on the heartbeat topic.

    Args:
        source: name of the source.
        time_us: the time H.
        lsn: log position that H was told at.
        positions: topic → end offset per partition.
    """
    return orjson.dumps({"source": source, "ts_us": time_us, "lsn": lsn, "positions": positions})
