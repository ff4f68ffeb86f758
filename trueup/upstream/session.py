"""One writing session of the upstream system: paced transactions that count the rows they change."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from psycopg2.extensions import connection as Connection  # noqa: N812  # a class, whatever its name looks like
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extras import execute_values

from trueup.upstream.plan import Fault, Trap
from trueup.upstream.truth import record_faults, record_traps

BURST_SECONDS: Final = 0.2
"""A session that fell behind its rate catches up over so much time at most."""

Clock = Callable[[], float]
"""Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class WorkloadProgress:
    """What is committed so far. `changes` counts row changes of source tables, `traps` the rows of truth.trap."""

    orders: int = 0
    billing_items: int = 0
    statements_paid: int = 0
    payouts_paid: int = 0
    faults: int = 0
    traps: int = 0
    changes: int = 0
    transactions: int = 0


class Tally:
    """Counts what all sessions commit, and tells it to the one who watches.

    Args:
        watch: called with the counts after every commit, by the committing thread, never by two at once.
    """

    def __init__(self, watch: Callable[[WorkloadProgress], None] | None) -> None:
        self._watch = watch
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, counts: Counter[str]) -> None:
        """Add the counts of one committed transaction."""
        with self._lock:
            self._counts.update(counts)
            if self._watch is not None:
                self._watch(WorkloadProgress(**self._counts))

    def progress(self) -> WorkloadProgress:
        """The counts now."""
        with self._lock:
            return WorkloadProgress(**self._counts)


class Pacer:
    """Holds all sessions together to a rate of row changes per second.

    Args:
        rate_per_second: None for no limit.
        stop: when set, nobody waits any longer.
        clock: monotonic seconds.
    """

    def __init__(self, rate_per_second: float | None, stop: threading.Event, clock: Clock) -> None:
        self._rate_per_second = rate_per_second
        self._stop = stop
        self._clock = clock
        self._lock = threading.Lock()
        self._next_at = clock()

    def take(self, changes: int) -> None:
        """Wait for the turn of so many changes."""
        if self._rate_per_second is None:
            return
        with self._lock:
            now = self._clock()
            start = max(self._next_at, now - BURST_SECONDS)
            self._next_at = start + changes / self._rate_per_second
        if start > now:
            self._stop.wait(start - now)


class Work:
    """One transaction in progress."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.counts: Counter[str] = Counter()

    def insert(self, table: str, template: str, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows with one statement; `template` is their VALUES clause."""
        if rows:
            execute_values(self.cursor, f"INSERT INTO public.{table} VALUES %s", rows, template, page_size=len(rows))
            self.counts["changes"] += self.cursor.rowcount

    def change(self, rows: int, statement: str, arguments: Sequence[object]) -> None:
        """Change exactly `rows` rows. Another number means that someone else works on these books: the run must end."""
        self.cursor.execute(statement, arguments)
        changed = self.cursor.rowcount
        if changed != rows:
            raise RuntimeError(f"{changed} rows changed instead of {rows}: {statement}")
        self.counts["changes"] += changed

    def count(self, name: str, number: int) -> None:
        """Count towards a field of WorkloadProgress once this is committed."""
        self.counts[name] += number

    def plant(self, *faults: Fault | None) -> None:
        """Record faults that this transaction plants."""
        self.counts["faults"] += record_faults(self.cursor, (fault for fault in faults if fault is not None))

    def trap(self, *traps: Trap) -> None:
        """Record traps that this transaction sets."""
        self.counts["traps"] += record_traps(self.cursor, traps)


class Session:
    """A connection with its pace and its counts."""

    def __init__(self, connection: Connection, pacer: Pacer, tally: Tally) -> None:
        self._connection = connection
        self._pacer = pacer
        self._tally = tally

    @contextmanager
    def transaction(self, changes: int, *, commit: bool = True) -> Iterator[Work]:
        """A transaction that is going to change about `changes` rows; with commit=False it is rolled back and not counted."""
        self._pacer.take(changes)
        with self._connection.cursor() as cursor:
            work = Work(cursor)
            try:
                yield work
            except BaseException:
                self._connection.rollback()
                raise
            if not commit:
                self._connection.rollback()
                return
            self._connection.commit()
        work.counts["transactions"] += 1
        self._tally.add(work.counts)
