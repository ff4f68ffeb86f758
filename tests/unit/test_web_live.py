"""Live events: what is told at what pace, to listeners that are quick, slow or gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException

from dashboards.access.account import Role
from dashboards.pages import live as live_page
from dashboards.pages.live import with_amounts
from dashboards.web.live import (
    EVENTS_WAITING_MAX,
    FINDINGS_PER_SECOND_MAX,
    PULSE,
    RELOAD,
    LiveEvent,
    LiveHub,
    Pace,
    Subscription,
    read_messages,
)
from tests.access_stand import Stand
from trueup.model.health import Part


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Message:
    def __init__(self, topic: str, value: bytes | None, error: KafkaError | None = None) -> None:
        self._topic, self._value, self._error = topic, value, error

    def topic(self) -> str:
        return self._topic

    def value(self) -> bytes | None:
        return self._value

    def error(self) -> KafkaError | None:
        return self._error


def findings(count: int) -> list[dict[str, Any]]:
    return [{"discrepancy_id": f"{number:032x}"} for number in range(count)]


def read(*messages: Message) -> tuple[list[dict[str, Any]], bool]:
    return read_messages(list(messages))  # type: ignore[arg-type]  # as far as it looks, these are messages


def kinds(events: list[LiveEvent]) -> list[str]:
    return [event.kind for event in events]


def test_a_finding_is_told_at_once_and_pulses_until_its_rows_are_there() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert kinds(pace.events(findings(1), changed=True)) == ["discrepancy", "pulse"]
    told = []
    for _ in range(100):
        clock.seconds += 0.05
        told += kinds(pace.events([], changed=False))
    assert told == ["pulse", "pulse"]


def test_nothing_is_told_of_nothing() -> None:
    assert Pace(Clock()).events([], changed=False) == []


def test_pulses_come_once_a_second_at_most() -> None:
    clock = Clock()
    pace = Pace(clock)
    told = []
    for _ in range(200):
        told += kinds(pace.events([], changed=True))
        clock.seconds += 0.05
    assert told.count("pulse") == len(told)
    assert 9 <= len(told) <= 10


def test_a_storm_is_told_as_reloads() -> None:
    clock = Clock()
    pace = Pace(clock)
    told = []
    for _ in range(40):
        told += kinds(pace.events(findings(100), changed=True))
        clock.seconds += 0.1
    assert told.count("discrepancy") <= 4 * FINDINGS_PER_SECOND_MAX
    assert told.count("reload") >= 3
    clock.seconds += 1.0
    assert "reload" in kinds(pace.events([], changed=False))


def test_a_slow_listener_is_told_to_reload_and_holds_little() -> None:
    async def play() -> list[LiveEvent] | None:
        subscription = Subscription(asyncio.get_running_loop())
        for finding in findings(EVENTS_WAITING_MAX * 3):
            subscription.offer([LiveEvent("discrepancy", finding)])
        return await subscription.take(1)

    taken = asyncio.run(play())
    assert taken is not None
    assert taken[0] == RELOAD
    assert len(taken) <= EVENTS_WAITING_MAX


def test_a_listener_hears_in_order_waits_and_hears_the_end() -> None:
    async def play() -> list[Any]:
        subscription = Subscription(asyncio.get_running_loop())
        heard: list[Any] = [await subscription.take(0.01)]
        first, second = (LiveEvent("discrepancy", finding) for finding in findings(2))
        subscription.offer([first])
        subscription.offer([second, PULSE])
        heard.append(await subscription.take(1))
        subscription.end()
        heard.append(await subscription.take(1))
        return [*heard, first, second]

    nothing, taken, end, first, second = asyncio.run(play())
    assert nothing == []
    assert taken == [first, second, PULSE]
    assert end is None


def test_listeners_are_counted_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboards.web.live.SUBSCRIPTIONS_MAX", 2)

    async def play() -> None:
        hub = LiveHub("127.0.0.1:1")
        one, two = hub.subscribe(), hub.subscribe()
        assert one is not None
        assert two is not None
        assert hub.subscribe() is None
        hub.leave(one)
        hub.leave(one)
        assert hub.listeners == 1
        hub.stop()
        assert await two.take(1) is None
        assert hub.subscribe() is None

    asyncio.run(play())


def test_messages_are_read_and_what_cannot_be_read_only_counts_as_a_change() -> None:
    finding = {"discrepancy_id": "a"}
    assert read(Message("discrepancy.mismatch", orjson.dumps(finding))) == ([finding], True)
    assert read(Message("discrepancy.mismatch", b"{")) == ([], True)
    assert read(Message("discrepancy.mismatch", b"[1]")) == ([], True)
    assert read(Message("discrepancy.mismatch", None)) == ([], True)
    assert read(Message("trueup.quarantine", orjson.dumps(finding))) == ([], True)
    assert read(Message("discrepancy.mismatch", None, KafkaError(KafkaError._TRANSPORT, retriable=True))) == ([], False)
    with pytest.raises(KafkaException):
        read(Message("discrepancy.mismatch", None, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))


def test_amounts_come_as_decimals() -> None:
    told = with_amounts({"expected": "12.30", "actual": None, "rule": "stuck", "currency": "USD"})
    assert told == {
        "expected": Decimal("12.30"), "actual": None, "delta": None, "rule": "stuck", "currency": "USD",
        "difference": Decimal("-12.30"),
    }  # fmt: skip


class TalkingHub(LiveHub):
    """Tells every new listener the same events, and then that it ends."""

    events: list[LiveEvent]
    part = Part(ready=True)

    def run(self) -> None:
        self._stopping.wait()

    def subscribe(self) -> Subscription | None:
        made = super().subscribe()
        assert made is not None
        made.offer(self.events)
        return made


@pytest.fixture
def talking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setattr(live_page, "LASTS_SECONDS", 1.0)
    monkeypatch.setattr(live_page, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(live_page, "LOOK_SECONDS", 0.05)
    hub = TalkingHub("127.0.0.1:1")
    hub.events = [LiveEvent("discrepancy", {"discrepancy_id": "a" * 32, "rule": "stuck"}), PULSE]
    made = Stand(tmp_path, parts={"live": hub})
    yield made
    made.close()


def test_events_are_sent_as_they_are_named(talking: Stand) -> None:
    browser = talking.signed_in("vera", Role.VIEWER)
    answer = browser.get("/live", headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = [line.partition(": ")[2] for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names[:3] == ["beat", "discrepancy", "pulse"]
    assert "beat" in names[3:]
    assert names[-1] == "again"
    data = next(line for line in answer.text.splitlines() if line.startswith("data: {"))
    assert orjson.loads(data.removeprefix("data: ")) == {"discrepancy_id": "a" * 32, "rule": "stuck"}
    assert talking.board.live.listeners == 0


@pytest.mark.parametrize("row", ["no_such_row", "../base", "x" * 50])
def test_only_rows_of_ours_are_rendered(talking: Stand, row: str) -> None:
    browser = talking.signed_in("vera", Role.VIEWER)
    assert browser.get(f"/live?row={row}").status_code in {400, 404}


def test_whether_the_session_holds_can_be_asked(talking: Stand) -> None:
    browser = talking.signed_in("vera", Role.VIEWER)
    assert browser.get("/live/allowed").status_code == 204
    talking.clock.pass_minutes(60 * 24)
    sent = {"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1:8080/?a=b"}
    assert browser.get("/live/allowed", headers=sent).headers["hx-redirect"] == "/sign-in?next=%2F%3Fa%3Db"
