"""From messages of the topics to messages of a channel: once each, digests in storms, reminders, what is given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from dashboards.alerts.channels.exchange import Answer, Outcome, Post
from dashboards.alerts.intake import take_in
from dashboards.alerts.outbox import (
    counts,
    dead_letters,
    drop_dead,
    forget_channels,
    retry_dead,
    storms,
    sweep,
)
from dashboards.alerts.pace import ATTEMPTS_MAX
from dashboards.alerts.reminding import due_reminders, remind
from dashboards.alerts.tables import OUTBOX
from tests.alert_books import (
    CHANNEL,
    HEAD,
    HOUR_US,
    NOW_US,
    ROUTE,
    SECOND_US,
    URGENCY,
    Clock,
    Outside,
    alerts_of,
    courier,
    identifier,
    incoming,
    quick_store,
    send_all,
)

ALERTS = alerts_of()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    with quick_store(tmp_path) as held:
        yield held


def test_one_alert_for_a_discrepancy_however_often_it_is_told(store: Engine) -> None:
    clock, outside = Clock(), Outside()
    one = courier(store, ALERTS, outside, clock)
    for version in (1, 2, 3):
        take_in(store, ALERTS, URGENCY, [incoming(1, version=version, actual=f"{version}9.00", offset=version)], NOW_US)
        send_all(one, clock, 2)
    # Kafka hands over again what was taken in.
    assert take_in(store, ALERTS, URGENCY, [incoming(1, version=1, offset=1)], NOW_US).fresh == 0
    send_all(one, clock, 2)
    assert outside.keys == [f"{identifier(1)}:1:raised:own"]
    assert outside.bodies[0]["discrepancy"]["actual"] == "19.00"


def test_a_resolution_is_told_where_the_alert_went_and_a_new_occurrence_again(store: Engine) -> None:
    clock, outside = Clock(), Outside()
    one = courier(store, ALERTS, outside, clock)
    for offset, (occurrence, is_open) in enumerate([(1, True), (1, False), (2, True)]):
        message = incoming(1, occurrence, offset + 1, is_open=is_open, offset=offset)
        take_in(store, ALERTS, URGENCY, [message], clock.now_us)
        send_all(one, clock, 2)
    assert [key.removeprefix(identifier(1)) for key in outside.keys] == [
        ":1:raised:own",
        ":1:resolved:own",
        ":2:raised:own",
    ]


def test_what_agrees_again_before_it_was_told_is_not_told(store: Engine) -> None:
    clock, outside = Clock(), Outside()
    take_in(store, ALERTS, URGENCY, [incoming(1, offset=0)], NOW_US)
    take_in(store, ALERTS, URGENCY, [incoming(1, version=2, is_open=False, offset=1)], NOW_US)
    send_all(courier(store, ALERTS, outside, clock), clock, 60)
    assert outside.posts == []


def test_what_waits_is_told_as_the_books_stand_when_it_goes(store: Engine) -> None:
    clock, outside = Clock(), Outside()
    take_in(store, ALERTS, URGENCY, [incoming(1, offset=0)], NOW_US)
    take_in(store, ALERTS, URGENCY, [incoming(1, version=2, actual="77.00", offset=1)], NOW_US)
    send_all(courier(store, ALERTS, outside, clock), clock, 2)
    assert [body["discrepancy"]["actual"] for body in outside.bodies] == ["77.00"]


def test_a_resolution_does_not_overtake_an_alert_that_is_tried_again(store: Engine) -> None:
    clock = Clock()
    down = {"is": True}

    def answer(_post: Post) -> Answer | Outcome:
        return Outcome("again", "down") if down["is"] else Answer(200, {}, b"")

    outside = Outside(answer)
    one = courier(store, ALERTS, outside, clock)
    take_in(store, ALERTS, URGENCY, [incoming(1, offset=0)], NOW_US)
    send_all(one, clock, 1)
    take_in(store, ALERTS, URGENCY, [incoming(1, version=2, is_open=False, offset=1)], clock.now_us)
    send_all(one, clock, 3)
    tried = len(outside.posts)
    down["is"] = False
    send_all(one, clock, 600, pace_us=SECOND_US)
    kinds = [key.split(":")[2] for key in outside.keys]
    assert tried >= 1
    assert kinds == ["raised"] * (tried + 1) + ["resolved"]


def test_a_message_that_cannot_be_read_is_counted_and_the_rest_is_taken(store: Engine) -> None:
    broken = incoming(1)._replace(value=b"{", offset=0)
    taken = take_in(store, ALERTS, URGENCY, [broken, incoming(2, offset=1)], NOW_US)
    assert (taken.fresh, taken.unreadable) == (2, 1)
    assert counts(store) == {("own", "waiting"): 1}


def test_five_thousand_findings_are_few_messages(store: Engine) -> None:
    clock, outside = Clock(), Outside()
    one = courier(store, ALERTS, outside, clock)
    for start in range(0, 5_000, 500):
        messages = [incoming(number, offset=number, actual="9.00") for number in range(start, start + 500)]
        take_in(store, ALERTS, URGENCY, messages, clock.now_us)
        send_all(one, clock, 1)
    assert storms(store).keys() == {"own"}
    send_all(one, clock, 900, pace_us=5 * SECOND_US)
    assert storms(store) == {}
    digests = [body["digest"] for body in outside.bodies if body["event"] == "digest"]
    singles = [body for body in outside.bodies if body["event"] == "raised"]
    assert len(outside.posts) <= 15
    assert sum(sum(one["kinds"].values()) for one in digests) + len(singles) == 5_000
    assert sum(Decimal(one["sums"]["USD"]) for one in digests) + len(singles) == 5_000
    take_in(store, ALERTS, URGENCY, [incoming(6_000, offset=6_000)], clock.now_us)
    send_all(one, clock, 2)
    assert outside.bodies[-1]["event"] == "raised"


def test_a_few_alerts_are_told_one_by_one(store: Engine) -> None:
    clock, outside = Clock(), Outside()
    take_in(store, ALERTS, URGENCY, [incoming(number, offset=number) for number in range(10)], NOW_US)
    send_all(courier(store, ALERTS, outside, clock), clock, 10)
    assert Counter(body["event"] for body in outside.bodies) == {"raised": 10}


def test_reminders_come_at_growing_distances_until_it_is_over(store: Engine) -> None:
    clock, outside = Clock(), Outside()
    one = courier(store, ALERTS, outside, clock)
    take_in(store, ALERTS, URGENCY, [incoming(1, offset=0)], NOW_US)
    reminded = []
    for hour in range(90):
        clock.now_us = NOW_US + hour * HOUR_US
        ids = due_reminders(store, clock.now_us)
        if remind(store, ALERTS, ids, dict.fromkeys(ids, "open"), clock.now_us):
            reminded.append(hour)
        send_all(one, clock, 2)
        if hour == 80:
            resolved = incoming(1, version=2, is_open=False, offset=1)
            take_in(store, ALERTS, URGENCY, [resolved], clock.now_us)
    assert reminded == [4, 28, 52, 76]
    assert [body["event"] for body in outside.bodies] == ["raised", *["reminder"] * 4, "resolved"]
    assert [body["reminder"] for body in outside.bodies] == [0, 1, 2, 3, 4, 0]


@pytest.mark.parametrize("standing", ["acknowledged", "assigned", "snoozed", "waive-requested", "waived", "resolved"])
def test_nobody_is_reminded_of_what_somebody_deals_with(store: Engine, standing: str) -> None:
    take_in(store, ALERTS, URGENCY, [incoming(1, offset=0)], NOW_US)
    later_us = NOW_US + 5 * HOUR_US
    ids = due_reminders(store, later_us)
    assert ids == [identifier(1)]
    assert remind(store, ALERTS, ids, {identifier(1): standing}, later_us) == 0
    assert due_reminders(store, later_us) == []
    # A decision may lapse: then it is reminded of again.
    much_later_us = later_us + 4 * HOUR_US
    assert remind(store, ALERTS, due_reminders(store, much_later_us), {identifier(1): "open"}, much_later_us) == 1


def test_a_failing_channel_is_tried_with_growing_pauses_and_given_up_with_the_reason(store: Engine) -> None:
    clock, outside = Clock(), Outside(lambda _: Answer(500, {}, b"out of order"))
    one = courier(store, ALERTS, outside, clock)
    take_in(store, ALERTS, URGENCY, [incoming(1, offset=0)], NOW_US)
    send_all(one, clock, 8 * 3600, pace_us=20 * SECOND_US)
    assert len(outside.posts) == ATTEMPTS_MAX
    assert len(set(outside.keys)) == 1
    (letter,) = dead_letters(store, 10)
    assert (letter.attempts, letter.reason) == (ATTEMPTS_MAX, "HTTP 500: out of order")
    assert retry_dead(store, [letter.number], clock.now_us) == 1
    outside._answer = lambda _: Answer(200, {}, b"")
    send_all(one, clock, 60)
    assert len(outside.posts) == ATTEMPTS_MAX + 1
    assert dead_letters(store, 10) == []


def test_a_refused_message_is_given_up_at_once_and_can_be_dropped(store: Engine) -> None:
    clock, outside = Clock(), Outside(lambda _: Answer(404, {}, b"no_service"))
    take_in(store, ALERTS, URGENCY, [incoming(1, offset=0), incoming(2, offset=1)], NOW_US)
    send_all(courier(store, ALERTS, outside, clock), clock, 10)
    assert len(outside.posts) == 2
    assert counts(store) == {("own", "dead"): 2}
    assert drop_dead(store, None, clock.now_us) == 2
    assert counts(store) == {}


def test_what_a_channel_asks_for_is_honoured(store: Engine) -> None:
    clock, outside = Clock(), Outside(lambda _: Answer(429, {"retry-after": "90"}, b""))
    one = courier(store, ALERTS, outside, clock)
    take_in(store, ALERTS, URGENCY, [incoming(number, offset=number) for number in range(3)], NOW_US)
    send_all(one, clock, 89, pace_us=SECOND_US)
    assert len(outside.posts) == 1, "the others wait as well"
    outside._answer = lambda _: Answer(200, {}, b"")
    send_all(one, clock, 120, pace_us=SECOND_US)
    assert len(outside.posts) == 4


def test_what_waits_for_a_channel_that_is_gone_is_kept_as_dead(store: Engine) -> None:
    take_in(store, ALERTS, URGENCY, [incoming(1, offset=0)], NOW_US)
    assert forget_channels(store, ["other"], NOW_US) == 1
    assert "no longer in the file" in dead_letters(store, 1)[0].reason


def test_secrets_do_not_come_back_in_reasons(store: Engine) -> None:
    clock, outside = Clock(), Outside(lambda _: Answer(400, {}, b"bad https://alerts.example.com/hook with s3cret"))
    take_in(store, ALERTS, URGENCY, [incoming(1, offset=0)], NOW_US)
    send_all(courier(store, ALERTS, outside, clock), clock, 2)
    assert dead_letters(store, 1)[0].reason == "HTTP 400: bad … with …"


def test_old_messages_are_forgotten_but_not_what_waits_or_was_given_up(store: Engine) -> None:
    clock, outside = Clock(), Outside()
    take_in(store, ALERTS, URGENCY, [incoming(1, offset=0)], NOW_US)
    send_all(courier(store, ALERTS, outside, clock), clock, 2)
    take_in(store, ALERTS, URGENCY, [incoming(2, offset=1)], NOW_US)
    assert sweep(store, NOW_US + 20 * 24 * HOUR_US) == 0
    assert sweep(store, NOW_US + 40 * 24 * HOUR_US) == 1
    with store.connect() as connection:
        assert [row.state for row in connection.execute(select(OUTBOX))] == ["waiting"]


def test_languages_do_not_mix_in_a_digest(store: Engine) -> None:
    routes = ROUTE.replace('"all"', '"zh"') + 'language = "zh"\nsellers = ["7"]\n' + ROUTE
    alerts = alerts_of(HEAD + CHANNEL + routes)
    clock, outside = Clock(), Outside()
    messages = [incoming(number, offset=number, shop_id="7" if number % 3 else "8") for number in range(60)]
    take_in(store, alerts, URGENCY, messages, NOW_US)
    send_all(courier(store, alerts, outside, clock), clock, 400, pace_us=SECOND_US)
    told = {body["language"]: sum(body["digest"]["kinds"].values()) for body in outside.bodies}
    assert told == {"zh": 40, "en": 20}


def test_a_channel_is_kept_within_its_limit(store: Engine) -> None:
    text = HEAD + CHANNEL.replace("per_second = 1000", "per_minute = 5") + "digest_above = 1000\n" + ROUTE
    alerts = alerts_of(text)
    went: list[int] = []
    clock = Clock()

    def note(_post: Post) -> Answer:
        went.append(clock.now_us)
        return Answer(200, {}, b"")

    take_in(store, alerts, URGENCY, [incoming(number, offset=number) for number in range(20)], NOW_US)
    send_all(courier(store, alerts, Outside(note), clock), clock, 300, pace_us=SECOND_US)
    assert len(went) == 20
    assert all(sum(first <= at < first + 60 * SECOND_US for at in went) <= 5 for first in went)
