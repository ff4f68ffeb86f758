"""The readiness checks against something that answers well, answers badly, hangs up, or is not there."""

from __future__ import annotations

import socket
import threading

import pytest
from prometheus_client import CollectorRegistry

from trueup.embedded.ports import LOOPBACK, free_port
from trueup.embedded.readiness import has_parts, http_answers, kafka_answers, port_accepts, postgres_accepts
from trueup.model.health import Part
from trueup.process_endpoint import ProcessState, serve_process


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nOk.\n", True),
        (b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n", False),
        (b"no HTTP at all\r\n\r\n", False),
        (b"", False),
    ],
)
def test_only_200_counts(answer: bytes, ready: bool) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:

        def answer_once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=answer_once, daemon=True)
        thread.start()
        assert http_answers(f"http://{LOOPBACK}:{server.getsockname()[1]}/ping")() is ready
        thread.join()


def test_nobody_there_is_not_ready_and_no_error() -> None:
    port = free_port()
    assert not http_answers(f"http://{LOOPBACK}:{port}/ping")()
    assert not kafka_answers(f"{LOOPBACK}:{port}")()
    assert not postgres_accepts(f"host={LOOPBACK} port={port} user=trueup dbname=settlement")()


def test_a_port_is_ready_once_something_listens() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert port_accepts(port)()
    assert not port_accepts(port)()


def test_a_process_with_the_parts_that_count_is_ready_whatever_else_it_lacks() -> None:
    parts = {"source": Part(ready=True), "tables": Part(ready=False, error="no column currency")}
    server = serve_process(0, ProcessState(CollectorRegistry(), lambda: True, lambda: parts))
    try:
        url = f"http://{LOOPBACK}:{server.server_port}/readyz"
        assert has_parts(url, ["source"])()
        assert not has_parts(url, ["source", "tables"])()
        assert not has_parts(url, ["unheard of"])()
        assert not has_parts(url.replace("readyz", "healthz"), ["source"])()
    finally:
        server.shutdown()
        server.server_close()
    assert not has_parts(url, ["source"])()
