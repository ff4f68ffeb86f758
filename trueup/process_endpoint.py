"""The small HTTP server of a process without pages: its metrics, whether it lives, and whether it can work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple

import orjson
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from trueup.model.health import Part

LOOPBACK: Final = "127.0.0.1"
REQUEST_SECONDS_MAX: Final = 5.0
"""How long a client may take to say what it wants."""


class ProcessState(NamedTuple):
    """What a process tells about itself; every function may be called from any thread, and answers within seconds.

    Args:
        registry: its metrics.
        alive: whether its loop turns; a process of which this is false should be started again.
        parts: name → what it needs to do its work.
    """

    registry: CollectorRegistry
    alive: Callable[[], bool]
    parts: Callable[[], Mapping[str, Part]]


class Answer(NamedTuple):
    """An HTTP answer."""

    status: HTTPStatus
    content_type: str
    body: bytes


def answer(path: str, accept: str, state: ProcessState) -> Answer:
    """What GET `path` gives.

    `/metrics`: Prometheus' text format, or OpenMetrics where `accept` asks for it. `/healthz`: 200 while the process
    lives. `/readyz`: 200 while all parts are ready. Both tell in JSON what they know, and answer 503 otherwise.
    """
    path = path.partition("?")[0]
    if path == "/metrics":
        encode, content_type = choose_encoder(accept)
        return Answer(HTTPStatus.OK, content_type, encode(state.registry))
    if path == "/healthz":
        alive = state.alive()
        return _told(alive, {"alive": alive})
    if path == "/readyz":
        parts = state.parts()
        ready = all(part.ready for part in parts.values())
        return _told(ready, {"ready": ready, "parts": {name: part._asdict() for name, part in parts.items()}})
    return Answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"/metrics, /healthz and /readyz are here\n")


def _told(is_well: bool, document: Mapping[str, object]) -> Answer:
    status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, "application/json", orjson.dumps(document))


def serve_process(port: int, state: ProcessState, host: str = LOOPBACK) -> ThreadingHTTPServer:
    """Answer on an address from threads of its own until the process ends; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS_MAX

        def do_GET(self) -> None:
            given = answer(self.path, self.headers.get("Accept", ""), state)
            self.send_response(given.status)
            self.send_header("Content-Type", given.content_type)
            self.send_header("Content-Length", str(len(given.body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(given.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing: a scrape every few seconds is no news."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="process-endpoint", daemon=True).start()
    return server
