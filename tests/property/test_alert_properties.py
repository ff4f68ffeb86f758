"""Laws of alerts: limits hold in every span, storms end, and a crash at any step neither loses nor doubles a message."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select

from dashboards.alerts.channels.exchange import Answer, Outcome, Post
from dashboards.alerts.courier import Courier
from dashboards.alerts.declared import DeclaredAlerts
from dashboards.alerts.digest import Member, digest_of, told_count
from dashboards.alerts.intake import Incoming, stored_offsets, take_in
from dashboards.alerts.outbox import recover
from dashboards.alerts.pace import ATTEMPTS_MAX, DELAY_US_MAX, Bucket, Limit, retry_delay_us
from dashboards.alerts.reminding import due_reminders, remind
from dashboards.alerts.storm import Storm, turn_of
from dashboards.alerts.tables import OUTBOX
from dashboards.alerts.vocabulary import RETRYING, SENDING, WAITING
from streams.codec import dumps, loads
from tests.alert_books import (
    CHANNEL,
    HEAD,
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
    notice,
    quick_store,
)


@given(
    st.integers(1, 120),
    st.sampled_from([SECOND_US, 60 * SECOND_US]),
    st.lists(st.integers(0, 20 * SECOND_US), min_size=1, max_size=300),
)
def test_no_span_has_more_messages_than_the_limit(count: int, within_us: int, pauses: list[int]) -> None:
    bucket, now_us, went = Bucket(Limit(count, within_us), 0), 0, []
    for pause in pauses:
        now_us += pause
        now_us += bucket.wait_us(now_us)
        assert bucket.wait_us(now_us) == 0
        bucket.take(now_us)
        went.append(now_us)
    assert went[0] > 0, "a new bucket is empty"
    for at, first in enumerate(went):
        assert sum(first <= other < first + within_us for other in went[at:]) <= count


@given(st.integers(1, 40), st.floats(0, 1, exclude_max=True), st.none() | st.integers(0, 10**12))
def test_retries_grow_are_bounded_and_wait_for_the_channel(attempts: int, luck: float, asked_us: int | None) -> None:
    delay_us = retry_delay_us(attempts, lambda: luck, asked_us)
    if attempts >= ATTEMPTS_MAX:
        assert delay_us is None
        return
    assert delay_us is not None
    assert delay_us >= min(DELAY_US_MAX, 2 * SECOND_US << (attempts - 1)) // 2
    assert delay_us >= min(asked_us or 0, 6 * 3600 * SECOND_US)
    assert delay_us <= max(DELAY_US_MAX, 6 * 3600 * SECOND_US)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 600))
def test_a_storm_ends_by_itself(recent: list[int], above: int, every_seconds: int) -> None:
    storm: Storm | None = None
    now_us = NOW_US
    for count in recent:
        turn = turn_of(storm, count, above, every_seconds * SECOND_US, now_us)
        assert (turn.storm is not None) or count <= above
        assert not turn.digest_now or storm is not None
        storm, now_us = turn.storm, now_us + SECOND_US
    quiet = turn_of(storm, 0, above, every_seconds * SECOND_US, now_us + every_seconds * SECOND_US)
    assert quiet.storm is None
    assert quiet.digest_now == (storm is not None)


@given(
    st.lists(
        st.tuples(st.sampled_from(["raised", "reminder", "resolved"]), st.integers(0, 9), st.integers(0, 10**20)),
        min_size=1,
        max_size=40,
    )
)
def test_a_digest_counts_all_and_adds_each_discrepancy_once(drawn: list[tuple[str, int, int]]) -> None:
    members = [
        Member(kind, notice(discrepancy_id=identifier(number), stake_minor=stake, rule=f"rule-{number}"))
        for kind, number, stake in drawn
    ]
    digest = digest_of(members)
    first: dict[str, int] = {}
    for member in members:
        if member.kind != "resolved":
            first.setdefault(member.notice.discrepancy_id, member.notice.stake_minor or 0)
    total = sum(first.values())
    assert told_count(digest) == len(members)
    assert digest.sums == ({"USD": f"{total // 100}.{total % 100:02}"} if first else {})
    assert len(digest.top) == min(5, len(first))
    assert type(digest).of(loads(dumps(digest.document()))) == digest


Step = tuple[int, str]
_HISTORIES = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["raise", "change", "resolve"])), min_size=1, max_size=14
)


def topic_of(steps: list[Step]) -> list[Incoming]:
    """Histories that a judge could tell, in one partition."""
    told: dict[int, tuple[int, bool, int]] = {}
    messages: list[Incoming] = []
    for number, action in steps:
        occurrence, is_open, version = told.get(number, (0, False, 0))
        if (action == "raise") == is_open:
            continue
        if action == "raise":
            occurrence += 1
        is_open = action != "resolve"
        version += 1
        told[number] = (occurrence, is_open, version)
        actual = f"{20 + version}.00"
        messages.append(incoming(number, occurrence, version, is_open=is_open, actual=actual, offset=len(messages)))
    return messages


class Crash(BaseException):
    """The process ends here."""


CRASHES_MAX = 25


class Fate:
    """Ends the process at every so many steps, until it has ended often enough."""

    def __init__(self, every: int, phase: int) -> None:
        self._every = every
        self._step = phase
        self.crashes = 0

    def __call__(self, *_: object) -> None:
        self._step += 1
        if self._step % self._every == 0 and self.crashes < CRASHES_MAX:
            self.crashes += 1
            raise Crash


class Line(Outside):
    """A way out on which the process may die before and after a message has arrived; some answers get lost."""

    def __init__(self, fate: Fate, lost: set[int]) -> None:
        super().__init__()
        self._fate = fate
        self._lost = lost

    def send(self, post: Post) -> Answer | Outcome:
        self._fate()
        answer = super().send(post)
        self._fate()
        return Outcome("again", "the answer was lost") if len(self.posts) in self._lost else answer


TURNS_MAX = 2_000
_OPEN = (WAITING, RETRYING, SENDING)


class World:
    """The process of alerts over a topic, in steps that a crash may end anywhere, and started again after each."""

    def __init__(
        self, store: Engine, alerts: DeclaredAlerts, topic: list[Incoming], batch: int, fate: Fate, lost: set[int]
    ) -> None:
        self.store = store
        self.alerts = alerts
        self.topic = topic
        self.batch = batch
        self.fate = fate
        self.clock = Clock()
        self.outside = Line(fate, lost)
        self.courier = self.start()

    def start(self) -> Courier:
        while True:
            with contextlib.suppress(Crash):
                recover(self.store, self.clock.now_us)
                return courier(self.store, self.alerts, self.outside, self.clock)

    def alive(self, step: Callable[[], None]) -> None:
        """Do a step; after a crash, start again."""
        try:
            self.fate()
            step()
            self.fate()
        except Crash:
            self.courier = self.start()

    def run(self) -> None:
        end = len(self.topic)
        while stored_offsets(self.store).get(("discrepancy.wrong-amount", 0), 0) < end:
            self.alive(self.take)
            self.alive(self.send)
        for _ in range(3):
            while due_reminders(self.store, self.clock.now_us):
                self.alive(self.remind)
            self.settle()
            self.clock.now_us += 5 * 3600 * SECOND_US
        self.settle()

    def settle(self) -> None:
        """Send until nothing waits, for longer than a storm lasts; a retry may be far away."""
        quiet = 0
        for _ in range(TURNS_MAX):
            before = len(self.outside.posts)
            self.alive(self.send)
            self.clock.now_us += 150 * SECOND_US
            quiet = quiet + 1 if len(self.outside.posts) == before else 0
            if quiet >= 4 and not self.waits():
                return
        raise AssertionError(f"messages still wait after {TURNS_MAX} turns")

    def waits(self) -> bool:
        with self.store.connect() as connection:
            return connection.execute(select(OUTBOX.c.key).where(OUTBOX.c.state.in_(_OPEN))).first() is not None

    def take(self) -> None:
        at = stored_offsets(self.store).get(("discrepancy.wrong-amount", 0), 0)
        # Kafka may hand over again what was taken in before.
        take_in(self.store, self.alerts, URGENCY, self.topic[max(0, at - 1) : at + self.batch], self.clock.now_us)

    def send(self) -> None:
        self.clock.now_us += self.courier.turn()

    def remind(self) -> None:
        ids = due_reminders(self.store, self.clock.now_us)
        remind(self.store, self.alerts, ids, dict.fromkeys(ids, "open"), self.clock.now_us)


@given(
    _HISTORIES,
    st.integers(1, 6),
    st.tuples(st.integers(2, 30), st.integers(0, 30)),
    st.sets(st.integers(1, 12), max_size=4),
    st.sampled_from([1, 1000]),
)
@settings(max_examples=30)
def test_a_crash_at_any_step_neither_loses_nor_doubles(
    steps: list[Step], batch: int, ends: tuple[int, int], lost: set[int], digest_above: int
) -> None:
    alerts = alerts_of(HEAD + CHANNEL + f"digest_above = {digest_above}\n" + ROUTE)
    topic, fate = topic_of(steps), Fate(*ends)
    with tempfile.TemporaryDirectory() as directory, quick_store(Path(directory)) as store:
        event.listen(store, "commit", fate)
        world = World(store, alerts, topic, batch, fate, lost)
        world.run()
        event.remove(store, "commit", fate)
        with store.connect() as connection:
            rows = {row.key: row for row in connection.execute(select(OUTBOX))}
    sent = Counter(world.outside.keys)
    newest = {orjson.loads(one.value or b"")["discrepancy_id"]: orjson.loads(one.value or b"") for one in topic}
    # Nothing is left over, and whatever was told in a digest was told by that digest.
    assert {row.state for row in rows.values()} <= {"sent", "digested", "superseded"}
    assert all(row.digest_key in sent for row in rows.values() if row.state == "digested")
    assert {key for key, row in rows.items() if row.state == "sent"} == set(sent)
    # Only a crash between sending and writing it down, or a lost answer, sends again, under the same key.
    assert sum(sent.values()) - len(sent) <= fate.crashes + len(lost)
    for number, value in newest.items():
        raised = rows.get(f"{number}:{value['occurrences']}:raised:own")
        if value["status"] != "auto-resolved":
            assert raised is not None
            assert raised.state != "superseded"
            assert [f"{number}:{value['occurrences']}:reminder-{n}:own" in rows for n in (1, 2)] == [True, False]
        elif raised is not None and raised.state != "superseded":
            assert f"{number}:{value['occurrences']}:resolved:own" in rows
        for key in [key for key in rows if key.startswith(number) and ":resolved:" in key]:
            occurrence = key.split(":")[1]
            assert rows[f"{number}:{occurrence}:raised:own"].state in {"sent", "digested"}
    order = world.outside.keys
    for key in sent:
        number, _, kind = key.partition(":")[0], "", key.split(":")[-2]
        if kind == "resolved" and key.replace(":resolved:", ":raised:") in sent:
            assert order.index(key) > max(
                at for at, one in enumerate(order) if one == key.replace(":resolved:", ":raised:")
            )
