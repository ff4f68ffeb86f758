"""Tables of a user, specs about them, and the two stages that carry and judge their rows, on logs held in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reconcile.spec.load import read_spec
from reconcile.spec.model import Spec
from streams.group_messages import LEGS_TOPIC, LegMarkers, LegMessage, decode_legs_topic, definitions_of, encode_markers
from streams.group_partition import GroupPartition
from streams.group_state import Groups
from streams.leg_partition import LegPartition, routes_of
from streams.messages import TopicNames
from streams.output import Output
from streams.store import Meta, PartitionStore
from tests.partition_bench import NOW_US, TOLERANCES, Bench, LogRecord, Message, Sent
from tests.source_log import SOURCE, START_US, envelope

LEDGER = """
name = "ledger"
version = {version}

[[group]]
name = "receipt"
key = ["account", "reference"]

[[group.leg]]
name = "entry"
table = "ledger_entry"
primary_key = ["entity", "entry_no"]
match = ["account", "reference"]
currency = "currency"
status = "status"
columns = {{ entity = "text", entry_no = "int", account = "text", reference = "text", amount = "money", currency = "currency", status = "text", booked_at = "time" }}

[[group.leg]]
name = "line"
table = "bank.bank_line"
primary_key = "line_id"
match = ["iban", "reference"]
currency = "currency"
columns = {{ line_id = "id", iban = "text", reference = "text", amount = "money", currency = "currency"{more} }}

[[group.rule]]
name = "missing-line"
kind = "presence"
class = "one-sided"
leg = "entry"
in = "line"
when = "entry.status == 'posted'"
due = "booked_at"
grace = "5 s"
direction = "short"
detail = "posted, but the bank shows nothing"

[[group.rule]]
name = "unknown-line"
kind = "presence"
class = "one-sided"
leg = "line"
in = "entry"
grace = "5 s"
direction = "long"
detail = "the bank shows what was never posted"

[[group.rule]]
name = "wrong-receipt"
kind = "sum"
class = "wrong-amount"
when = "count(entry) > 0 and count(line) > 0"
expected = "sum(entry, entry.amount)"
actual = "sum(line, line.amount)"
tolerance = "{tolerance}"
detail = "the bank shows another amount"

[[group.rule]]
name = "bad-step"
kind = "machine"
class = "mismatch"
leg = "entry"
steps = ["draft -> posted", "posted -> reversed"]
detail = "status went from {{old}} to {{new}}"
"""

DEFAULTS: dict[str, dict[str, Any]] = {
    "ledger_entry": {
        "entity": "DE01", "entry_no": 1, "account": "A1", "reference": "R1", "amount": "100.00", "currency": "EUR",
        "status": "posted", "booked_at": START_US,
    },
    "bank.bank_line": {
        "line_id": 1, "iban": "A1", "reference": "R1", "amount": "100.00", "currency": "EUR", "value_date": 19_675,
    },
}  # fmt: skip
PRIMARY_KEYS = {"ledger_entry": ("entity", "entry_no"), "bank.bank_line": ("line_id",)}
TOPIC_OF = {"ledger_entry": "settlement.public.ledger_entry", "bank.bank_line": "settlement.bank.bank_line"}


def ledger(*, version: int = 1, tolerance: str = "2 minor", more: str = "") -> Spec:
    """The spec of entries and bank lines; `more` are further columns of the bank lines."""
    text = LEDGER.format(version=version, tolerance=tolerance, more=more)
    return read_spec(text, file="ledger.toml")


class UserSource:
    """A user's database: everything committed is in `messages`, in commit order, as (topic, value)."""

    def __init__(self) -> None:
        self.now_us = START_US
        self.lsn = 1000
        self.rows: dict[tuple[str, tuple[Any, ...]], dict[str, Any]] = {}
        self.messages: list[Message] = []

    def tick(self, seconds: int = 1) -> UserSource:
        """Later transactions commit so much later."""
        self.now_us += seconds * 1_000_000
        return self

    def put(self, table: str, **fields: Any) -> UserSource:
        """Insert or update the row with the primary key among `fields` or the defaults."""
        key = self._key(table, fields)
        before = self.rows.get((table, key))
        after = {**(before or DEFAULTS[table]), **fields}
        if after != before:
            self.rows[table, key] = after
            self._emit(table, before, after, "c" if before is None else "u")
        return self

    def delete(self, table: str, **fields: Any) -> UserSource:
        """Delete the row if it is there."""
        before = self.rows.pop((table, self._key(table, fields)), None)
        if before is not None:
            self._emit(table, before, None, "d")
        return self

    def truncate(self, table: str) -> UserSource:
        """Delete all rows of a table at once; told even if there was none."""
        for place in [place for place in self.rows if place[0] == table]:
            del self.rows[place]
        self._emit(table, None, None, "t")
        return self

    def _key(self, table: str, fields: dict[str, Any]) -> tuple[Any, ...]:
        return tuple({**DEFAULTS[table], **fields}[name] for name in PRIMARY_KEYS[table])

    def _emit(self, table: str, before: dict[str, Any] | None, after: dict[str, Any] | None, op: str) -> None:
        self.lsn += 10
        value = envelope(before, after, op, self.lsn, self.now_us, SOURCE)
        self.messages.append((TOPIC_OF[table], value))


def leg_partition(*specs: Spec, number: int = 0) -> tuple[LegPartition, Output, list[Sent]]:
    """A partition of stage *legs*, its output, and what it has sent."""
    sent: list[Sent] = []

    def send(
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        sent.append(Sent(topic, key, value, partition, tuple(headers or ())))

    output = Output("legs", send, TopicNames("public"), lambda: NOW_US)
    groups = [group for spec in specs for group in spec.groups]
    return LegPartition(number, {}, routes_of(groups, TOPIC_OF), output, partition_count=1), output, sent


def legs_of(messages: list[Message], *specs: Spec) -> list[Message]:
    """What stage *legs* makes of a log, in order."""
    partition, _output, sent = leg_partition(*specs)
    ends: dict[str, int] = {}
    records = []
    for topic, value in messages:
        records.append(LogRecord(topic, 0, ends.get(topic, 0), value))
        ends[topic] = ends.get(topic, 0) + 1
    partition.process(records)
    return [(LEGS_TOPIC, message.value) for message in sent if message.topic == LEGS_TOPIC and message.value]


def rows_in(messages: list[Message]) -> list[LegMessage]:
    """The decoded rows among messages on the legs topic."""
    decoded = [decode_legs_topic(value) for _topic, value in messages]
    return [message for message in decoded if isinstance(message, LegMessage)]


def marker(settled_us: int, *specs: Spec, partition: int = 0) -> Message:
    """A marker of a partition of stage *legs*."""
    groups = [group for spec in specs for group in spec.groups]
    return LEGS_TOPIC, encode_markers(LegMarkers(definitions_of(groups), {partition: settled_us}))


def group_bench(
    directory: Path, *specs: Spec, partition_count: int = 1, cache_entities: int = 1000
) -> Bench[GroupPartition]:
    """A partition of stage *groups* on an empty or existing store."""
    groups = Groups(specs, TOLERANCES)

    def make(store: PartitionStore, meta: Meta, output: Output) -> GroupPartition:
        return GroupPartition(
            0, store, meta, groups=groups, tolerances=TOLERANCES, output=output,
            partition_count=partition_count, cache_entities=cache_entities,
        )  # fmt: skip

    return Bench(directory, make)


class Reader:
    """Feeds a bench with messages, which take the next offsets."""

    def __init__(self, bench: Bench[GroupPartition]) -> None:
        self.bench = bench

    def read(self, messages: list[Message]) -> None:
        """One batch."""
        first = self.bench.partition.ends.get(LEGS_TOPIC, 0)
        self.bench.partition.process(
            [LogRecord(LEGS_TOPIC, 0, first + number, value) for number, (_topic, value) in enumerate(messages)]
        )
