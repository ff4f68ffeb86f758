"""Opens a partition's state: the local store if it is complete and not behind the group, else rebuilt from ClickHouse.

ClickHouse is written before offsets are committed, so its wide rows are at least as new as the committed offsets:
reading on from there replays a little, which registers absorb.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import orjson
import structlog
from clickhouse_connect.driver.client import Client

from clickhouse.client import translated_errors
from clickhouse.definition import Definition
from clickhouse.rebuild import Known, StateBatch, read_known, read_partials, read_states, read_truncations
from reconcile.finding import id_order
from streams.codec import dumps
from streams.floors import Floor, FloorKey
from streams.release_messages import encode_share
from streams.release_shares import NO_SHARE, ReleaseKey, added, named_release, share_key
from streams.statement_state import decode_statement_state, encode_partial
from streams.store import ENTITY, PARTIAL, PAYOUT_OWNER, STRAY, Meta, PartitionStore, deadline_key
from streams.truncation import stored_floor
from trueup.model.registers import Partial, PartialVersion
from trueup.model.releases import ReleaseShare
from trueup.model.tables import Id

_STAGES: Final = {
    "order_wide": "orders",
    "statement_wide": "statements",
    "release_wide": "releases",
    "group_wide": "groups",
}
"""Wide table → the stage that writes it."""

HINTS_MAX: Final = 1_000_000
"""Wide rows newer than the local store; more than one window can hardly hold."""

_log = structlog.get_logger()


class Opened(NamedTuple):
    """A store, its meta record, and the months of the entities that ClickHouse knows and the store does not."""

    store: PartitionStore
    meta: Meta
    months: dict[str, int]


class Recovery:
    """Opens the stores of one stage.

    Args:
        directory: of this worker's stores of the stage.
        wide: order_wide or statement_wide.
    """

    def __init__(self, directory: Path, client: Client, database: str, wide: Definition, *, batch_rows: int) -> None:
        self._directory = directory
        self._client = client
        self._database = database
        self._wide = wide
        self._batch_rows = batch_rows

    def open(self, number: int, committed: Mapping[str, int]) -> Opened:
        """The partition's store, complete and at least as new as the committed offsets (topic → next offset).

        Errors: UnavailableError when ClickHouse does not answer, or not with all of its rows.
        """
        path = self._directory / f"{number:05d}"
        is_new = not path.exists()
        store = PartitionStore(path)
        meta = store.meta()
        if meta is None or any(meta.ends.get(topic, 0) < offset for topic, offset in committed.items()):
            if not is_new:
                store.destroy()
                store = PartitionStore(path)
            return Opened(store, self._rebuild(store, number, committed), {})
        known = self._known(number)
        ends = {topic: meta.ends.get(topic, 0) for topic in {*meta.ends, *committed}}
        hints = self._months_after(number, meta.version) if known.version > meta.version else {}
        return Opened(store, meta._replace(ends=ends, version=max(meta.version, known.version)), hints)

    def _rebuild(self, store: PartitionStore, number: int, committed: Mapping[str, int]) -> Meta:
        started = time.monotonic()
        # Before the states: a window that the former owner still writes meanwhile must be read back as what was said.
        written_us = self._last_window_us(number)
        with ThreadPoolExecutor(2, thread_name_prefix="beside-states") as beside:
            known = beside.submit(self._known, number)
            partials = beside.submit(self._partial_puts, number, PartialVersion(0, sum(committed.values())))
            floors = beside.submit(self.floors, _STAGES[self._wide.name], number)
            entities = self._copy_states(store, number, lambda: known.result().rows)
            store.load(partials.result())
        store.load(stored_floor(key, floor) for key, floor in floors.result().items())
        meta = Meta(dict(committed), 0, known.result().version, written_us)
        store.complete(meta)
        seconds = time.monotonic() - started
        _log.info(
            "state_rebuilt", table=self._wide.name, partition=number, entities=entities, seconds=round(seconds, 2)
        )
        return meta

    def _known(self, number: int) -> Known:
        return read_known(self._client, self._database, self._wide, number)

    def floors(self, stage: str, number: int) -> dict[FloorKey, Floor]:
        """Where the tables of a stage's partition were truncated last. Errors: UnavailableError."""
        known = read_truncations(self._client, self._database, stage, number)
        return {(source, table): Floor(*floor) for source, table, *floor in known}

    def _copy_states(self, store: PartitionStore, number: int, rows_min: Callable[[], int]) -> int:
        """Copy every entity's state and due time, and what follows from statements' states; the number of entities."""
        entities = 0
        side = _SideEntries()
        batches = read_states(
            self._client, self._database, self._wide, number, batch_rows=self._batch_rows, rows_min=rows_min
        )
        for batch in _ahead(batches):
            entities += len(batch.keys)
            store.load(zip(map(ENTITY.__add__, batch.keys), batch.states, strict=True))
            store.load((deadline_key(due_us, key), b"") for key, due_us in batch.due)
            if self._wide.name == "statement_wide":
                side.take(batch.states)
        store.load(side.puts())
        return entities

    def _partial_puts(self, number: int, version: PartialVersion) -> list[tuple[bytes, bytes]]:
        """The partial totals of a partition of orders, as the store keeps them."""
        if self._wide.name != "order_wide":
            return []
        rows = read_partials(self._client, self._database, number, version)
        return [(PARTIAL + b"[%b,%b]" % (row.statement, row.payout), row.encoded) for row in rows]

    def _last_window_us(self, number: int) -> int:
        """When the last window that is complete in ClickHouse was closed: its watermark row is written last."""
        with translated_errors(f"{self._database}.watermark"):
            result = self._client.query(
                f"SELECT toUnixTimestamp64Micro(max(recorded_at)) FROM {self._database}.watermark "
                "WHERE stage = {stage:String} AND partition = {number:UInt16}",
                {"stage": _STAGES[self._wide.name], "number": number},
            )
        ((written_us,),) = result.result_rows
        return int(written_us)

    def _months_after(self, number: int, version: int) -> dict[str, int]:
        """Entities whose rows were written but whose state was not, before a crash: their month must stay the same."""
        with translated_errors(f"{self._database}.{self._wide.name}"):
            result = self._client.query(
                f"SELECT {self._wide.key[-1]}, toInt32(any(month)) FROM {self._database}.{self._wide.name} "
                "WHERE partition = {number:UInt16} AND version > {version:UInt64} GROUP BY 1 LIMIT {most:UInt32}",
                {"number": number, "version": version, "most": HINTS_MAX},
            )
        return {str(entity): int(month) for entity, month in result.result_rows}


def _ahead(batches: Iterator[StateBatch]) -> Iterator[StateBatch]:
    """The same batches; each is read in a thread while the one before it is loaded."""
    with ThreadPoolExecutor(1, thread_name_prefix="states") as reading:
        coming = reading.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reading.submit(next, batches, None)
            yield batch


class _SideEntries:
    """Owners of payouts, strays, and shares of releases, out of statement states."""

    def __init__(self) -> None:
        self._owners: dict[Id, set[Id]] = {}
        self._strays: dict[Id, dict[int, Partial]] = {}
        self._shares: dict[ReleaseKey, ReleaseShare] = {}

    def take(self, states: Iterable[bytes]) -> None:
        """Add what some encoded states tell."""
        for encoded in states:
            books = decode_statement_state(encoded).books
            for _source, payout in books.payouts:
                self._owners.setdefault(payout, set()).add(books.statement_id)
            for (payout, partition), partial in books.strays.items():
                self._strays.setdefault(payout, {})[partition] = partial
            for register in books.payouts.values():
                release = named_release(register)
                if release is not None and register.row is not None:
                    key = (register.source, release)
                    self._shares[key] = added(self._shares.get(key, NO_SHARE), register.row, 1, register.commit_us)

    def puts(self) -> list[tuple[bytes, bytes]]:
        """The entries as the store keeps them."""
        owners = [
            (PAYOUT_OWNER + orjson.dumps(payout), orjson.dumps(sorted(held, key=id_order)))
            for payout, held in self._owners.items()
        ]
        strays = [
            (STRAY + orjson.dumps(payout), dumps([[partition, encode_partial(one)] for partition, one in held.items()]))
            for payout, held in self._strays.items()
        ]
        shares = [(share_key(key), dumps(encode_share(share))) for key, share in self._shares.items()]
        return owners + strays + shares
