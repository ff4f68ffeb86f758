"""Stage 3 for one partition: releases against the payouts that name them and the funding of their channel.

A release is judged at the lowest of its own source's watermark, that of the reference tables, and the markers that every
stage-2 partition sends behind its shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cdc.decode import ChangeDecoder
from reconcile.causes.explain import with_causes
from reconcile.channel_rules import judge_release
from reconcile.lifecycle import settle
from reconcile.spec.model import Tolerances
from streams.aftermath import Said
from streams.batch import Record
from streams.merge import merge_register
from streams.messages import CaseStep
from streams.output import Output
from streams.partition import Snapshot, with_adopted
from streams.reference import References
from streams.release_messages import SHARES_TOPIC, ShareMessage, decode_shares_topic
from streams.release_state import ReleaseState, decode_release_state, release_wide_row
from streams.source_partition import NEVER_US, Held, SourcePartition
from streams.store import Meta, PartitionStore
from trueup.model.change import Change
from trueup.model.errors import InvalidRecord
from trueup.model.tables import RELEASE_SUMMARY, Id, Table


class ReleasePartition(SourcePartition[ReleaseState]):
    """The releases of one partition."""

    def __init__(  # noqa: PLR0913 - the composition root passes the parts by name
        self,
        number: int,
        store: PartitionStore,
        meta: Meta,
        *,
        decoders: dict[str, ChangeDecoder],
        tolerances: Tolerances,
        output: Output,
        partition_count: int,
        cache_entities: int,
        references: References,
    ) -> None:
        super().__init__(
            number, store, meta, ReleaseState, decode_release_state, decoders=decoders, output=output,
            partition_count=partition_count, cache_entities=cache_entities,
        )  # fmt: skip
        self._grace_us = tolerances.grace_us
        self._references = references
        self._reached_us: dict[int, int] = {}
        self.source_watermark_us = 0

    def adopt(self, said: Said) -> None:
        """Go on from what was published before this partition was opened; call it before any record is processed."""
        self.adopt_cases(said)

    def process(self, records: Iterable[Record]) -> None:
        """Merge a batch of changes, shares and markers; judge at once what is already settled."""
        changes: dict[Id, list[Change]] = {}
        shares: dict[Id, list[ShareMessage]] = {}
        self._decode(records, changes, shares)
        touched = self._merge_changes(changes)
        for identifier, state in self.load(shares).items():
            for message in shares[identifier]:
                if self._merge_share(state, message):
                    touched[identifier] = state
        self._judge(self.ready(touched, self.watermark_us))
        self.advance(self.source_watermark_us)

    def tables_of(self, state: ReleaseState) -> Sequence[tuple[Table, Held]]:
        """The releases."""
        return ((RELEASE_SUMMARY, state.books.releases),)

    def take_deletions(self, deletions: Mapping[Id, list[Change]]) -> None:
        """Merge them; the releases are judged at the next watermark."""
        self.ready(self._merge_changes(deletions), NEVER_US)

    def _merge_changes(self, changes: Mapping[Id, list[Change]]) -> dict[Id, ReleaseState]:
        """Take changes into their releases; those that they altered."""
        touched: dict[Id, ReleaseState] = {}
        for identifier, state in self.load(changes).items():
            books = state.books
            for change in changes[identifier]:
                if merge_register(books.releases, change):
                    touched[identifier] = state
                books.newest_us = max(books.newest_us, change.commit_us)
        return touched

    def advance(self, source_watermark_us: int) -> None:
        """Judge every release whose time has come, at the watermark that all its legs allow."""
        if self.walks():
            return
        self.source_watermark_us = source_watermark_us
        watermark_us = self._settled_us()
        if watermark_us <= self.watermark_us:
            return
        self.watermark_us = watermark_us
        due = self.take_due(watermark_us)
        if due:
            self._judge(due)

    def _settled_us(self) -> int:
        """Up to when releases, payouts and funding can be compared; 0 while a stage-2 partition has told nothing."""
        if len(self._reached_us) < self._partition_count:
            return 0
        return min(self.source_watermark_us, self._references.watermark_us, *self._reached_us.values())

    def _decode(
        self, records: Iterable[Record], changes: dict[Id, list[Change]], shares: dict[Id, list[ShareMessage]]
    ) -> None:
        output = self._output
        for record in records:
            topic, offset = record.topic, record.offset
            if self.seen(topic, offset):
                continue
            self.ends[topic] = offset + 1
            try:
                if topic == SHARES_TOPIC:
                    decoded = decode_shares_topic(record.value)
                    if isinstance(decoded, dict):
                        self._hear(decoded)
                    else:
                        shares.setdefault(decoded.release_id, []).append(decoded)
                    continue
                self.read(record, changes)
            except InvalidRecord as error:
                output.quarantine(record, error)

    def _hear(self, reached_us: dict[int, int]) -> None:
        """A marker stays true: shares are never replaced by older ones, so one that goes back says nothing new."""
        for partition, time_us in reached_us.items():
            self._reached_us[partition] = max(self._reached_us.get(partition, 0), time_us)

    def _merge_share(self, state: ReleaseState, message: ShareMessage) -> bool:
        key = (message.source, message.partition)
        held = state.books.shares.get(key)
        if held is not None and message.share.version <= held.version:
            return False
        state.books.shares[key] = message.share
        state.books.newest_us = max(state.books.newest_us, message.share.newest_us)
        return True

    def _judge(self, due: dict[Id, ReleaseState]) -> None:
        version = self.partial_version()
        now_us = self._output.clock_us()
        for identifier, state in due.items():
            books = state.books
            if books.newest_us > self.watermark_us:
                self.schedule(identifier, state, books.newest_us)
                continue
            adopted = self.take_over(identifier, state)
            findings = judge_release(books, self._references.books, self._grace_us)
            verdict = settle(state.cases, findings, books.newest_us, self.watermark_us, now_us)
            changed = with_causes(verdict.changed, state.cases, books)
            for case in with_adopted(changed, adopted, state.cases):
                step = CaseStep(case, identifier, state.month_days or 0, is_order=False)
                self._output.case_changed(self.number, step, version)
            state.judged = True
            self.schedule(identifier, state, verdict.next_due_us)
            self.touch(identifier, state)

    def close_window(self) -> Snapshot:
        """Hand over the window: wide rows to the output, states to the caller."""
        version = self.next_version()
        encoded = {identifier: state.encode() for identifier, state in self.dirty().items()}
        for identifier, state in self.dirty().items():
            row = release_wide_row(state, encoded[identifier], self.number, version)
            self._output.add_row("release_wide", row)
        return self.snapshot(encoded, self._output.clock_us())
