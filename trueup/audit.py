"""Proof that the audit log is what the workers wrote: every chain recomputed, and compared with what they committed."""

from __future__ import annotations

from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from clickhouse.audit import ChainPlace, chains, read_chain
from streams.audit_chain import Break, Chain, Entry
from streams.case_partition import CASE_TOPICS
from trueup.kafka_lag import committed_offsets
from trueup.settings import Settings


class ChainReport(NamedTuple):
    """One verified chain: its length, the hash of its last entry, and its first break, if any.

    `committed` is the offset up to which it must reach, None where the broker cannot tell.
    """

    topic: str
    partition: int
    length: int
    head: str
    committed: int | None
    broken: Break | None


def verify_audit(settings: Settings, client: Client) -> list[ChainReport]:
    """Recompute every chain from its first row. Errors: UnavailableError when ClickHouse or Kafka does not answer."""
    database = settings.clickhouse.database
    # Asked for first: the rows below a committed offset were written before it was.
    committed = committed_offsets(settings)
    reached = {ChainPlace(*place): end for place, end in (committed or {}).items() if place[0] in CASE_TOPICS}
    places = sorted({*chains(client, database), *(place for place, end in reached.items() if end > 0)})
    return [
        _verified(client, database, place, None if committed is None else reached.get(place, 0)) for place in places
    ]


def _verified(client: Client, database: str, place: ChainPlace, committed: int | None) -> ChainReport:
    chain = Chain(*place)
    for batch in read_chain(client, database, place):
        for row in batch:
            chain.add(Entry._make(row))
        if chain.broken is not None:
            break
    chain.must_reach(committed or 0)
    return ChainReport(*place, chain.length, chain.head, committed, chain.broken)
