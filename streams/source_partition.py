"""Partitions whose registers are rows of source tables: what their messages say beside plain changes.

Truncated tables (`streams/truncation.py`) and rows with values left out (`streams/completion.py`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from cdc.broadcast import is_broadcast
from cdc.decode import ChangeDecoder
from clickhouse.truncation_table import Erasure, truncation_row
from streams.batch import Record
from streams.completion import Former, completed
from streams.floors import floor_of
from streams.output import Output, keep_newest
from streams.partition import EntityPartition, StateT
from streams.store import Meta, PartitionStore
from streams.truncation import WALK_DIRTY_MAX, Truncations, send_to_all
from trueup.model.change import Change, Incomplete, Truncation
from trueup.model.errors import InvalidRecord
from trueup.model.registers import Register, RegisterKey
from trueup.model.tables import Id, Table

NEVER_US: Final = -1
"""Before every commit: what is settled as of then is nothing."""

Held = Mapping[RegisterKey, Register[Any]]


class SourcePartition(EntityPartition[StateT]):
    """One partition of a stage that joins source tables by their topic key."""

    def __init__(  # noqa: PLR0913 - the stages pass the parts by name
        self,
        number: int,
        store: PartitionStore,
        meta: Meta,
        new_state: Callable[[Any], StateT],
        decode_state: Callable[[bytes], StateT],
        *,
        decoders: dict[str, ChangeDecoder],
        output: Output,
        partition_count: int,
        cache_entities: int,
    ) -> None:
        super().__init__(number, store, meta, new_state, decode_state, cache_entities)
        self._decoders = decoders
        self._output = output
        self._partition_count = partition_count
        self._truncations = Truncations(store, self.put_side)

    @property
    def is_walking(self) -> bool:
        """Whether a truncation is being carried out."""
        return self._truncations.is_walking

    @abstractmethod
    def tables_of(self, state: StateT) -> Sequence[tuple[Table, Held]]:
        """The registers of a state, by their table."""

    @abstractmethod
    def take_deletions(self, deletions: Mapping[Id, list[Change]]) -> None:
        """Merge deletions by topic key. Nothing is judged before the walk that found them is over."""

    def read(self, record: Record, changes: dict[Id, list[Change]]) -> Change | None:
        """Add what a record of a source topic says to the changes of its batch and to the mirror; the change that it holds.

        Errors: InvalidRecord.
        """
        self._output.changes += 1
        decoded = self._decoders[record.topic].decode(record.value, record.partition, record.offset)
        change = decoded if isinstance(decoded, Change) else self.read_aside(record, decoded, changes)
        if change is not None:
            held = changes.setdefault(change.key, [])
            for one in (change, self._truncations.deletion_after(change)):
                if one is not None:
                    keep_newest(self._output.mirror(one.table.name), one)
                    held.append(one)
        return change

    def read_aside(
        self, record: Record, decoded: Truncation | Incomplete | None, before: Mapping[Id, list[Change]]
    ) -> Change | None:
        """Take what a message says that is no plain change; the change that an incomplete one makes.

        `before` are the changes of the same batch that came before it.
        """
        if decoded is None:
            self._output.skipped += 1
        elif isinstance(decoded, Truncation):
            self._truncate(record, decoded)
        else:
            try:
                return completed(decoded, self._former(decoded.change, before.get(decoded.change.key, ())))
            except InvalidRecord as error:
                self._output.quarantine(record, error)
        return None

    def _truncate(self, record: Record, truncation: Truncation) -> None:
        """A truncation counts once every partition has it: one that came to a single partition is sent to all."""
        if not is_broadcast(record.headers):
            send_to_all(record, self._partition_count, self._output.send)
            return
        table, floor = truncation.table.name, floor_of(truncation)
        if self._truncations.raise_to((truncation.source, table), floor):
            row = truncation_row(self._output.stage, self.number, truncation)
            self._output.truncated(row, Erasure(truncation, self.number))

    def _former(self, change: Change, before: Iterable[Change]) -> Iterable[Former]:
        """What is known of the row: from the batch, from its register, and from the table's last truncation."""
        row_key = change.source, change.primary_key
        for one in before:
            if one.table is change.table and (one.source, one.primary_key) == row_key:
                yield Former(one.version, None if one.deleted else one.row)
        if self.known(change.key):
            for table, registers in self.tables_of(self.load([change.key])[change.key]):
                held = registers.get(row_key) if table is change.table else None
                if held is not None:
                    yield Former(held.version, None if held.deleted else held.row)
        floor = self._truncations.get(change.source, change.table.name)
        if floor is not None:
            yield Former(floor.version, None)

    def walks(self) -> bool:
        """Delete what truncations took, some states at a time; whether the partition's time has to stand still for it."""
        truncations = self._truncations
        if not truncations.is_walking:
            return False
        if len(self.dirty()) >= WALK_DIRTY_MAX:
            return True
        live = self.live_ids()
        ids = truncations.next_ids(live)
        passing = [identifier for identifier in ids if identifier not in live]
        deletions = {
            identifier: gone
            for identifier, state in self.load(ids).items()
            if (gone := truncations.deletions(identifier, self.tables_of(state)))
        }
        if deletions:
            self._output.changes += sum(map(len, deletions.values()))
            self.take_deletions(deletions)
        self.forget(passing)
        return truncations.is_walking
