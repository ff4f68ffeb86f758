"""Rows of users' own tables: any order, duplication, batching and crash leaves the groups and cases of plain reading."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clickhouse.schema import DEFINITIONS
from streams.group_messages import LegMessage, LegTruncation, decode_legs_topic
from streams.group_partition import GroupPartition
from tests.group_books import PRIMARY_KEYS, Reader, UserSource, group_bench, ledger, legs_of, marker
from tests.histories import WALKS, walking_by
from tests.partition_bench import Bench, Message, open_cases, published_open
from tests.source_log import FAR_US, SECOND_US, START_US

SPEC = ledger()
HALF = settings(max_examples=settings().max_examples // 2)
"""Each example opens two stores or more."""

AMOUNTS = st.sampled_from(("100.00", "100.00", "99.99", "50", "-3"))
REFERENCES = st.sampled_from(("R1", "R1", "R2", "7"))
TIMES = st.integers(-3, 20).map(lambda seconds: START_US + seconds * SECOND_US)
ENTRIES = st.fixed_dictionaries(
    {"entry_no": st.integers(1, 3)},
    optional={
        "reference": REFERENCES, "amount": AMOUNTS, "booked_at": TIMES, "currency": st.sampled_from(("EUR", "EUR", "JPY")),
        "status": st.sampled_from(("draft", "posted", "reversed")),
    },
)  # fmt: skip
LINES = st.fixed_dictionaries(
    {"line_id": st.sampled_from((1, 2, "x"))},
    optional={"reference": REFERENCES, "amount": AMOUNTS, "iban": st.sampled_from(("A1", "A1", "B2"))},
)
STEPS = st.lists(
    st.one_of(
        st.just(("tick", "", {})),
        st.tuples(st.just("put"), st.just("ledger_entry"), ENTRIES),
        st.tuples(st.just("put"), st.just("bank.bank_line"), LINES),
        st.tuples(st.just("delete"), st.just("ledger_entry"), ENTRIES),
        st.tuples(st.just("delete"), st.just("bank.bank_line"), LINES),
        st.tuples(st.just("truncate"), st.sampled_from(("ledger_entry", "bank.bank_line")), st.just({})),
    ),
    min_size=1,
    max_size=20,
)


@contextmanager
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="trueup-test-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def happened(steps: list[tuple[str, str, dict[str, Any]]]) -> list[Message]:
    """What the source told; a currency without digits has whole amounts only."""
    source = UserSource()
    for action, table, fields in steps:
        if action == "tick":
            source.tick()
        elif action == "truncate":
            source.truncate(table)
        elif action == "delete":
            source.delete(table, **{name: fields[name] for name in PRIMARY_KEYS[table] if name in fields})
        else:
            source.put(table, **fields)
    return legs_of(source.messages, SPEC)


def commit_us(message: Message) -> int:
    decoded = decode_legs_topic(message[1])
    assert isinstance(decoded, LegMessage | LegTruncation)
    return decoded.commit_us if isinstance(decoded, LegTruncation) else decoded.register.commit_us


def marked(data: st.DataObject, arrival: list[Message]) -> list[Message]:
    """The arrival with markers in it, each true: every row committed by its time has come once before it."""
    log: list[Message] = []
    for place, message in enumerate(arrival):
        log.append(message)
        unseen = [commit_us(later) for later in arrival[place + 1 :] if later not in arrival[: place + 1]]
        if data.draw(st.booleans()):
            log.append(marker(min(unseen) - 1 if unseen else FAR_US, SPEC))
    return [*log, marker(FAR_US, SPEC)]


def run(data: st.DataObject, bench: Bench[GroupPartition], log: list[Message]) -> None:
    """Read the log in any batches, with windows and crashes in between."""
    while True:
        left = log[bench.partition.ends.get("trueup.legs", 0) :]
        if not left:
            break
        Reader(bench).read(left[: data.draw(st.integers(1, len(left)))])
        for action in data.draw(st.lists(st.sampled_from(("close", "finish", "crash")), max_size=2)):
            {"close": bench.close_window, "finish": bench.finish_window, "crash": bench.crash}[action]()
    # A crash forgets the markers; time goes on.
    Reader(bench).read([marker(FAR_US + 1, SPEC)])
    while bench.partition.is_walking:
        bench.partition.advance()
    bench.close_window()
    bench.finish_window()


def fingerprint(bench: Bench[GroupPartition]) -> dict[str, Any]:
    names = [column.name for column in DEFINITIONS["group_wide"].columns]
    rows = {}
    for identifier, row in bench.rows("group_wide").items():
        columns = dict(zip(names, row, strict=True))
        rows[identifier] = {name: columns[name] for name in names if name not in {"version", "state"}}
    return {
        "registers": {
            identifier: {
                leg: {key: register[:-2] for key, register in held.items()} for leg, held in state.books.legs.items()
            }
            for identifier, state in bench.states().items()
        },
        "marks": {
            identifier: [mark[:-2] for mark in state.books.marks] for identifier, state in bench.states().items()
        },
        "newest": {identifier: state.books.newest_us for identifier, state in bench.states().items()},
        "open": {identifier: open_cases(state.cases.values()) for identifier, state in bench.states().items()},
        "judged": {identifier: (state.judged, state.due_us) for identifier, state in bench.states().items()},
        "wide": rows,
    }


@HALF
@given(STEPS, st.data())
def test_groups_end_the_same_however_their_rows_are_read(
    steps: list[tuple[str, str, dict[str, Any]]], data: st.DataObject
) -> None:
    messages = happened(steps)
    again = data.draw(st.lists(st.sampled_from(messages), max_size=4)) if messages else []
    arrival = list(data.draw(st.permutations(messages + again)))
    with directory() as path:
        plain = group_bench(path / "plain", SPEC)
        other = group_bench(path / "other", SPEC, cache_entities=data.draw(st.sampled_from((1, 1000))))
        try:
            Reader(plain).read([*messages, marker(FAR_US, SPEC)])
            Reader(plain).read([marker(FAR_US + 1, SPEC)])
            plain.close_window()
            plain.finish_window()
            with walking_by(data.draw(WALKS)):
                run(data, other, marked(data, arrival))
            assert fingerprint(other) == fingerprint(plain)
            held = {
                (case.finding.rule, case.finding.entity_kind, str(case.finding.entity_id))
                for state in other.states().values()
                for case in state.cases.values()
                if case.is_open
            }
            assert published_open(other.sent) == held
        finally:
            plain.close()
            other.close()
