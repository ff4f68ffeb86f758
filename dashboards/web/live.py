"""Findings as they are published, passed on to open pages: one thread that reads the topics, and who listens to it.

Nothing here keeps an offset: a page that was away reloads, so every reading begins at the end of the topics. What a
listener has not taken is bounded; one that is too slow is told to reload instead of hearing each finding.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import orjson
import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaException, Message, TopicPartition

from cdc.message_batches import poll_batch
from cdc.topics import QUARANTINE_TOPIC
from reconcile.finding import DISCREPANCY_CLASSES
from streams.messages import DISCREPANCY_PREFIX
from trueup.model.health import Part

_logger = structlog.get_logger()

FINDING_TOPICS: Final = tuple(DISCREPANCY_PREFIX + kind for kind in DISCREPANCY_CLASSES)
OTHER_TOPICS: Final = (QUARANTINE_TOPIC,)
"""What also changes pages, though nobody pushes it row by row."""

POLL_SECONDS: Final = 0.05
FETCH_WAIT_MS: Final = 100
"""How long a request for messages may rest at the broker, which answers as soon as there is one."""

FETCHED_KBYTES_MAX: Final = 4_096
BATCH_MAX: Final = 500
RETRY_SECONDS: Final = 2.0
METADATA_SECONDS: Final = 5.0
ASK_SECONDS: Final = 5.0
"""How often the broker is asked whether it is there."""

PULSE_SECONDS: Final = 1.0
"""Pages ask again at most so often."""

SETTLING_SECONDS: Final = 2.5
"""So long after a finding its rows may still be on their way to ClickHouse; until then pages keep being told to ask."""

FINDINGS_PER_SECOND_MAX: Final = 50
"""In a storm of more, nobody could read rows: pages are told to reload instead."""

EVENTS_WAITING_MAX: Final = 200
SUBSCRIPTIONS_MAX: Final = 500


class LiveEvent(NamedTuple):
    """Something for open pages: a finding as its message has it, `pulse` (something changed) or `reload` (much did)."""

    kind: Literal["discrepancy", "pulse", "reload"]
    finding: Mapping[str, Any] | None = None


PULSE: Final = LiveEvent("pulse")
RELOAD: Final = LiveEvent("reload")


class Subscription:
    """One listener: the hub's thread offers, the listener's event loop takes.

    Args:
        loop: the event loop in which `take` is awaited.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: list[LiveEvent] = []
        self._ready = asyncio.Event()
        self._told = False
        self._over = False

    def offer(self, events: Sequence[LiveEvent]) -> None:
        """Leave events for the listener, from any thread; when too many wait, one `reload` stands for all."""
        with self._lock:
            together = [*self._waiting, *events]
            self._waiting = together if len(together) <= EVENTS_WAITING_MAX else [RELOAD]
            self._tell()

    def end(self) -> None:
        """No more events will come."""
        with self._lock:
            self._over = True
            self._tell()

    async def take(self, timeout_seconds: float) -> list[LiveEvent] | None:
        """What has come since the last time, waiting for it; [] when nothing came in time, None after the end."""
        try:
            await asyncio.wait_for(self._ready.wait(), timeout_seconds)
        except TimeoutError:
            return []
        with self._lock:
            events, self._waiting = self._waiting, []
            self._ready.clear()
            self._told = False
            return None if self._over else events

    def _tell(self) -> None:
        if self._told or self._loop.is_closed():
            return
        self._told = True
        self._loop.call_soon_threadsafe(self._ready.set)


class Pace:
    """Turns findings into what pages are told: each one, up to so many a second, and a pulse while something changes.

    Args:
        now_seconds: a clock that never goes back.
    """

    def __init__(self, now_seconds: Callable[[], float]) -> None:
        self._now = now_seconds
        self._second = 0.0
        self._told = 0
        self._storm = False
        self._changing_until = 0.0
        self._pulsed_at = 0.0

    def events(self, findings: Sequence[Mapping[str, Any]], *, changed: bool) -> list[LiveEvent]:
        """What to tell after one poll; `changed` when other messages came."""
        now = self._now()
        events: list[LiveEvent] = []
        if now - self._second >= 1.0:
            events += [RELOAD] if self._storm else []
            self._second, self._told, self._storm = now, 0, False
        room = max(0, FINDINGS_PER_SECOND_MAX - self._told)
        events += [LiveEvent("discrepancy", finding) for finding in findings[:room]]
        self._told += len(findings)
        self._storm = self._storm or len(findings) > room
        if findings or changed:
            self._changing_until = now + SETTLING_SECONDS
        if now <= self._changing_until and now - self._pulsed_at >= PULSE_SECONDS:
            self._pulsed_at = now
            events.append(PULSE)
        return events


class LiveHub(threading.Thread):
    """Reads the discrepancy topics from their end and tells every subscription.

    Args:
        bootstrap: address of the broker, host:port.
    """

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="live", daemon=True)
        self._broker = bootstrap
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription] = set()
        self._part = Part(ready=False)

    @property
    def part(self) -> Part:
        """Whether the topics are being read, and the last error."""
        return self._part

    @property
    def listeners(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)

    def subscribe(self) -> Subscription | None:
        """A new listener, of the running event loop; None when there are too many."""
        subscription = Subscription(asyncio.get_running_loop())
        with self._lock:
            if len(self._subscriptions) >= SUBSCRIPTIONS_MAX or self._stopping.is_set():
                return None
            self._subscriptions.add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Forget a listener."""
        with self._lock:
            self._subscriptions.discard(subscription)

    def stop(self) -> None:
        """End the thread and all subscriptions; waits for the thread if it runs."""
        self._stopping.set()
        for subscription in self._current():
            subscription.end()
        if self.is_alive():
            self.join(timeout=10)

    def tell(self, events: Sequence[LiveEvent]) -> None:
        """Pass events on to everybody who listens."""
        if events:
            for subscription in self._current():
                subscription.offer(events)

    def run(self) -> None:
        """Read until stopped; a broker that is away is tried again."""
        while not self._stopping.is_set():
            try:
                self._read()
            except KafkaException as error:
                if self._part.ready or not self._part.error:
                    _logger.warning("live_interrupted", error=str(error))
                self._part = Part(ready=False, error=str(error))
                self._stopping.wait(RETRY_SECONDS)

    def _read(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._broker,
                # Named because the client insists; partitions are assigned by hand, so no group forms.
                "group.id": "trueup-dashboard",
                "enable.auto.commit": False,
                "auto.offset.reset": "latest",
                "fetch.wait.max.ms": FETCH_WAIT_MS,
                "queued.max.messages.kbytes": FETCHED_KBYTES_MAX,
            }
        )
        try:
            consumer.assign(_ends(consumer))
            pace = Pace(time.monotonic)
            asked_at = 0.0
            while not self._stopping.is_set():
                if time.monotonic() - asked_at > ASK_SECONDS:
                    # The client itself reconnects in silence; a page must know that it hears nothing meanwhile.
                    consumer.list_topics(FINDING_TOPICS[0], timeout=METADATA_SECONDS)
                    asked_at = time.monotonic()
                    self._heard()
                messages = poll_batch(consumer, BATCH_MAX, POLL_SECONDS)
                findings, changed = read_messages(messages)
                self.tell(pace.events(findings, changed=changed))
        finally:
            consumer.close()

    def _heard(self) -> None:
        """The broker answers; after a time in which it did not, pages have missed something."""
        if not self._part.ready:
            if self._part.error:
                self.tell([RELOAD])
            self._part = Part(ready=True, error=self._part.error)

    def _current(self) -> list[Subscription]:
        with self._lock:
            return list(self._subscriptions)


def read_messages(messages: Sequence[Message]) -> tuple[list[dict[str, Any]], bool]:
    """The findings among the messages, and whether anything came at all; what cannot be read is only counted as a change."""
    findings = []
    changed = False
    for message in messages:
        error, value = message.error(), message.value()
        if error is not None:
            if not error.retriable():
                raise KafkaException(error)
            continue
        changed = True
        if value is not None and message.topic() in FINDING_TOPICS:
            try:
                finding = orjson.loads(value)
            except orjson.JSONDecodeError:
                continue
            if isinstance(finding, dict):
                findings.append(finding)
    return findings, changed


def _ends(consumer: Consumer) -> list[TopicPartition]:
    """The end of every partition of the topics. Errors: KafkaException while the broker or a topic is not there."""
    found = []
    for topic in (*FINDING_TOPICS, *OTHER_TOPICS):
        metadata = consumer.list_topics(topic, timeout=METADATA_SECONDS).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        found += [TopicPartition(topic, partition, OFFSET_END) for partition in metadata.partitions]
    return found
