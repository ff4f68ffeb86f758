"""`python -m trueup.reader`: reads the source database of the settings into Kafka until SIGTERM or SIGINT."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

import structlog

from cdc.postgres import run
from trueup.log_setup import set_up_logging
from trueup.model.errors import TrueupError
from trueup.settings import Settings
from trueup.user_specs import read_user_specs


def main() -> int:
    """Exit status 0 after a clean stop, 1 when the source, the topics or a spec cannot be used."""
    set_up_logging(service=True)
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        settings = Settings()
        run(settings, stop, more_tables=read_user_specs(settings).more_tables)
    except TrueupError as error:
        structlog.get_logger().error("reader_ended", what=error.what, where=error.where, remedy=error.remedy)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
