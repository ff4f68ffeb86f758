"""Asks Kafka Connect again and again whether a connector runs, in a thread of its own."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Final

import structlog

from cdc.connect_rest import ConnectRest
from trueup.model.errors import TrueupError

INTERVAL_SECONDS: Final = 1.0
STOP_SECONDS_MAX: Final = 45.0

_log = structlog.get_logger()


class ConnectorWatch(threading.Thread):
    """Watches until stopped.

    Args:
        url: of Kafka Connect.
        name: of the connector.
    """

    def __init__(self, url: str, name: str) -> None:
        super().__init__(name="connector-watch", daemon=True)
        self._url = url
        self._name = name
        self._stopping = threading.Event()
        self.trouble = "Kafka Connect has not answered yet"
        """Why the connector does not run, in words; "" while it does."""

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.join(STOP_SECONDS_MAX)

    def run(self) -> None:
        """Ask until stopped."""
        with closing(ConnectRest(self._url)) as rest:
            while not self._stopping.is_set():
                trouble = self._look(rest)
                if trouble != self.trouble:
                    _log.warning("connector_state", connector=self._name, trouble=trouble or "none")
                self.trouble = trouble
                self._stopping.wait(INTERVAL_SECONDS)

    def _look(self, rest: ConnectRest) -> str:
        try:
            status = rest.status(self._name)
        except TrueupError as error:
            return error.what
        if status is None:
            return f"the connector {self._name} is not registered: run `trueup cdc register`"
        return status.trouble
