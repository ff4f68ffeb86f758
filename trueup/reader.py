"""`python -m trueup.reader`: reads a source database of the settings into Kafka until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

import structlog

from cdc import debezium, debezium_mysql, mysql, poll, postgres
from cdc.counters import ReaderCounters
from cdc.metrics import ReaderMetrics, reader_alive, reader_parts
from trueup.log_setup import set_up_logging
from trueup.model.errors import ConfigurationError, TrueupError
from trueup.process_endpoint import ProcessState, serve_process
from trueup.settings import Settings
from trueup.user_specs import read_user_specs

READERS: Final = {
    ("postgres", "replication"): postgres.run,
    ("mysql", "replication"): mysql.run,
    ("postgres", "debezium"): debezium.run,
    ("mysql", "debezium"): debezium_mysql.run,
    ("postgres", "poll"): poll.run,
    ("mysql", "poll"): poll.run,
}
"""Kind of the source, and how its changes are found → what reads it."""


def of_source(settings: Settings, name: str | None) -> Settings:
    """The settings with the source of this name as the first one. Errors: ConfigurationError when there is none."""
    for source in settings.sources:
        if name in {None, source.name}:
            return settings.model_copy(update={"source": source, "more_sources": []})
    raise ConfigurationError(
        f"there is no source {name}",
        where="source, more_sources",
        remedy=f"name one of {', '.join(source.name for source in settings.sources)}",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 after a clean stop, 1 when the source, the topics or a spec cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m trueup.reader", description=__doc__)
    parser.add_argument("--metrics-port", type=int, help="serve metrics, /healthz and /readyz on this port")
    parser.add_argument("--source", help="name of the source that is read; without it, the first one")
    asked = parser.parse_args(arguments)
    set_up_logging(service=True)
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    counters = ReaderCounters()
    try:
        settings = Settings()
        # Specs name tables of the first source.
        more_tables = read_user_specs(settings).more_tables if asked.source in {None, settings.source.name} else ()
        settings = of_source(settings, asked.source)
        if asked.metrics_port is not None:
            registry = ReaderMetrics(counters).registry
            state = ProcessState(registry, lambda: reader_alive(counters), lambda: reader_parts(counters))
            serve_process(asked.metrics_port, state, settings.metrics_host)
        run = _reader_of(settings)
        run(settings, stop, counters, more_tables=more_tables)
    except TrueupError as error:
        structlog.get_logger().error("reader_ended", what=error.what, where=error.where, remedy=error.remedy)
        return 1
    return 0


def _reader_of(settings: Settings) -> Callable[..., None]:
    kind, reader = settings.source.kind, settings.source.reader
    if (kind, reader) not in READERS:
        remedy = "set source.reader to 'replication'"
        raise ConfigurationError(f"a source of kind {kind} cannot be read by {reader}", where="source", remedy=remedy)
    return READERS[kind, reader]


if __name__ == "__main__":
    sys.exit(main())
