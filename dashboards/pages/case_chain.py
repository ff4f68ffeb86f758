"""Whether the audit log's entries about one discrepancy are what was written: each one's hash, and its link to the one before.

This proves the entries themselves. That nothing was removed elsewhere only `trueup audit verify` can tell, which reads whole chains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from clickhouse_connect.driver.client import Client

from clickhouse.audit import ChainPlace, read_entries, read_hashes
from streams.audit_chain import GENESIS, Entry, hash_of

ENTRIES_MAX: Final = 200
LOOK_BACK: Final = 4
"""The entry before one is so many offsets before it at most: the broker's own records may lie between two."""

Link = Literal["whole", "changed", "broken", "unknown"]


class CheckedEntry(NamedTuple):
    """An entry of the audit log, and whether it is what was written.

    `link` is `changed` when the entry does not give its own hash, `broken` when the one before it has another hash than the
    entry says, `unknown` when that one was not found close by.
    """

    entry: Entry
    link: Link


def checked_entries(client: Client, database: str, discrepancy_id: str) -> list[CheckedEntry]:
    """The newest entries about a discrepancy, oldest first. Errors: UnavailableError."""
    entries = [Entry._make(row) for row in read_entries(client, database, discrepancy_id, ENTRIES_MAX)]
    before = [
        (_place(entry), entry.kafka_offset - step)
        for entry in entries
        for step in range(1, LOOK_BACK + 1)
        if entry.kafka_offset >= step
    ]
    hashes = read_hashes(client, database, before) if before else {}
    return check_entries(entries, hashes)


def check_entries(entries: Sequence[Entry], hashes: dict[ChainPlace, dict[int, str]]) -> list[CheckedEntry]:
    """Each entry with what became of it; `hashes` has those of the entries before, by chain and offset."""
    return [CheckedEntry(entry, _link(entry, hashes.get(_place(entry), {}))) for entry in entries]


def _link(entry: Entry, hashes: dict[int, str]) -> Link:
    if hash_of(entry) != entry.hash:
        return "changed"
    near = [
        hashes[offset]
        for offset in range(entry.kafka_offset - 1, entry.kafka_offset - 1 - LOOK_BACK, -1)
        if offset in hashes
    ]
    if not near:
        return "whole" if entry.prev_hash == GENESIS else "unknown"
    return "whole" if near[0] == entry.prev_hash else "broken"


def _place(entry: Entry) -> ChainPlace:
    return ChainPlace(entry.topic, entry.partition)
