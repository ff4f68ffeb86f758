"""How processes log: services one JSON object per line, commands only warnings in words."""

from __future__ import annotations

import logging
import sys

import structlog

NOISY = ("aiokafka", "faust", "mode", "kafka", "urllib3", "clickhouse_connect", "asyncio")
"""Libraries that are heard from warnings up only."""


class _StandardError:
    """Standard error as it is when something is said: a stream that was put in its place may be closed by then."""

    def write(self, text: str) -> int:
        """Pass the text on."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Let it be seen."""
        sys.stderr.flush()


def set_up_logging(*, verbose: bool = False, service: bool = False) -> None:
    """Log to standard error; `service` turns on JSON lines and level info."""
    level = logging.INFO if verbose or service else logging.ERROR
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if service else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(_StandardError()),  # type: ignore[arg-type]  # it only prints
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING if service else logging.ERROR)
