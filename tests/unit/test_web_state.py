"""What the dashboard's process says of itself: life, readiness, metrics, with labels that stay few."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from prometheus_client.parser import text_string_to_metric_families

from dashboards.access.account import Role
from tests.access_stand import QuietHub, Stand
from trueup.model.health import Part


class ClickHouse:
    def __init__(self) -> None:
        self.is_there = True

    def command(self, _query: str) -> int:
        if not self.is_there:
            raise OperationalError("connection refused\nat length")
        return 1


class ReadingHub(QuietHub):
    state = Part(ready=True)

    @property
    def part(self) -> Part:
        return self.state


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path, parts={"client": ClickHouse(), "live": ReadingHub("127.0.0.1:1")})
    yield made
    made.close()


def samples(stand: Stand, name: str) -> dict[tuple[str, ...], float]:
    text = stand.browser().get("/metrics").text
    return {
        tuple(value for label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def ready(stand: Stand) -> tuple[int, dict[str, Any]]:
    answer = stand.browser().get("/readyz")
    return answer.status_code, answer.json()


def test_a_process_that_answers_lives(stand: Stand) -> None:
    assert stand.browser().get("/healthz").json() == {"alive": True}


def test_it_is_ready_while_every_part_answers(stand: Stand) -> None:
    status, told = ready(stand)
    assert (status, told["ready"]) == (200, True)
    assert set(told["parts"]) == {"clickhouse", "kafka", "store"}


def test_what_is_away_is_named_in_one_line(stand: Stand) -> None:
    client: Any = stand.board.client
    client.is_there = False
    status, told = ready(stand)
    assert (status, told["ready"]) == (503, False)
    assert told["parts"]["clickhouse"] == {"ready": False, "error": "connection refused"}
    assert told["parts"]["store"]["ready"]


def test_a_broker_that_is_away_is_named(stand: Stand) -> None:
    hub: Any = stand.board.live
    hub.state = Part(ready=False, error="no broker")
    assert ready(stand)[1]["parts"]["kafka"] == {"ready": False, "error": "no broker"}


def test_requests_are_counted_by_route_and_never_by_address(stand: Stand) -> None:
    browser = stand.signed_in("vera", Role.VIEWER)
    for number in range(30):
        browser.get(f"/nothing/{number}")
        browser.get(f"/static/nothing-{number}.js")
    browser.get("/static/icon.svg")
    browser.get("/live/allowed")
    counted = samples(stand, "trueup_dashboard_requests_total")
    assert counted[("none", "4xx")] == 30
    assert counted[("/static", "4xx")] == 30
    assert counted[("/static", "2xx")] == 1
    assert counted[("/live/allowed", "2xx")] == 1
    assert not [route for route, _ in counted if "nothing" in route]
    assert samples(stand, "trueup_dashboard_request_seconds_count")[("/live/allowed",)] == 1


def test_listeners_are_told(stand: Stand) -> None:
    assert samples(stand, "trueup_dashboard_live_subscribers") == {(): 0.0}


def test_metrics_are_for_this_machine(stand: Stand) -> None:
    assert stand.browser(address="192.0.2.7").get("/metrics").status_code == 403
    assert stand.browser().get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 403
