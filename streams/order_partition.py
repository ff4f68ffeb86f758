"""Stage 1 for one partition: merge the legs of each order, judge them once settled, total what they contribute.

No I/O but the partition's own store; Kafka messages and ClickHouse rows go to the stage's `Output`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson

from cdc.decode import ChangeDecoder
from reconcile.causes.explain import with_causes
from reconcile.lifecycle import Verdict, settle
from reconcile.settlement import SettlementRules
from streams.aftermath import Said
from streams.batch import Record
from streams.codec import dumps, loads
from streams.contributions import Contribution, PartialSum, TotalKey, changed_by_key, contributions_of
from streams.merge import merge
from streams.messages import PARTIALS_TOPIC, CaseStep, Marker, encode_partial_message
from streams.order_state import OrderState, decode_order_state, month_of
from streams.output import Output, keep_newest
from streams.partition import Snapshot, with_adopted
from streams.rule_changes import explain_rule_changes, stamp_of
from streams.source_partition import NEVER_US, Held, SourcePartition
from streams.statement_state import decode_partial, encode_partial
from streams.store import PARTIAL, UNPUBLISHED, Meta, PartitionStore
from streams.sweep import Sweep
from streams.wide_rows import order_wide_row, statement_partial_row
from trueup.model.change import Change
from trueup.model.errors import InvalidRecord
from trueup.model.registers import Partial, PartialVersion
from trueup.model.tables import BILLING_ITEM, ORDERS, PAYOUT_ITEM, Id, Table

NO_VERDICT: Final = Verdict([], None)
PARTIALS_KEPT_MAX: Final = 1_000
"""Partial totals kept decoded per partition; the rest are read from the store when they change."""


class OrderPartition(SourcePartition[OrderState]):
    """The orders of one partition, and the partial statement totals of its items."""

    def __init__(
        self,
        number: int,
        store: PartitionStore,
        meta: Meta,
        *,
        decoders: dict[str, ChangeDecoder],
        rules: SettlementRules,
        output: Output,
        partition_count: int,
        cache_entities: int,
    ) -> None:
        super().__init__(
            number, store, meta, OrderState, decode_order_state, decoders=decoders, output=output,
            partition_count=partition_count, cache_entities=cache_entities,
        )  # fmt: skip
        self._rules = rules
        self._partials: dict[TotalKey, PartialSum] = {}
        self._dirty_partials: set[TotalKey] = set()
        value = self.side_value(UNPUBLISHED)
        self._unpublished: set[TotalKey] = set() if value is None else set(map(tuple, loads(value)))
        self._unpublished_stored = bool(self._unpublished)
        self._held_back: dict[Id, int] = {}
        self._silent_until_us = 0
        self._sweep = Sweep(store, rules.fingerprint, self.put_side)

        for key in store.deadlines(0, meta.watermark_us):
            # Changed, but not settled when the window closed.
            self._held_back[orjson.loads(key[9:])] = int.from_bytes(key[1:9], "big") - 1

    @property
    def marker(self) -> Marker:
        """What the published partials hold: `settled_us` is just before the oldest change that no judgement has taken in.

        An order that changes again before it is settled is judged later; until then its earlier change is missing from
        the partials, and stage 2 must not take them for complete.
        """
        settled_us = min(self.watermark_us, *self._held_back.values()) if self._held_back else self.watermark_us
        return Marker(settled_us, max(self.watermark_us, self._silent_until_us))

    def adopt(self, said: Said) -> None:
        """Go on from what was published before this partition was opened; call it before any record is processed."""
        self.adopt_cases(said)
        self._unpublished |= said.partials
        self._silent_until_us = said.marked_us

    def is_behind_its_word(self) -> bool:
        """Also while partials of a later watermark have been published than this one."""
        return super().is_behind_its_word() or self.watermark_us <= self._silent_until_us

    def process(self, records: Iterable[Record]) -> None:
        """Merge a batch of source records; judge at once what is already settled."""
        due = self._merge(self._decode(records), self.watermark_us)
        if due:
            self._judge(due)
        self._publish_partials()

    def tables_of(self, state: OrderState) -> Sequence[tuple[Table, Held]]:
        """Orders, items and lines."""
        books = state.books
        return (ORDERS, books.orders), (BILLING_ITEM, books.items), (PAYOUT_ITEM, books.lines)

    def take_deletions(self, deletions: Mapping[Id, list[Change]]) -> None:
        """Merge them; the orders are judged at the next watermark."""
        self._merge(deletions, NEVER_US)

    def _merge(self, by_order: Mapping[Id, list[Change]], settled_us: int) -> dict[Id, OrderState]:
        """Take changes into their orders; the orders that can be judged at `settled_us`, the others are scheduled."""
        states = self.load(by_order)
        due: dict[Id, OrderState] = {}
        for identifier, changes in by_order.items():
            state = states[identifier]
            if state.month_days is None:
                hint = self.month_hints.pop(str(identifier), None) if self.month_hints else None
                state.month_days = month_of(changes[0].commit_us) if hint is None else hint
            altered = False
            for change in changes:
                if merge(state.books, change):
                    altered = True
                    state.legs_moved = state.legs_moved or change.table is not ORDERS
            if not altered:
                continue
            state.judged = False
            self.touch(identifier, state)
            if state.books.newest_us <= settled_us:
                due[identifier] = state
                continue
            oldest_us = min(change.commit_us for change in changes)
            if state.due_us is None or oldest_us < state.due_us:
                self.schedule(identifier, state, oldest_us)
        return due

    def advance(self, watermark_us: int) -> None:
        """Judge every order whose time has come at a new watermark."""
        if self.walks() or watermark_us <= self.watermark_us:
            return
        self.watermark_us = watermark_us
        due = self.take_due(watermark_us)
        if due:
            self._judge(due)
        if not self._sweep.is_over:
            at = functools.partial(self._settle, version=self.partial_version(), now_us=self._output.clock_us())
            self.judge_again(self._sweep.next_ids(), at)
        self._publish_partials()

    def _decode(self, records: Iterable[Record]) -> dict[Id, list[Change]]:
        by_order: dict[Id, list[Change]] = {}
        output, floors = self._output, self._truncations
        ends = self.ends
        mirrors = {topic: output.mirror(decoder.table.name) for topic, decoder in self._decoders.items()}
        for record in records:
            topic, offset = record.topic, record.offset
            if offset < ends.get(topic, 0):
                continue
            ends[topic] = offset + 1
            output.changes += 1
            try:
                decoded = self._decoders[topic].decode(record.value, record.partition, offset)
            except InvalidRecord as error:
                output.quarantine(record, error)
                continue
            change = decoded if isinstance(decoded, Change) else self.read_aside(record, decoded, by_order)
            if change is None:
                continue
            keep_newest(mirrors[topic], change)
            changes = by_order.get(change.key)
            if changes is None:
                changes = by_order[change.key] = [change]
            else:
                changes.append(change)
            if floors.is_any and (gone := floors.deletion_after(change)) is not None:
                keep_newest(mirrors[topic], gone)
                changes.append(gone)
        return by_order

    def _judge(self, due: dict[Id, OrderState]) -> None:
        watermark_us = self.watermark_us
        version = self.partial_version()
        now_us = self._output.clock_us()
        for identifier, state in due.items():
            books = state.books
            if books.newest_us > watermark_us:
                self._held_back.setdefault(identifier, (state.due_us or 0) - 1)
                self.recall(identifier, books.newest_us)
                continue
            self._held_back.pop(identifier, None)
            next_due_us = self._settle(identifier, state, version, now_us).next_due_us
            if state.legs_moved:
                state.legs_moved = False
                contributed = contributions_of(books)
                if contributed != state.contributed:
                    self._contribute(state, contributed, version)
            state.judged = True
            self.schedule(identifier, state, next_due_us)
            self.touch(identifier, state)

    def _settle(self, identifier: Id, state: OrderState, version: PartialVersion, now_us: int) -> Verdict:
        """Bring an order's cases in line with the rules, and tell those that changed."""
        adopted = self.take_over(identifier, state)
        findings = self._rules.judge_order(state.books)
        if not findings and not state.cases:
            return NO_VERDICT
        verdict = settle(state.cases, findings, state.books.newest_us, self.watermark_us, now_us)
        explained = explain_rule_changes(verdict.changed, state, self._rules)
        changed = with_adopted(with_causes(explained, state.cases, state.books), adopted, state.cases)
        for case in changed:
            stamp = stamp_of(self._rules, case)
            self._output.case_changed(
                self.number, CaseStep(case, identifier, state.month_days or 0, stamp=stamp), version
            )
        return Verdict(changed, verdict.next_due_us)

    def _contribute(self, state: OrderState, contributed: list[Contribution], version: PartialVersion) -> None:
        for key, (gone, come) in changed_by_key(state.contributed, contributed).items():
            self._partial(key).apply(gone, come, state.books.newest_us, version)
            self._dirty_partials.add(key)
            self._unpublished.add(key)
        state.contributed = contributed

    def _partial(self, key: TotalKey) -> PartialSum:
        held = self._partials.get(key)
        if held is None:
            value = self.side_value(PARTIAL + orjson.dumps(key))
            held = PartialSum() if value is None else PartialSum(decode_partial(loads(value)))
            self._partials[key] = held
        return held

    def _publish_partials(self) -> None:
        """Publish changed partials, but never less than what was published at a later watermark before a crash."""
        if self.watermark_us <= self._silent_until_us:
            return
        for key in self._unpublished:
            statement_id, payout_id = key
            message_key, value = encode_partial_message(statement_id, payout_id, self.number, self._as_said_now(key))
            if statement_id is not None:
                self._output.send(PARTIALS_TOPIC, message_key, value)
                continue
            for partition in range(self._partition_count):
                self._output.send(PARTIALS_TOPIC, None, value, partition)
        self._unpublished.clear()

    def _as_said_now(self, key: TotalKey) -> Partial:
        """The partial under the present version: what is said now outranks everything said before."""
        total = self._partial(key)
        total.version = self.partial_version()
        return total.frozen()

    def close_window(self) -> Snapshot:
        """Hand over the window: wide rows to the output, states and partials to the caller."""
        version = self.next_version()
        encoded = {identifier: state.encode() for identifier, state in self.dirty().items()}
        for identifier, state in self.dirty().items():
            self._output.add_row("order_wide", order_wide_row(state, encoded[identifier], self.number, version))
        for key in self._dirty_partials:
            partial = self._partials[key].frozen()
            self.put_side(PARTIAL + orjson.dumps(key), dumps(encode_partial(partial)))
            if key[0] is not None:
                self._output.add_row("statement_partial", statement_partial_row(key[0], self.number, version, partial))
        self._dirty_partials.clear()
        if self._unpublished or self._unpublished_stored:
            # Whoever opens the partition next does not compute these again.
            self.put_side(UNPUBLISHED, dumps(list(self._unpublished)))
            self._unpublished_stored = bool(self._unpublished)
        if len(self._partials) > PARTIALS_KEPT_MAX:
            self._partials.clear()
        return self.snapshot(encoded, self._output.clock_us())
