"""The audit log as one hash chain per (topic, partition): what an entry holds, how it is linked, where a chain breaks. Pure.

Every record that the case stage consumes gives one entry, in offset order. An entry depends on the log alone, so replays,
rebuilds and moved partitions write equal rows again.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple

import orjson

from streams.batch import Record

GENESIS: Final = "0" * 64
"""What the first entry of a chain is linked to."""

LOST: Final = "f" * 64
"""What an entry is linked to when the one before it should be in the audit log and is not: a break for ever."""


class Told(NamedTuple):
    """What one record said, in the words of people; times in µs since the epoch."""

    at_us: int
    discrepancy_id: str
    command_id: str
    kind: str
    actor: str
    outcome: str
    reason: str
    revision: int
    note: str


class Entry(NamedTuple):
    """One row of the table `audit_log`, in its column order; `body` is the record's value as it was read."""

    topic: str
    partition: int
    kafka_offset: int
    at_us: int
    discrepancy_id: str
    command_id: str
    kind: str
    actor: str
    outcome: str
    reason: str
    revision: int
    note: str
    body: bytes
    prev_hash: str
    hash: str


class Head(NamedTuple):
    """Where a chain goes on: the offset after its last entry, and that entry's hash."""

    end: int
    hash: str


class Break(NamedTuple):
    """The first place at which a chain is not what was written."""

    topic: str
    partition: int
    kafka_offset: int
    what: str


class Chain:
    """One chain while it is verified, entry by entry.

    `head` is the hash of the last entry, `length` how many there were, `end` the offset after the last one.
    """

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.head = GENESIS
        self.length = 0
        self.end = 0
        self.broken: Break | None = None

    def add(self, entry: Entry) -> None:
        """Check the next entry; after the first break nothing more is looked at."""
        if self.broken is not None:
            return
        what = ""
        if (entry.topic, entry.partition) != (self.topic, self.partition):
            what = "the row belongs to another chain"
        elif self.length and entry.kafka_offset < self.end:
            what = "the row is out of order"
        elif entry.prev_hash != self.head:
            what = "the row before it is missing or was changed"
        elif hash_of(entry) != entry.hash:
            what = "the row was changed"
        if what:
            self.broken = Break(self.topic, self.partition, entry.kafka_offset, what)
            return
        self.head, self.length, self.end = entry.hash, self.length + 1, entry.kafka_offset + 1

    def must_reach(self, committed: int) -> None:
        """Every record below the committed offset was consumed, so the entry just before it must be there."""
        if self.broken is None and self.end < committed:
            what = f"the chain ends before offset {committed - 1}, which was committed"
            self.broken = Break(self.topic, self.partition, self.end, what)


def entry_of(record: Record, told: Told, prev_hash: str) -> Entry:
    """The entry for a record, linked to the one before it."""
    entry = Entry(record.topic, record.partition, record.offset, *told, record.value or b"", prev_hash, "")
    return entry._replace(hash=hash_of(entry))


def hash_of(entry: Entry) -> str:
    """SHA-256 over the JSON list of all other columns, the body by its own SHA-256."""
    content = (*entry[:-3], sha256(entry.body).hexdigest(), entry.prev_hash)
    return sha256(orjson.dumps(content)).hexdigest()


def verify_chain(entries: Iterable[Entry]) -> Break | None:
    """The first break in the entries of one chain, which are given in offset order; None for a whole one."""
    chain: Chain | None = None
    for entry in entries:
        chain = chain or Chain(entry.topic, entry.partition)
        chain.add(entry)
    return chain.broken if chain else None
