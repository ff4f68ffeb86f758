"""Stage 2 for one partition: statements and payouts against the running totals that stage 1 sends.

A statement is judged at the stage's watermark: the lowest of its own sources' and of the markers that every stage-1
partition sends behind its partials, so never before the totals of the same commit have arrived.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from cdc.decode import ChangeDecoder
from reconcile.causes.explain import with_causes
from reconcile.finding import id_order
from reconcile.lifecycle import Verdict, settle
from reconcile.seller_rules import judge_sellers
from reconcile.settlement import SettlementRules
from reconcile.statement_view import view_statement
from streams.aftermath import Said
from streams.batch import Record
from streams.codec import dumps, loads
from streams.merge import merge
from streams.messages import (
    PARTIALS_TOPIC,
    TOTALS_TOPIC,
    CaseStep,
    Marker,
    PartialMessage,
    decode_partials_topic,
    totals_message,
)
from streams.output import Output
from streams.partition import Snapshot, with_adopted
from streams.reference import References
from streams.release_shares import ReleaseShares
from streams.rule_changes import explain_rule_changes, stamp_of
from streams.source_partition import NEVER_US, Held, SourcePartition
from streams.statement_state import (
    StatementState,
    decode_partial,
    decode_statement_state,
    encode_partial,
)
from streams.store import PAYOUT_OWNER, STRAY, Meta, PartitionStore
from streams.sweep import Sweep
from streams.wide_rows import statement_wide_row
from trueup.model.change import Change
from trueup.model.errors import InvalidRecord
from trueup.model.registers import Partial, PartialVersion
from trueup.model.tables import PAYOUT, STATEMENT, Id, Table


class StatementPartition(SourcePartition[StatementState]):
    """The statements of one partition."""

    def __init__(  # noqa: PLR0913 - the composition root passes the parts by name
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
        references: References,
    ) -> None:
        super().__init__(
            number, store, meta, StatementState, decode_statement_state, decoders=decoders, output=output,
            partition_count=partition_count, cache_entities=cache_entities,
        )  # fmt: skip
        self._rules = rules
        self._references = references
        self._shares = ReleaseShares(number, store, self.side_value, self.put_side)
        self._payouts_topic = next(topic for topic, decoder in decoders.items() if decoder.table is PAYOUT)
        self._payouts_topics: dict[str, str] = {}
        self.markers: dict[int, Marker] = {}
        self._told: set[Id] = set()
        self.source_watermark_us = 0
        self._sweep = Sweep(store, rules.fingerprint, self.put_side)

    def adopt(self, said: Said) -> None:
        """Go on from what was published before this partition was opened; call it before any record is processed."""
        self.adopt_cases(said)
        self._told = set(said.totals)

    def is_behind_its_word(self) -> bool:
        """Also while running totals that were published have not been published again."""
        return super().is_behind_its_word() or bool(self._told)

    def process(self, records: Iterable[Record]) -> None:
        """Merge a batch of changes, partial totals and markers; judge at once what is already settled."""
        changes: dict[Id, list[Change]] = {}
        partials: dict[Id, list[PartialMessage]] = {}
        strays: list[PartialMessage] = []
        self._decode(records, changes, partials, strays)
        touched = self._merge_changes(changes)
        for identifier, state in self.load(partials).items():
            for message in partials[identifier]:
                if self._merge_partial(state, message):
                    touched[identifier] = state
        for message in strays:
            self._merge_stray(message, touched)
        self._judge(self.ready(touched, min(self.watermark_us, self._settled_us())))
        self._publish_totals(touched)
        if not self.is_walking:
            self._shares.publish(self._output, self._payouts_end)
        self.advance(self.source_watermark_us)

    def tables_of(self, state: StatementState) -> Sequence[tuple[Table, Held]]:
        """Statements and payouts."""
        return (STATEMENT, state.books.statements), (PAYOUT, state.books.payouts)

    def take_deletions(self, deletions: Mapping[Id, list[Change]]) -> None:
        """Merge them; the statements are judged at the next watermark."""
        touched = self._merge_changes(deletions)
        self.ready(touched, NEVER_US)
        self._publish_totals(touched)

    def _merge_changes(self, changes: Mapping[Id, list[Change]]) -> dict[Id, StatementState]:
        """Take changes into their statements; those that they altered."""
        touched: dict[Id, StatementState] = {}
        for identifier, state in self.load(changes).items():
            for change in changes[identifier]:
                place = (change.source, change.primary_key)
                before = state.books.payouts.get(place)
                if merge(state.books, change):
                    touched[identifier] = state
                    if change.table.name == "payout":
                        self._shares.moved(before, state.books.payouts[place])
                if change.table.name == "payout":
                    self._own(change.primary_key, identifier, state, touched)
        return touched

    def advance(self, source_watermark_us: int) -> None:
        """Judge every statement whose time has come, at the watermark that sources and markers together allow."""
        if self._is_held_up():
            return
        self.source_watermark_us = source_watermark_us
        watermark_us = self._settled_us()
        if watermark_us <= self.watermark_us:
            return
        self.watermark_us = watermark_us
        if self._told:
            states = self.load(self._told)
            for identifier, state in states.items():
                state.published = []
                self.touch(identifier, state)
            self._publish_totals(states)
            self._told = set()
        due = self.take_due(watermark_us)
        if due:
            self._judge(due)
        if not self._sweep.is_over:
            at = functools.partial(self._settle, version=self.partial_version(), now_us=self._output.clock_us())
            self.judge_again(self._sweep.next_ids(), at)

    def _settled_us(self) -> int:
        """Up to when statements, totals and what was agreed with sellers can be compared; 0 while they cannot.

        Not while a stage-1 partition is ahead of the statements: of what an order was meanwhile, and is no more, its
        totals tell nothing.
        """
        markers = self.markers.values()
        if (
            len(markers) < self._partition_count
            or max(marker.reached_us for marker in markers) > self.source_watermark_us
        ):
            return 0
        settled_us = min(marker.settled_us for marker in markers)
        return min(self.source_watermark_us, self._references.watermark_us, settled_us)

    def _decode(
        self,
        records: Iterable[Record],
        changes: dict[Id, list[Change]],
        partials: dict[Id, list[PartialMessage]],
        strays: list[PartialMessage],
    ) -> None:
        output = self._output
        ends = self.ends
        for record in records:
            topic, offset = record.topic, record.offset
            if offset < ends.get(topic, 0):
                continue
            ends[topic] = offset + 1
            try:
                if topic == PARTIALS_TOPIC:
                    decoded = decode_partials_topic(record.value)
                    if isinstance(decoded, dict):
                        self.markers.update(decoded)
                    elif decoded.statement_id is None:
                        strays.append(decoded)
                    else:
                        partials.setdefault(decoded.statement_id, []).append(decoded)
                    continue
                change = self.read(record, changes)
            except InvalidRecord as error:
                output.quarantine(record, error)
                continue
            if change is not None and change.table is PAYOUT:
                self._payouts_topics[change.source] = topic

    def _payouts_end(self, source: str) -> int:
        """Up to where the payouts of a source have been merged."""
        return self.ends[self._payouts_topics.get(source, self._payouts_topic)]

    def _is_held_up(self) -> bool:
        """Whether a truncation is being carried out; shares are told when it has been."""
        was_walking = self.is_walking
        if self.walks():
            return True
        if was_walking:
            self._shares.publish_all(self._output, self._payouts_end)
        return False

    def _merge_partial(self, state: StatementState, message: PartialMessage) -> bool:
        held = state.books.partials.get(message.partition)
        if held is not None and message.partial.version <= held.version:
            return False
        state.books.partials[message.partition] = message.partial
        state.books.newest_us = max(state.books.newest_us, message.partial.newest_us)
        return True

    def _own(self, payout_id: Id, statement_id: Id, state: StatementState, touched: dict[Id, StatementState]) -> None:
        """Remember whose payout it is, and take over strays that came before it."""
        owners = self._owners(payout_id)
        if statement_id not in owners:
            owners = sorted([*owners, statement_id], key=id_order)
            self.put_side(PAYOUT_OWNER + orjson.dumps(payout_id), orjson.dumps(owners))
        for partition, partial in self._stray(payout_id).items():
            held = state.books.strays.get((payout_id, partition))
            if held is None or held.version < partial.version:
                state.books.strays[(payout_id, partition)] = partial
                state.books.newest_us = max(state.books.newest_us, partial.newest_us)
                touched[statement_id] = state

    def _merge_stray(self, message: PartialMessage, touched: dict[Id, StatementState]) -> None:
        payout_id = message.payout_id
        if payout_id is None:
            return
        known = self._stray(payout_id)
        held = known.get(message.partition)
        if held is not None and message.partial.version <= held.version:
            return
        known[message.partition] = message.partial
        encoded = [[partition, encode_partial(partial)] for partition, partial in known.items()]
        self.put_side(STRAY + orjson.dumps(payout_id), dumps(encoded))
        for owner, state in self.load(self._owners(payout_id)).items():
            state.books.strays[(payout_id, message.partition)] = message.partial
            state.books.newest_us = max(state.books.newest_us, message.partial.newest_us)
            touched[owner] = state

    def _stray(self, payout_id: Id) -> dict[int, Partial]:
        value = self.side_value(STRAY + orjson.dumps(payout_id))
        encoded: list[list[Any]] = [] if value is None else loads(value)
        return {partition: decode_partial(partial) for partition, partial in encoded}

    def _owners(self, payout_id: Id) -> list[Id]:
        """Statements that a payout of this id belongs to; more than one where several sources use the id."""
        value = self.side_value(PAYOUT_OWNER + orjson.dumps(payout_id))
        owners: list[Id] = [] if value is None else orjson.loads(value)
        return owners

    def _judge(self, due: dict[Id, StatementState]) -> None:
        version = self.partial_version()
        now_us = self._output.clock_us()
        for identifier, state in due.items():
            books = state.books
            if books.newest_us > self.watermark_us:
                self.schedule(identifier, state, books.newest_us)
                continue
            verdict = self._settle(identifier, state, version, now_us)
            state.judged = True
            self.schedule(identifier, state, verdict.next_due_us)
            self.touch(identifier, state)

    def _settle(self, identifier: Id, state: StatementState, version: PartialVersion, now_us: int) -> Verdict:
        """Bring a statement's cases in line with the rules, and tell those that changed."""
        books = state.books
        adopted = self.take_over(identifier, state)
        references = self._references.books
        findings = self._rules.judge_statement(view_statement(books)) + judge_sellers(books, references)
        verdict = settle(state.cases, findings, books.newest_us, self.watermark_us, now_us)
        explained = explain_rule_changes(verdict.changed, state, self._rules)
        changed = with_adopted(with_causes(explained, state.cases, books, references), adopted, state.cases)
        for case in changed:
            step = CaseStep(case, identifier, state.month_days or 0, False, stamp_of(self._rules, case))
            self._output.case_changed(self.number, step, version)
        return Verdict(changed, verdict.next_due_us)

    def _publish_totals(self, touched: dict[Id, StatementState]) -> None:
        for identifier, state in touched.items():
            view = view_statement(state.books)
            statement = view.statement
            published: list[Any] = [
                list(statement[5:9]) if statement else None,
                [[currency, *total] for currency, total in sorted(view.totals.items())],
            ]
            if published != state.published:
                state.published = published
                key, value = totals_message(
                    identifier, statement, view.totals, state.books.newest_us, self.watermark_us, self.number
                )
                self._output.send(TOTALS_TOPIC, key, value)

    def close_window(self) -> Snapshot:
        """Hand over the window: wide rows to the output, states to the caller."""
        self._shares.keep()
        version = self.next_version()
        encoded = {identifier: state.encode() for identifier, state in self.dirty().items()}
        for identifier, state in self.dirty().items():
            view = view_statement(state.books)
            row = statement_wide_row(state, encoded[identifier], view, self.number, version)
            self._output.add_row("statement_wide", row)
        return self.snapshot(encoded, self._output.clock_us())
