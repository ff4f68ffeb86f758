"""Sessions of a reader, one after the other: when the source or the broker does not answer, everything is opened again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from cdc.counters import ReaderCounters
from trueup.model.errors import UnavailableError

RETRY_SECONDS_FIRST: Final = 0.2
RETRY_SECONDS_MAX: Final = 10.0

_log = structlog.get_logger()


def read_in_sessions(
    session: Callable[[], None],
    stop: threading.Event,
    counters: ReaderCounters,
    bootstrap: str,
    lost: tuple[type[Exception], ...],
) -> None:
    """Run sessions until `stop` is set, with a delay between them that doubles up to a bound; it starts anew once changes
    or heartbeats have gone through.

    Args:
        session: opens source and broker, reads until stopped, and closes them whatever happens.
        stop: ends the run.
        counters: of the reader.
        bootstrap: address of the broker, which tells its errors from the source's.
        lost: errors of the source's driver that another attempt may mend.
    """
    passing: tuple[type[Exception], ...] = (UnavailableError, *lost)
    delay_seconds = RETRY_SECONDS_FIRST
    while not stop.is_set():
        before = (counters.changes, counters.heartbeats)
        try:
            session()
        except passing as error:
            if (counters.changes, counters.heartbeats) != before:
                delay_seconds = RETRY_SECONDS_FIRST
            reason = str(error).strip()
            of_broker = isinstance(error, UnavailableError) and error.where == bootstrap
            counters.interrupted("kafka" if of_broker else "source", reason)
            _log.warning("reader_interrupted", reason=reason, retry_in_seconds=delay_seconds)
            stop.wait(delay_seconds)
            delay_seconds = min(RETRY_SECONDS_MAX, 2 * delay_seconds)
