"""Sets what must not stay open: late but honest billing, rolled-back work, stalled sources, repeated and shuffled events."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class, whatever its name looks like

from cdc.message_batches import poll_batch
from trueup.model.errors import UnavailableError
from trueup.upstream.books import open_statement
from trueup.upstream.faults import take_plain_order
from trueup.upstream.plan import Books, PlannedOrder, PlannedStatement, Trap

LATE_WITHIN_GRACE: Final = "late-within-grace"
LATE_BEYOND_GRACE: Final = "late-beyond-grace"
ROLLED_BACK: Final = "rolled-back"
SOURCE_STALLED: Final = "source-stalled"

NEVER_RAISED: Final = "never-raised"
RAISED_THEN_RESOLVED: Final = "raised-then-resolved"

STALL_TRAPS_MAX: Final = 200
"""So many orders of one stall are recorded at most."""

RESEND_MAX: Final = 200_000
"""So many messages are held in memory to be sent again at most."""

READ_TIMEOUT_SECONDS: Final = 30.0
"""Without a message for so long, reading what is to be sent again has failed."""

DELIVERY_TIMEOUT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.5
_FETCH_MESSAGES: Final = 2_000


def plant_traps(books: Books, copies: int, rng: random.Random) -> None:
    """Choose orders for the traps of late billing and of rolled-back work. Call it before payouts are planned.

    Raises:
        ConfigurationError: the run is too small for so many.
    """
    for place, kind in enumerate((LATE_WITHIN_GRACE, LATE_BEYOND_GRACE, ROLLED_BACK)):
        for copy in range(copies):
            round_no = (place + copy * len(books.rounds) // copies) % len(books.rounds)
            statement, order = take_plain_order(books, round_no, rng)
            trap_id = f"run{books.run_no}-{kind}-{copy + 1}"
            if kind == ROLLED_BACK:
                order.traps = _rolled_back(books, order, trap_id)
            else:
                _delay(books, statement, order)
                expectation = NEVER_RAISED if kind == LATE_WITHIN_GRACE else RAISED_THEN_RESOLVED
                order.traps = (Trap(trap_id, kind, "", "missing-billing", "order", order.order_id, expectation),)


def _delay(books: Books, statement: PlannedStatement, order: PlannedOrder) -> None:
    statement.orders.remove(order)
    statement.delayed.append(order)
    shop = statement.shop
    if shop.shop_id not in books.late:
        books.late[shop.shop_id] = open_statement(books, shop, len(books.rounds))
    books.late[shop.shop_id].orders.append(order)


def _rolled_back(books: Books, order: PlannedOrder, trap_id: str) -> tuple[Trap, ...]:
    note = "billed wrongly in a transaction that was rolled back"
    ghost = "completed in a transaction that was rolled back"
    return (
        Trap(trap_id, ROLLED_BACK, note, "wrong-billing-amount", "order", order.order_id, NEVER_RAISED),
        Trap(trap_id, ROLLED_BACK, ghost, "missing-billing", "order", books.ghost_id(), NEVER_RAISED),
    )


def record_stall_window(
    connection: Connection, began_at: datetime, ended_at: datetime, grace_seconds: float, label: str
) -> int:
    """Record the orders that were completed and billed in time while a source was stalled; commits.

    Args:
        connection: to the source database.
        began_at: database time at which reading the source stopped.
        ended_at: database time at which it went on.
        grace_seconds: what the rules are set to.
        label: tells this stall from others.

    Returns:
        How many orders were recorded, STALL_TRAPS_MAX at most, those first that had to wait longest.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO truth.trap (trap_id, kind, note, rule, entity_kind, entity_id, expectation)
            SELECT %(kind)s || '-' || %(label)s, %(kind)s, 'billed in time while the source was stalled',
                   'missing-billing', 'order', o.order_id::text, %(expectation)s
            FROM public.orders o
            WHERE o.completed_at BETWEEN %(began)s AND %(ended)s
              AND EXISTS (SELECT FROM public.billing_item b
                          WHERE b.order_id = o.order_id AND b.kind = 'sale'
                            AND b.created_at < o.completed_at + 0.9 * make_interval(secs => %(grace)s))
              AND NOT EXISTS (SELECT FROM truth.trap t WHERE t.entity_kind = 'order' AND t.entity_id = o.order_id::text)
            ORDER BY o.completed_at, o.order_id
            LIMIT %(limit)s
            """,
            {
                "kind": SOURCE_STALLED,
                "label": label,
                "expectation": NEVER_RAISED,
                "began": began_at,
                "ended": ended_at,
                "grace": grace_seconds,
                "limit": STALL_TRAPS_MAX,
            },
        )
        return cursor.rowcount


@dataclass(frozen=True, slots=True)
class _Copy:
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]]


def resend(bootstrap: str, topics: Sequence[str], seed: int, count: int) -> int:
    """Send events again, as they were, in a random order: each twice, and older versions of a row after newer ones.

    Args:
        bootstrap: address of the broker.
        topics: those of source tables; each copy goes to the topic and partition of its original.
        seed: decides which events are taken, from all that the topics hold now, and in which order.
        count: how many, RESEND_MAX at most; fewer when the topics hold fewer.

    Returns:
        How many were sent.

    Raises:
        UnavailableError: the broker did not hand out or did not take the messages.
    """
    rng = random.Random(seed)
    copies = _sample(bootstrap, topics, rng, min(count, RESEND_MAX))
    rng.shuffle(copies)
    failures: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(str(error))

    # Idempotence keeps retries from adding disorder of their own, which the seed would not decide.
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 20})
    for copy in copies:
        while True:
            try:
                producer.produce(copy.topic, copy.value, copy.key, copy.partition, delivered, headers=copy.headers)
                break
            except BufferError:
                producer.poll(_POLL_SECONDS)
        producer.poll(0)
    left = producer.flush(DELIVERY_TIMEOUT_SECONDS)
    if left or failures:
        reason = failures[0] if failures else f"{left} messages were not taken in time"
        raise UnavailableError(f"events could not be sent again: {reason}", where=bootstrap)
    return len(copies)


def _sample(bootstrap: str, topics: Sequence[str], rng: random.Random, count: int) -> list[_Copy]:
    """A uniform sample of what the topics hold now (Vitter's algorithm R), reading each message once.

    Topics are read one after the other and partitions in the order of their numbers, so that the seed alone decides.
    """
    sample: list[_Copy] = []
    seen = 0
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "trueup-upstream-resend",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        }
    )
    try:
        for topic in topics:
            for message in _messages(consumer, topic):
                seen += 1
                if len(sample) < count:
                    sample.append(_copy(message))
                elif (place := rng.randrange(seen)) < count:
                    sample[place] = _copy(message)
    except KafkaException as error:
        raise UnavailableError(f"the topics cannot be read: {error}", where=bootstrap) from error
    finally:
        consumer.close()
    return sample


def _messages(consumer: Consumer, topic: str) -> Iterator[Message]:
    """Every message that the topic holds at the beginning, partition by partition."""
    described = consumer.list_topics(topic, READ_TIMEOUT_SECONDS).topics[topic]
    if described.error is not None:
        raise KafkaException(described.error)
    for partition in sorted(described.partitions):
        place = TopicPartition(topic, partition)
        low, high = consumer.get_watermark_offsets(place, READ_TIMEOUT_SECONDS)
        consumer.assign([TopicPartition(topic, partition, low)])
        at, silent_polls = low, 0
        while at < high:
            batch = poll_batch(consumer, _FETCH_MESSAGES, _POLL_SECONDS)
            silent_polls = 0 if batch else silent_polls + 1
            if silent_polls * _POLL_SECONDS > READ_TIMEOUT_SECONDS:
                raise UnavailableError("no message came in time", where=f"{topic}/{partition} at offset {at} of {high}")
            for message in batch:
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    at = high  # the last offsets may be gaps that no message fills
                    break
                if error is not None:
                    raise KafkaException(error)
                offset = message.offset()
                assert offset is not None
                if offset >= high:
                    at = high
                    break
                at = offset + 1
                yield message


def _copy(message: Message) -> _Copy:
    topic, partition = message.topic(), message.partition()
    assert topic is not None
    assert partition is not None
    headers = message.headers() or []
    if isinstance(headers, dict):
        headers = list(headers.items())
    return _Copy(topic, partition, message.key(), message.value(), headers)
