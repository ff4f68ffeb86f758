"""Opens the case stage's stores: the local one if it is complete and not behind the group, else rebuilt from ClickHouse.

States come from `case_wide`, and each chain goes on from its last entry in `audit_log`. Both may be ahead of the committed
offsets: what is read again changes no state, and gives no second entry.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog
from clickhouse_connect.driver.client import Client

from clickhouse.audit import ChainPlace, read_end
from clickhouse.rebuild import Known, read_known, read_states
from clickhouse.schema import CASE_WIDE
from streams.audit_chain import GENESIS, LOST, Head
from streams.codec import dumps
from streams.store import CHAIN_HEAD, ENTITY, Meta, PartitionStore

_log = structlog.get_logger()


class CaseRecovery:
    """Opens the stores of the case stage.

    Args:
        directory: of this worker's stores of the stage.
        client: from `clickhouse.client.connect`.
        database: name of the ClickHouse database.
        batch_rows: states copied at a time.
    """

    def __init__(self, directory: Path, client: Client, database: str, *, batch_rows: int) -> None:
        self._directory = directory
        self._client = client
        self._database = database
        self._batch_rows = batch_rows

    def open(self, number: int, committed: Mapping[str, int]) -> tuple[PartitionStore, Meta]:
        """The partition's store, complete and at least as new as the committed offsets (topic → next offset).

        Errors: UnavailableError when ClickHouse does not answer, or not with all of its rows.
        """
        path = self._directory / f"{number:05d}"
        store = PartitionStore(path)
        meta = store.meta()
        known = read_known(self._client, self._database, CASE_WIDE, number)
        if meta is None or any(meta.ends.get(topic, 0) < offset for topic, offset in committed.items()):
            store.destroy()
            store = PartitionStore(path)
            return store, self._rebuild(store, number, committed, known)
        ends = {topic: meta.ends.get(topic, 0) for topic in {*meta.ends, *committed}}
        return store, meta._replace(ends=ends, version=max(meta.version, known.version))

    def _rebuild(self, store: PartitionStore, number: int, committed: Mapping[str, int], known: Known) -> Meta:
        started = time.monotonic()
        copied = 0
        batches = read_states(
            self._client,
            self._database,
            CASE_WIDE,
            number,
            batch_rows=self._batch_rows,
            rows_min=lambda: known.rows,
            due_column="snoozed_until",
        )
        for batch in batches:
            store.load([(ENTITY + key, state) for key, state in zip(batch.keys, batch.states, strict=True)])
            copied += len(batch.keys)
        store.load([(CHAIN_HEAD + topic.encode(), dumps(head)) for topic, head in self._heads(number, committed)])
        meta = Meta(dict(committed), 0, known.version, 0)
        store.complete(meta)
        seconds = round(time.monotonic() - started, 2)
        _log.info("state_rebuilt", table=CASE_WIDE.name, partition=number, entities=copied, seconds=seconds)
        return meta

    def _heads(self, number: int, committed: Mapping[str, int]) -> Iterator[tuple[str, Head]]:
        """Topic and head of its chain; where entries below the committed offset are missing, a head that shows the gap."""
        for topic, offset in committed.items():
            end, last = read_end(self._client, self._database, ChainPlace(topic, number)) or (0, GENESIS)
            if end < offset:
                _log.error("audit_chain_lost", topic=topic, partition=number, end=end, committed=offset)
                end, last = offset, LOST
            yield topic, Head(end, last)
