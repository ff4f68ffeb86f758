"""Stage *groups* for one partition: the rows of each match key of a user's spec, judged once they are settled.

Time comes from the markers alone: every partition of stage *legs* tells how far its rows have been sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconcile.causes.explain import with_causes
from reconcile.lifecycle import Case, settle
from reconcile.spec.model import Tolerances
from streams.aftermath import Said
from streams.batch import Record
from streams.floors import Floor
from streams.group_messages import LegMarkers, LegMessage, LegTruncation, decode_legs_topic, parts_of
from streams.group_rows import group_wide_row
from streams.group_state import CurrentGroup, Groups, GroupState, decode_group_state, ended, merge_leg
from streams.messages import CaseStep, RuleStamp
from streams.output import Output
from streams.partition import EntityPartition, Snapshot, with_adopted
from streams.source_partition import NEVER_US
from streams.store import Meta, PartitionStore
from streams.sweep import Sweep
from streams.truncation import WALK_DIRTY_MAX, Truncations
from trueup.model.errors import InvalidRecord
from trueup.model.tables import Id


class GroupPartition(EntityPartition[GroupState]):
    """The groups of one partition, of all specs."""

    def __init__(
        self,
        number: int,
        store: PartitionStore,
        meta: Meta,
        *,
        groups: Groups,
        tolerances: Tolerances,
        output: Output,
        partition_count: int,
        cache_entities: int,
    ) -> None:
        super().__init__(
            number,
            store,
            meta,
            lambda group_id: GroupState(str(group_id), groups.of(str(group_id))),
            lambda data: decode_group_state(data, groups),
            cache_entities,
        )
        self._groups = groups
        self._tolerances = tolerances
        self._output = output
        self._partition_count = partition_count
        self._settled_us: dict[int, int] = {}
        self._classes_said: dict[tuple[Id, str], str] = {}
        self._sweep = Sweep(store, groups.fingerprint, self.put_side)
        self._truncations = Truncations(store, self.put_side)

    def adopt(self, said: Said) -> None:
        """Go on from what was published before this partition was opened; call it before any record is processed."""
        self.adopt_cases(said)
        for published in said.cases.values():
            self._classes_said[published.owner, published.case.finding.rule] = published.rule_class

    def process(self, records: Iterable[Record]) -> None:
        """Merge a batch of rows and markers; judge at once what is already settled."""
        by_group = self._decode(records)
        touched = self._merge(by_group)
        self._judge(self.ready(touched, min(self.watermark_us, self._all_settled_us())))
        self.advance()

    def _merge(self, by_group: Mapping[Id, list[LegMessage]]) -> dict[Id, GroupState]:
        """Take rows into their groups; those that they altered."""
        touched: dict[Id, GroupState] = {}
        for identifier, state in self.load(by_group).items():
            current = self._groups.of(state.group_id)
            for message in by_group[identifier]:
                # Rows of a former definition come again: the topics are read anew when a definition changes.
                if current is None or current.shapes.get(message.leg) != message.shape:
                    continue
                leg = current.legs[message.leg]
                if merge_leg(state.books, message, leg):
                    touched[identifier] = state
                floor = self._truncations.below(message.register.source, leg.source_table, message.register.version)
                if floor is not None and merge_leg(state.books, ended(message, floor), leg):
                    touched[identifier] = state
        return touched

    @property
    def is_walking(self) -> bool:
        """Whether a truncation is being carried out."""
        return self._truncations.is_walking

    def _walks(self) -> bool:
        """Delete what truncations took, some groups at a time; whether the partition's time has to stand still for it."""
        truncations = self._truncations
        if not truncations.is_walking:
            return False
        if len(self.dirty()) >= WALK_DIRTY_MAX:
            return True
        live = self.live_ids()
        ids = truncations.next_ids(live)
        passing = [identifier for identifier in ids if identifier not in live]
        endings = {identifier: self._endings(state) for identifier, state in self.load(ids).items()}
        self._output.changes += sum(map(len, endings.values()))
        self.ready(self._merge({identifier: gone for identifier, gone in endings.items() if gone}), NEVER_US)
        self.forget(passing)
        return truncations.is_walking

    def _endings(self, state: GroupState) -> list[LegMessage]:
        """The ends of all rows of a group that lie below the floor of their table."""
        current = self._groups.of(state.group_id)
        endings = []
        for name, leg in current.legs.items() if current is not None else ():
            for (source, _), register in state.books.legs[name].items():
                floor = self._truncations.below(source, leg.source_table, register.version)
                if floor is not None:
                    message = LegMessage(state.group_id, name, state.shapes[name], register, ())
                    endings.append(ended(message, floor))
        return endings

    def advance(self, source_watermark_us: int = 0) -> None:
        """Judge every group whose time has come by the markers; the watermark of the stage's own topic says nothing."""
        del source_watermark_us
        if self._walks():
            return
        settled_us = self._all_settled_us()
        if settled_us > self.watermark_us:
            self.watermark_us = settled_us
            due = self.take_due(settled_us)
            if due:
                self._judge(due)
        if not self._sweep.is_over and settled_us >= self.watermark_us > 0:
            self._judge_again()

    def _all_settled_us(self) -> int:
        """Up to when every row of every leg has arrived; 0 while a partition of stage *legs* has not told."""
        if len(self._settled_us) < self._partition_count:
            return 0
        return min(self._settled_us.values())

    def _decode(self, records: Iterable[Record]) -> dict[Id, list[LegMessage]]:
        by_group: dict[Id, list[LegMessage]] = {}
        ends = self.ends
        for record in records:
            topic, offset = record.topic, record.offset
            if offset < ends.get(topic, 0):
                continue
            ends[topic] = offset + 1
            try:
                decoded = decode_legs_topic(record.value)
            except InvalidRecord as error:
                self._output.quarantine(record, error)
                continue
            if isinstance(decoded, LegMessage):
                self._output.changes += 1
                by_group.setdefault(decoded.group_id, []).append(decoded)
            elif isinstance(decoded, LegTruncation):
                self._truncate(decoded)
            else:
                self._mark(decoded)
        return by_group

    def _truncate(self, truncation: LegTruncation) -> None:
        table, source, *place = truncation
        if self._truncations.raise_to((source, table), Floor(*place)):
            row = (self._output.stage, self.number, source, table, *place)
            self._output.truncated(row)

    def _mark(self, markers: LegMarkers) -> None:
        """Take markers of the present definitions; what they said once stays true, so the highest counts."""
        if markers.definitions == self._groups.definitions:
            for partition, settled_us in markers.settled_us.items():
                self._settled_us[partition] = max(settled_us, self._settled_us.get(partition, 0))

    def _judge(self, due: dict[Id, GroupState]) -> None:
        version = self.partial_version()
        now_us = self._output.clock_us()
        for identifier, state in due.items():
            books = state.books
            if books.newest_us > self.watermark_us:
                self.recall(identifier, books.newest_us)
                continue
            current = self._groups.of(state.group_id)
            adopted = self.take_over(identifier, state)
            findings = current.group.judge(books, self._tolerances) if current is not None else []
            verdict = settle(state.cases, findings, books.newest_us, self.watermark_us, now_us)
            changed = self._explained(state, current, with_causes(verdict.changed, state.cases, None))
            self._remember_classes(state, current)
            for case in with_adopted(changed, adopted, state.cases):
                step = CaseStep(case, identifier, state.month_days or 0, False, _stamp(state, current, case))
                self._output.case_changed(self.number, step, version)
            state.judged = True
            state.judged_by = current.fingerprint if current is not None else ""
            self.schedule(identifier, state, verdict.next_due_us)
            self.touch(identifier, state)

    def _remember_classes(self, state: GroupState, current: CurrentGroup | None) -> None:
        """Keep the class of every rule with a case, so that it can be told when the rule is gone."""
        for rule, _kind, _identifier in state.cases:
            if current is not None and rule in current.classes:
                state.classes[rule] = current.classes[rule]
            elif rule not in state.classes:
                state.classes[rule] = self._classes_said[state.group_id, rule]

    def _explained(self, state: GroupState, current: CurrentGroup | None, changed: list[Case]) -> list[Case]:
        """The changed cases; what resolves though no row has changed says that it is the rule that did."""
        if not state.judged or (current is not None and state.judged_by == current.fingerprint):
            return changed
        spec = parts_of(state.group_id)[0]
        why = "the spec is gone" if current is None else f"version {current.group.spec_version} no longer finds it"
        explained = []
        for case in changed:
            if not case.is_open:
                finding = case.finding._replace(detail=f"{case.finding.detail} – the rule changed: {spec}, {why}")
                case = state.cases[case.key] = case._replace(finding=finding)
            explained.append(case)
        return explained

    def _judge_again(self) -> None:
        """Judge what other rules have judged; what came in meanwhile was judged by these."""
        stale = {}
        for identifier, state in self.load(self._sweep.next_ids()).items():
            current = self._groups.of(state.group_id)
            if state.judged_by != (current.fingerprint if current is not None else ""):
                stale[identifier] = state
        self._judge(stale)

    def close_window(self) -> Snapshot:
        """Hand over the window: wide rows to the output, states to the caller."""
        version = self.next_version()
        encoded = {identifier: state.encode() for identifier, state in self.dirty().items()}
        for identifier, state in self.dirty().items():
            current = self._groups.of(state.group_id)
            self._output.add_row(
                "group_wide", group_wide_row(state, current, encoded[identifier], self.number, version)
            )
        return self.snapshot(encoded, self._output.clock_us())


def _stamp(state: GroupState, current: CurrentGroup | None, case: Case) -> RuleStamp:
    spec = parts_of(state.group_id)[0]
    return RuleStamp(spec, current.group.spec_version if current is not None else 0, state.classes[case.finding.rule])
