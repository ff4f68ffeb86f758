"""The case stage for one partition: verdicts and commands in, where each discrepancy stands and the audit log out.

Verdicts and commands are joined by discrepancy id. It judges nothing, so it needs no source time. Whatever people decide
passes here: their replays of quarantined messages are carried out here as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reconcile.cases.commands import Command, decode_command
from reconcile.cases.human import take_command
from reconcile.cases.policy import CasePolicy
from reconcile.cases.verdicts import CLASSES, Verdict, decode_verdict, merge_verdict, step_of
from streams.aftermath import Said
from streams.audit_chain import GENESIS, Head, Told, entry_of
from streams.batch import Record
from streams.case_rows import case_wide_row
from streams.case_state import CaseState, decode_case_state
from streams.codec import dumps, loads
from streams.messages import DISCREPANCY_PREFIX
from streams.output import Output
from streams.partition import Snapshot, StatePartition
from streams.replays import REPLAYS_TOPIC, Replay, Targets, decode_replay, replay_headers, replay_row
from streams.store import CHAIN_HEAD, Meta, PartitionStore
from trueup.model.errors import InvalidRecord

COMMANDS_TOPIC: Final = "trueup.case-commands"
CASE_TOPICS: Final = (*(DISCREPANCY_PREFIX + kind for kind in sorted(CLASSES)), COMMANDS_TOPIC, REPLAYS_TOPIC)


class CasePartition(StatePartition[CaseState]):
    """The discrepancies of one partition."""

    def __init__(
        self,
        number: int,
        store: PartitionStore,
        meta: Meta,
        *,
        policy: CasePolicy,
        targets: Targets,
        output: Output,
        cache_entities: int,
    ) -> None:
        super().__init__(number, store, meta, CaseState, decode_case_state, cache_entities)
        self._policy = policy
        self._targets = targets
        self._output = output
        self._heads: dict[str, Head] = {}
        """By topic."""

    def process(self, records: Iterable[Record]) -> None:
        """Take in verdicts, commands and replays; every record gives one entry of the audit log."""
        fresh: list[tuple[Record, Verdict | Command | Replay | InvalidRecord]] = []
        for record in records:
            if not self.seen(record.topic, record.offset):
                self.ends[record.topic] = record.offset + 1
                self._output.changes += 1
                fresh.append((record, _decode(record)))
        states = self.load({said.discrepancy_id for _, said in fresh if isinstance(said, Verdict | Command)})
        for record, said in fresh:
            if isinstance(said, InvalidRecord):
                self._output.quarantine(record, said)
                self._enter(record, _unreadable(record, said))
                continue
            if isinstance(said, Replay):
                self._enter(record, self._replayed(said))
                continue
            state = states[said.discrepancy_id]
            told = self._judged(state, said) if isinstance(said, Verdict) else self._steered(state, said, record.offset)
            self.touch(state.discrepancy_id, state)
            self._enter(record, told)

    def advance(self, watermark_us: int) -> None:
        """Nothing falls due here; the time is only told."""
        self.watermark_us = max(self.watermark_us, watermark_us)

    def adopt(self, said: Said) -> None:
        """Cases publish nothing."""

    def close_window(self) -> Snapshot:
        """Hand over the window: wide rows to the output, states and chain heads to the caller."""
        version = self.next_version()
        encoded = {identifier: state.encode() for identifier, state in self.dirty().items()}
        for identifier, state in self.dirty().items():
            row = case_wide_row(state, encoded[identifier], self.number, version, self._policy.urgency)
            self._output.add_row("case_wide", row)
        snapshot = self.snapshot(encoded, self._output.clock_us())
        # The stage has seen nothing of the source itself, so it claims no watermark.
        return snapshot._replace(meta=snapshot.meta._replace(watermark_us=0))

    def _judged(self, state: CaseState, verdict: Verdict) -> Told:
        state.verdicts = merge_verdict(state.verdicts, verdict)
        kind, subject = step_of(state.verdicts, verdict), verdict.subject
        return Told(subject.detected_us, state.discrepancy_id, "", kind, "", "applied", "", 0, subject.detail)

    def _steered(self, state: CaseState, command: Command, offset: int) -> Told:
        state.steered, answer = take_command(state.steered, command, offset, self._policy.waive_limit.minor)
        return Told(
            command.at_us, state.discrepancy_id, command.command_id, command.kind, command.actor, answer.outcome,
            answer.reason, answer.revision, command.note,
        )  # fmt: skip

    def _replayed(self, replay: Replay) -> Told:
        """Put the bytes on their topic. Read again after a crash, it sends them again: whoever reads them knows them."""
        refusal = self._targets.refusal(replay)
        if not refusal:
            try:
                self._output.send(
                    replay.origin.topic, replay.key or None, replay.value, replay.to_partition, replay_headers(replay)
                )
            except InvalidRecord as error:
                refusal = error.what
        self._output.add_row("quarantine_replay", replay_row(replay, refusal))
        outcome = "refused" if refusal else "applied"
        return Told(
            replay.at_us, "", replay.replay_id, "replay", replay.actor, outcome, refusal, 0,
            f"{replay.origin}: {replay.note}" if replay.note else str(replay.origin),
        )  # fmt: skip

    def _enter(self, record: Record, told: Told) -> None:
        """Link one entry to the chain of its topic, unless it stands there since before a rebuild."""
        topic = record.topic
        key = CHAIN_HEAD + topic.encode()
        head = self._heads.get(topic)
        if head is None:
            held = self.side_value(key)
            head = self._heads[topic] = Head(0, GENESIS) if held is None else Head._make(loads(held))
        if record.offset >= head.end:
            entry = entry_of(record, told, head.hash)
            head = self._heads[topic] = Head(record.offset + 1, entry.hash)
            self.put_side(key, dumps(head))
            self._output.add_row("audit_log", entry)


def _decode(record: Record) -> Verdict | Command | Replay | InvalidRecord:
    try:
        if record.topic == REPLAYS_TOPIC:
            return decode_replay(record.value)
        if record.topic == COMMANDS_TOPIC:
            return decode_command(record.key, record.value)
        return decode_verdict(record.topic.removeprefix(DISCREPANCY_PREFIX), record.key, record.value, record.offset)
    except InvalidRecord as error:
        return error


def _unreadable(record: Record, error: InvalidRecord) -> Told:
    at_us = max(0, record.timestamp) * 1000
    return Told(at_us, "", "", "unreadable", "", "quarantined", f"{error.code}: {error.what}", 0, "")
