"""One partition of a stage: its entities' states in memory and on disk, and when each must be judged again."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import orjson

from reconcile.lifecycle import Case, CaseKey, Verdict
from streams.aftermath import Said
from streams.order_state import month_of
from streams.store import ENTITY, Meta, PartitionStore, deadline_key
from trueup.model.registers import PartialVersion
from trueup.model.tables import Id

_STEP_BITS: Final = 20
WATERMARK_WRITTEN_EVERY_US: Final = 1_000_000
"""An idle partition still closes a window so often, so that its watermark can be seen."""


class KeptState(Protocol):
    """A state that can be written."""

    def encode(self) -> bytes:
        """JSON bytes."""


class Dated(Protocol):
    """Registers that know their newest commit."""

    newest_us: int


class EntityState(KeptState, Protocol):
    """What the states of judged entities have in common."""

    @property
    def books(self) -> Dated:
        """The entity's registers."""

    due_us: int | None
    stored_due_us: int | None
    month_days: int | None
    judged: bool
    cases: dict[CaseKey, Case]


KeptT = TypeVar("KeptT", bound=KeptState)
StateT = TypeVar("StateT", bound=EntityState)


class Snapshot(NamedTuple):
    """What one partition must write so that its window becomes durable."""

    puts: list[tuple[bytes, bytes]]
    deletes: list[bytes]
    meta: Meta


class StatePartition(Generic[KeptT]):
    """States by id of one Kafka partition, in memory and on disk.

    `ends` is the next offset by topic: everything below it has been merged. The row version of a window is the sum of
    the ends, then a step for windows at the same progress.
    """

    def __init__(
        self,
        number: int,
        store: PartitionStore,
        meta: Meta,
        new_state: Callable[[Any], KeptT],
        decode_state: Callable[[bytes], KeptT],
        cache_entities: int,
    ) -> None:
        self.number = number
        self.store = store
        self.ends: dict[str, int] = dict(meta.ends)
        self.watermark_us = meta.watermark_us
        self.written_us = meta.written_us
        self._version = meta.version
        self._new_state = new_state
        self._decode_state = decode_state
        self._cache_entities = cache_entities
        self._live: dict[Id, KeptT] = {}
        self._dirty: dict[Id, KeptT] = {}
        self._last_snapshot_ends = dict(meta.ends)
        self._side: dict[bytes, bytes] = {}
        self._side_in_flight: dict[bytes, bytes] = {}

    @property
    def progress(self) -> int:
        """Sum of the processed offsets of the partition's topics."""
        return sum(self.ends.values())

    def seen(self, topic: str, offset: int) -> bool:
        """Whether the record below the partition's position was merged before."""
        return offset < self.ends.get(topic, 0)

    def load(self, ids: Iterable[Id]) -> dict[Id, KeptT]:
        """States by id, from memory, disk, or new; one multi-get for all that are not in memory."""
        live = self._live
        states: dict[Id, KeptT] = {}
        missing: list[Id] = []
        for identifier in ids:
            state = live.get(identifier)
            if state is None:
                missing.append(identifier)
            else:
                states[identifier] = state
        if missing:
            values = self.store.get_many([ENTITY + orjson.dumps(identifier) for identifier in missing])
            for identifier, value in zip(missing, values, strict=True):
                state = self._new_state(identifier) if value is None else self._decode_state(value)
                live[identifier] = states[identifier] = state
        return states

    def known(self, identifier: Id) -> bool:
        """Whether a state is in memory or on disk."""
        return identifier in self._live or self.store.get_many([ENTITY + orjson.dumps(identifier)])[0] is not None

    def live_ids(self) -> Collection[Id]:
        """The entities whose states are in memory."""
        return self._live.keys()

    def forget(self, ids: Iterable[Id]) -> None:
        """Let go of states that a walk has brought into memory, unless they have changed."""
        for identifier in ids:
            if identifier not in self._dirty:
                self._live.pop(identifier, None)

    def touch(self, identifier: Id, state: KeptT) -> None:
        """The state has changed and is part of the next window."""
        self._dirty[identifier] = state

    def side_value(self, key: bytes) -> bytes | None:
        """A value that is no entity state: from this window, the one being written, or the store."""
        value = self._side.get(key)
        if value is None:
            value = self._side_in_flight.get(key)
        return self.store.get_many([key])[0] if value is None else value

    def put_side(self, key: bytes, value: bytes) -> None:
        """Write the value with this window."""
        self._side[key] = value

    def dirty(self) -> dict[Id, KeptT]:
        """States of the present window."""
        return self._dirty

    def next_version(self) -> int:
        """Row version of the window that is about to be written; greater than every earlier one."""
        self._version = max(self.progress << _STEP_BITS, self._version + 1)
        return self._version

    def has_news(self) -> bool:
        """Whether anything happened since the last window."""
        return bool(self._dirty) or self.ends != self._last_snapshot_ends

    def snapshot(self, encoded: Mapping[Id, bytes], now_us: int) -> Snapshot:
        """Freeze the window: encoded states, side values and the meta record; a new window begins.

        `encoded` has every dirty state; `now_us` is the clock.
        """
        puts = list(self._side.items())
        puts += [(ENTITY + orjson.dumps(identifier), encoded[identifier]) for identifier in self._dirty]
        self._dirty = {}
        self._side, self._side_in_flight = {}, self._side
        self._last_snapshot_ends = dict(self.ends)
        return Snapshot(puts, [], Meta(dict(self.ends), self.watermark_us, self._version, now_us))

    def window_written(self) -> None:
        """The window is durable: what was held for it may go, and the oldest clean states beyond the cache bound too."""
        self._side_in_flight = {}
        surplus = len(self._live) - self._cache_entities
        if surplus <= 0:
            return
        for identifier in list(self._live):
            if identifier not in self._dirty:
                del self._live[identifier]
                surplus -= 1
                if surplus <= 0:
                    return


class EntityPartition(StatePartition[StateT]):
    """Entities that are judged: each has a time at which it must be looked at again."""

    def __init__(
        self,
        number: int,
        store: PartitionStore,
        meta: Meta,
        new_state: Callable[[Any], StateT],
        decode_state: Callable[[bytes], StateT],
        cache_entities: int,
    ) -> None:
        super().__init__(number, store, meta, new_state, decode_state, cache_entities)
        self.month_hints: dict[str, int] = {}
        self._pending: list[tuple[int, bool, Any]] = []
        self._scanned_us = -1
        self._last_snapshot_watermark_us = 0
        self._adopted: dict[Id, list[Case]] = {}
        self._has_heard_its_word = False

    def partial_version(self) -> PartialVersion:
        """Version of whatever is published now."""
        return PartialVersion(self.watermark_us, self.progress)

    def schedule(self, identifier: Id, state: StateT, due_us: int | None) -> None:
        """Judge the entity when the watermark reaches `due_us` (None: not before it changes)."""
        if due_us is not None and due_us != state.due_us:
            self.recall(identifier, due_us)
        state.due_us = due_us

    def ready(self, touched: Mapping[Any, StateT], settled_us: int) -> dict[Any, StateT]:
        """Which of the entities that have just changed can be judged at `settled_us`; the others are when theirs is reached."""
        ready: dict[Any, StateT] = {}
        for identifier, state in touched.items():
            newest_us = state.books.newest_us
            if state.month_days is None:
                hint = self.month_hints.pop(str(identifier), None) if self.month_hints else None
                state.month_days = month_of(newest_us) if hint is None else hint
            state.judged = False
            self.touch(identifier, state)
            if newest_us <= settled_us:
                ready[identifier] = state
            elif state.due_us is None or newest_us < state.due_us:
                self.schedule(identifier, state, newest_us)
        return ready

    def judge_again(self, ids: Iterable[Id], settle: Callable[[Id, StateT], Verdict]) -> None:
        """Judge what other rules have judged; an entity that the present ones say the same of stays as it is."""
        for identifier, state in self.load(ids).items():
            if self._waits_for_watermark(identifier, state, state.books.newest_us):
                continue
            verdict = settle(identifier, state)
            if verdict.changed or verdict.next_due_us != state.due_us:
                self.schedule(identifier, state, verdict.next_due_us)
                self.touch(identifier, state)

    def _waits_for_watermark(self, identifier: Id, state: StateT, newest_us: int) -> bool:
        """Whether an entity that is to be judged again has to wait for its present rows; it is judged when they are settled."""
        if state.judged and newest_us <= self.watermark_us:
            return False
        if state.judged and (state.due_us is None or newest_us < state.due_us):
            self.schedule(identifier, state, newest_us)
            self.touch(identifier, state)
        return True

    def recall(self, identifier: Id, at_us: int) -> None:
        """Look at the entity again at `at_us`; what the store knows as its due time stays."""
        heapq.heappush(self._pending, (at_us, isinstance(identifier, str), identifier))

    def adopt_cases(self, said: Said) -> None:
        """Take over what consumers were told last; judged again once the watermark has passed the commit it is about."""
        self._has_heard_its_word = True
        for published in said.cases.values():
            self._adopted.setdefault(published.owner, []).append(published.case)

    def is_behind_its_word(self) -> bool:
        """Whether something that was published before the partition was opened has not been taken up, or not even read, yet."""
        return not self._has_heard_its_word or bool(self._adopted)

    def take_over(self, identifier: Id, state: StateT) -> list[CaseKey]:
        """Put the adopted cases of an entity that is about to be judged into its state; their keys.

        They must be told again even if the judgement leaves them as they are: their rows may never have been written.
        """
        cases = self._adopted.get(identifier)
        if cases is None or not self._is_ripe(cases, self.watermark_us):
            return []
        for case in self._adopted.pop(identifier):
            state.cases[case.key] = case
            if state.month_days is None:
                state.month_days = month_of(case.source_commit_us)
        return [case.key for case in cases]

    def _is_ripe(self, cases: list[Case], watermark_us: int) -> bool:
        return all(case.source_commit_us <= watermark_us for case in cases)

    def take_due(self, watermark_us: int) -> dict[Id, StateT]:
        """States whose due time the watermark has reached."""
        ripe = {owner for owner, cases in self._adopted.items() if self._is_ripe(cases, watermark_us)}
        ids: dict[Id, None] = dict.fromkeys(ripe)
        pending = self._pending
        while pending and pending[0][0] <= watermark_us:
            ids[heapq.heappop(pending)[2]] = None
        if watermark_us > self._scanned_us:
            # Stored deadlines up to `_scanned_us` have been taken in this run, or stand in `_pending` as well.
            for key in self.store.deadlines(self._scanned_us + 1, watermark_us):
                ids[orjson.loads(key[9:])] = None
            self._scanned_us = watermark_us
        return {
            identifier: state
            for identifier, state in self.load(ids).items()
            if (state.due_us is not None and state.due_us <= watermark_us) or identifier in ripe
        }

    def has_news(self) -> bool:
        """Whether any state changed since the last window, or its offsets and watermark have not been written for long.

        Offsets that move alone, with what only tells how far others are, wait for the watermark that moves with them.
        """
        waited_us = self.watermark_us - self._last_snapshot_watermark_us
        if 0 < waited_us < WATERMARK_WRITTEN_EVERY_US:
            return bool(self._dirty)
        return super().has_news() or waited_us >= WATERMARK_WRITTEN_EVERY_US

    def snapshot(self, encoded: Mapping[Id, bytes], now_us: int) -> Snapshot:
        """As of any partition, with the deadlines that moved."""
        dirty = self.dirty()
        puts, deletes, meta = super().snapshot(encoded, now_us)
        for identifier, state in dirty.items():
            if state.stored_due_us == state.due_us:
                continue
            identity = orjson.dumps(identifier)
            if state.stored_due_us is not None:
                deletes.append(deadline_key(state.stored_due_us, identity))
            if state.due_us is not None:
                puts.append((deadline_key(state.due_us, identity), b""))
            state.stored_due_us = state.due_us
        self._last_snapshot_watermark_us = self.watermark_us
        if self.is_behind_its_word():
            # After another crash it must be read back again.
            meta = meta._replace(written_us=self.written_us)
        return Snapshot(puts, deletes, meta)


def with_adopted(changed: list[Case], adopted: list[CaseKey], cases: Mapping[CaseKey, Case]) -> list[Case]:
    """The cases to tell after a judgement: those that changed, and adopted ones that it left as they are."""
    if not adopted:
        return changed
    told = {case.key for case in changed}
    return changed + [cases[key] for key in adopted if key not in told]
