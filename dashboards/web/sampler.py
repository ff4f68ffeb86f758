"""Figures that cost more than a page may take: read in the background, shown with their age.

A page describes each of them by a `Figure` and asks for all at once:

    read = board.cases.rows_in_background
    orders, found = board.sampler.look([Figure(make(board.database), read) for make in (orders_by_verdict, latency)])
    orders.value, orders.read_at, orders.query     # None, None, the SQL: not known yet

What nobody has looked at for a minute is not read any more. A figure is known by its SQL and its reading function, so
two pages, or two people with the same filter, share it; give a function of a module, not a new lambda for each request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import structlog

from clickhouse.query import Query
from trueup.model.errors import TrueupError

SHARE_MAX: Final = 0.1
"""Part of one core that all figures together may cost."""

INTERVAL_SECONDS_MIN: Final = 1.0
WATCHED_SECONDS: Final = 60.0
"""How long a look keeps a figure fresh."""

FIGURES_MAX: Final = 300
"""Filters make ever new figures: the ones looked at longest ago make room."""

FIRST_WAIT_SECONDS: Final = 0.08
"""How long a page waits for figures that nobody has read before; it must answer within 200 ms."""

PART_WAIT_SECONDS: Final = 3.0
"""How long a part of a page waits that holds little else: the page is there already."""

_log = structlog.get_logger()


class Figure(NamedTuple):
    """What is to be known: a query, and how its value is read; `read` is called in the sampler's thread."""

    query: Query
    read: Callable[[Query], Any]

    def key(self) -> Hashable:
        """What tells it from other figures."""
        return self.query.shown(), self.read


class Sample(NamedTuple):
    """A figure as it was last read.

    `read_at` is None until it was read once. `error` says why the newest attempt failed, "" if it did not; the value is then
    that of the last good reading.
    """

    query: Query
    value: Any = None
    read_at: datetime | None = None
    error: str = ""

    @property
    def age_seconds(self) -> float | None:
        """How old the value is; None while there is none."""
        return None if self.read_at is None else max(0.0, (datetime.now(UTC) - self.read_at).total_seconds())

    @property
    def is_old(self) -> bool:
        """Whether nobody kept it fresh: a page that did not wait for it asks again."""
        return self.age_seconds is None or self.age_seconds > WATCHED_SECONDS


@dataclass
class _Kept:
    """A figure, its sample, and when it is wanted again; times in seconds of the monotonic clock."""

    figure: Figure
    sample: Sample
    looked_at: float
    attempts: int = 0
    ended_at: float = 0.0
    cost_seconds: float = 0.0

    def due_at(self, watched: int) -> float:
        """When it may be read again, if `watched` figures share what all may cost."""
        if not self.attempts:
            return self.looked_at
        return self.ended_at + max(INTERVAL_SECONDS_MIN, self.cost_seconds * watched / SHARE_MAX)


class Sampler:
    """Keeps figures fresh while somebody looks at them, one reading at a time.

    Its thread sleeps while nobody looks. `close` ends it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[Hashable, _Kept] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def look(self, figures: Sequence[Figure], wait_seconds: float = FIRST_WAIT_SECONDS) -> list[Sample]:
        """The newest samples, in the order of the figures, at once if all were looked at within the last minute.

        Otherwise waits for the others to be read anew, at most `wait_seconds` for all of them together.
        """
        keys = [figure.key() for figure in figures]
        with self._changed:
            now = self._clock()
            wanted: list[tuple[_Kept, int]] = []
            for key, figure in zip(keys, figures, strict=True):
                kept = self._kept.pop(key, None) or _Kept(figure, Sample(figure.query), now)
                was_watched = now - kept.looked_at < WATCHED_SECONDS
                wanted.append((kept, 1 if was_watched else kept.attempts + 1))
                kept.looked_at = now
                self._kept[key] = kept
            self._make_room()
            self._start()
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._closed or all(kept.attempts >= least for kept, least in wanted), wait_seconds
            )
            return [kept.sample for kept, _ in wanted]

    def close(self) -> None:
        """Ends the thread once the reading under way is over."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _make_room(self) -> None:
        # A dictionary keeps the order in which its keys came: the first were looked at longest ago.
        for key in list(self._kept)[: max(0, len(self._kept) - FIGURES_MAX)]:
            del self._kept[key]

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (kept := self._next()) is not None:
            began_at = self._clock()
            sample = _read(kept)
            with self._changed:
                kept.ended_at = self._clock()
                kept.cost_seconds = kept.ended_at - began_at
                kept.attempts += 1
                kept.sample = sample
                self._changed.notify_all()

    def _next(self) -> _Kept | None:
        """Waits for the figure that is due; None once closed."""
        with self._changed:
            while not self._closed:
                now = self._clock()
                watched = [kept for kept in self._kept.values() if now - kept.looked_at < WATCHED_SECONDS]
                if not watched:
                    self._changed.wait()
                    continue
                # What was never read comes before what only grows old.
                first = min(watched, key=lambda kept: (kept.attempts > 0, kept.due_at(len(watched))))
                wait_seconds = first.due_at(len(watched)) - now
                if wait_seconds <= 0:
                    return first
                self._changed.wait(wait_seconds)
        return None


def _read(kept: _Kept) -> Sample:
    figure = kept.figure
    try:
        return Sample(figure.query, figure.read(figure.query), datetime.now(UTC))
    except TrueupError as error:
        return kept.sample._replace(error=str(error))
    except Exception:  # noqa: BLE001 - a fault of ours in one figure must not end the readings of all the others
        _log.exception("figure_failed", query=figure.query.text)
        return kept.sample._replace(error="the reading failed; see the log of the dashboard")
