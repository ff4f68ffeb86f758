"""The HTTP endpoint of a process: metrics, life, readiness with each part's last error."""

from __future__ import annotations

from http import HTTPStatus
from http.client import HTTPConnection

import orjson
from prometheus_client import CollectorRegistry, Gauge

from trueup.model.health import Part
from trueup.process_endpoint import LOOPBACK, ProcessState, answer, serve_process


def state_of(*, alive: bool = True, **parts: Part) -> ProcessState:
    registry = CollectorRegistry()
    Gauge("trueup_example", "An example.", registry=registry).set(7)
    return ProcessState(registry, lambda: alive, lambda: parts)


def test_metrics_come_in_the_format_that_is_asked_for() -> None:
    plain = answer("/metrics", "", state_of())
    assert (plain.status, plain.content_type.partition(";")[0]) == (HTTPStatus.OK, "text/plain")
    assert b"trueup_example 7.0" in plain.body
    open_metrics = answer("/metrics?x=1", "application/openmetrics-text; version=1.0.0", state_of())
    assert open_metrics.body.endswith(b"# EOF\n")


def test_a_process_lives_while_its_loop_turns() -> None:
    assert answer("/healthz", "", state_of()).status == HTTPStatus.OK
    assert answer("/healthz", "", state_of(alive=False)).status == HTTPStatus.SERVICE_UNAVAILABLE


def test_a_process_is_ready_when_all_its_parts_are() -> None:
    told = answer("/readyz", "", state_of(kafka=Part(True, "was away"), clickhouse=Part(True)))
    assert told.status == HTTPStatus.OK
    assert orjson.loads(told.body) == {
        "ready": True,
        "parts": {"kafka": {"ready": True, "error": "was away"}, "clickhouse": {"ready": True, "error": ""}},
    }
    told = answer("/readyz", "", state_of(kafka=Part(True), clickhouse=Part(False, "no answer")))
    assert told.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert orjson.loads(told.body)["parts"]["clickhouse"] == {"ready": False, "error": "no answer"}


def test_nothing_else_is_here() -> None:
    assert answer("/", "", state_of()).status == HTTPStatus.NOT_FOUND


def test_it_is_served_over_http() -> None:
    server = serve_process(0, state_of(kafka=Part(False)))
    client = HTTPConnection(LOOPBACK, server.server_port, timeout=60)
    try:
        client.request("GET", "/healthz")
        given = client.getresponse()
        assert (given.status, given.headers["Content-Type"]) == (HTTPStatus.OK, "application/json")
        assert orjson.loads(given.read()) == {"alive": True}
        client.request("GET", "/readyz")
        assert client.getresponse().status == HTTPStatus.SERVICE_UNAVAILABLE
    finally:
        client.close()
        server.shutdown()
        server.server_close()
