"""Any arrival of the same verdicts and commands ends in one state and one audit log; a broken chain is always found."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.cases.commands import CONDITIONS, KINDS, Command, Seen, Snooze, decode_command, encode_command
from reconcile.cases.human import ALLOWED, Human, Steered, lapse_of, take_command, untouched
from reconcile.cases.standing import standing
from reconcile.cases.verdicts import decode_verdict, merge_verdict, no_verdicts
from streams.audit_chain import Entry, verify_chain
from streams.case_partition import COMMANDS_TOPIC
from streams.case_state import CaseState, decode_case_state
from tests.case_bench import CaseBench
from tests.case_log import CASE, OTHER, POLICY, TOPIC, CaseLog, command, verdict_value
from tests.partition_bench import LogRecord
from tests.source_log import START_US
from trueup.model.errors import InvalidRecord

HOUR_US = 3_600_000_000
AMOUNTS = st.sampled_from((None, 0, 850, 900, 12_345, -700))
SEEN = st.builds(Seen, st.integers(1, 3), AMOUNTS, AMOUNTS, st.just("USD"))


@st.composite
def snoozes(draw: st.DrawFn) -> Snooze:
    condition = draw(st.sampled_from(("", *sorted(CONDITIONS))))
    until = st.integers(START_US, START_US + HOUR_US)
    return Snooze(
        draw(until) if not condition else draw(st.none() | until),
        condition,
        draw(st.integers(0, 20_000)) if condition == "amount-above" else None,
    )


@st.composite
def commands(draw: st.DrawFn, revision: st.SearchStrategy[int]) -> Command:
    kind = draw(st.sampled_from(sorted(KINDS)))
    return command(
        draw(st.integers(1, 12)), kind, draw(revision), seen=draw(SEEN), actor=draw(st.sampled_from(("ann", "bob"))),
        at_us=START_US + draw(st.integers(0, HOUR_US)), discrepancy_id=draw(st.sampled_from((CASE, CASE, OTHER))),
        snooze=draw(snoozes()) if kind == "snooze" else None,
    )  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> CaseLog:
    """Messages that a judge, a person, or a stranger may send, in the order of each topic."""
    log = CaseLog()
    for _ in range(draw(st.integers(1, 14))):
        sort = draw(st.integers(0, 9))
        if sort == 0:
            log.raw(draw(st.sampled_from((COMMANDS_TOPIC, TOPIC))), b"x", draw(st.none() | st.binary(max_size=8)))
        elif sort <= 4:
            occurrence, version = draw(st.integers(1, 3)), draw(st.integers(0, 4))
            status = draw(st.sampled_from(("open" if occurrence == 1 else "regressed", "auto-resolved")))
            # A rule may be moved to another class.
            kind = draw(st.sampled_from(("wrong-amount", "wrong-amount", "mismatch")))
            log.verdict(
                draw(st.sampled_from((CASE, OTHER))), "discrepancy." + kind,
                **{"class": kind}, occurrences=occurrence, status=status,
                version=[START_US + version, draw(st.integers(0, 1))], watermark_us=START_US + version,
                source_commit_us=START_US + 10 * occurrence, actual=draw(st.sampled_from(("8.50", "9.00"))),
            )  # fmt: skip
        else:
            # A person mostly knows the revision; it grows with the commands before.
            known = sum(record.topic == COMMANDS_TOPIC for record in log.records)
            log.command(draw(commands(st.integers(0, known))))
    return log


def interleaved(records: list[LogRecord], random: Random) -> list[LogRecord]:
    """The records with every topic's own order kept."""
    queues: dict[str, list[LogRecord]] = {}
    for record in records:
        queues.setdefault(record.topic, []).append(record)
    order = [record.topic for record in records]
    random.shuffle(order)
    return [queues[topic].pop(0) for topic in order]


def run(log: CaseLog, random: Random | None) -> tuple[dict[str, bytes], dict[tuple[str, int, int], Entry], int]:
    """States, audit log and chains after everything was read: at once, or in any batches and through crashes."""
    with TemporaryDirectory() as directory:
        bench = CaseBench(Path(directory) / "store", cache_entities=1)
        try:
            if random is None:
                bench.process(log.records)
            while random is not None:
                ends = bench.partition.ends
                left = [
                    record for record in interleaved(log.records, random) if record.offset >= ends.get(record.topic, 0)
                ]
                if not left:
                    break
                again = [
                    record
                    for record in log.records
                    if random.random() < 0.2 and record.offset < ends.get(record.topic, 0)
                ]
                bench.process(again + left[: random.randint(1, len(left))])
                random.choice((bench.close_window, bench.finish_window, bench.settle, bench.crash, lambda: None))()
            bench.settle()
            states = {name: bench.state(name).encode() for name in (CASE, OTHER)}
            return states, bench.entries, len(bench.wide)
        finally:
            bench.close()


@given(logs(), st.randoms(use_true_random=False))
def test_any_arrival_ends_in_one_state_and_one_audit_log(log: CaseLog, random: Random) -> None:
    assert run(log, random) == run(log, None)


@given(logs(), st.randoms(use_true_random=False))
def test_a_rebuilt_state_that_is_ahead_answers_as_it_was_answered_first(log: CaseLog, random: Random) -> None:
    """ClickHouse may hold newer states than the committed offsets: what is read again changes nothing."""
    states, entries, _ = run(log, None)
    with TemporaryDirectory() as directory:
        bench = CaseBench(Path(directory) / "store")
        try:
            for name, encoded in states.items():
                bench.partition._live[name] = decode_case_state(encoded)
            bench.process(interleaved(log.records, random))
            bench.settle()
            assert {name: bench.state(name).encode() for name in states} == states
            assert bench.entries == entries
        finally:
            bench.close()


@given(logs())
def test_a_state_survives_its_encoding(log: CaseLog) -> None:
    states, _, _ = run(log, None)
    assert {name: decode_case_state(encoded).encode() for name, encoded in states.items()} == states


@given(st.permutations(range(8)))
def test_verdicts_are_joined_in_any_order(order: list[int]) -> None:
    told = [
        decode_verdict(
            "wrong-amount",
            CASE.encode(),
            verdict_value(
                occurrences=1 + number // 4, version=[START_US + number % 3, 1], watermark_us=START_US + number,
                status="auto-resolved" if number % 4 == 3 else "open", actual=f"{number}.00",
            ),
            number,
        )
        for number in range(8)
    ]  # fmt: skip
    results = []
    for sequence in (order, range(8), (*order, *order)):
        verdicts = no_verdicts()
        for number in sequence:
            verdicts = merge_verdict(verdicts, told[number])
        results.append(verdicts)
    assert results[0] == results[1] == results[2]


@given(st.lists(commands(st.integers(0, 6)).map(lambda given: given._replace(discrepancy_id=CASE)), max_size=30))
def test_the_human_part_moves_as_its_machine_says(given_commands: list[Command]) -> None:
    steered: Steered = untouched()
    for offset, one in enumerate(given_commands):
        before, known = steered.human, one.command_id in steered.answers
        lapse = lapse_of(before, one.seen, one.at_us)
        steered, answer = take_command(steered, one, offset, POLICY.waive_limit.minor)
        after = steered.human
        if answer.outcome != "applied":
            assert after == before
            assert answer.reason
            continue
        assert not known
        assert one.expected_revision == before.revision == after.revision - 1 == answer.revision - 1
        assert ("none" if lapse else before.stance) in ALLOWED[one.kind]
        if after.stance == "waived" and before.stance != "waived":
            alone = one.kind == "waive" and abs((one.seen.actual_minor or 0) - (one.seen.expected_minor or 0)) <= 10_000
            assert alone or (one.kind == "approve" and one.actor != before.requester and one.seen == before.seen)
    assert steered.human.revision == sum(answer.outcome == "applied" for answer in steered.answers.values())


@given(SEEN, SEEN, st.integers(0, HOUR_US))
def test_a_waiver_covers_exactly_what_was_seen(waived: Seen, present: Seen, later_us: int) -> None:
    human = Human(stance="waived", seen=waived)
    assert (lapse_of(human, present, START_US + later_us) == "") == (waived == present)


@given(logs(), st.integers(0, HOUR_US))
def test_books_that_agree_outrank_every_decision(log: CaseLog, later_us: int) -> None:
    state: CaseState = decode_case_state(run(log, None)[0][CASE])
    found = standing(state.verdicts, state.steered.human, START_US + later_us)
    last = state.verdicts.last
    assert (found.name == "auto-resolved") == (last is not None and not last.is_open)
    assert (found.name == "unknown") == (last is None)


@given(commands(st.integers(0, 9)))
def test_a_command_is_read_as_it_was_written(given_command: Command) -> None:
    assert decode_command(*encode_command(given_command)) == given_command


HOSTILE = st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda held: repr(held).encode())


@given(st.binary() | HOSTILE)
def test_hostile_bytes_are_refused_and_nothing_else_happens(value: bytes) -> None:
    with pytest.raises(InvalidRecord):
        decode_command(b"k", value)
    with pytest.raises(InvalidRecord):
        decode_verdict("mismatch", b"k", value, 0)


def chain_of(number: int) -> list[Entry]:
    log = CaseLog()
    for revision in range(number):
        log.command(command(revision + 1, "comment", revision, note=f"note {revision}"))
    return [entry for _, entry in sorted(run(log, None)[1].items())]


WHOLE = chain_of(6)


@given(st.integers(0, len(WHOLE) - 1), st.sampled_from(Entry._fields))
def test_any_single_changed_row_is_found(place: int, field: str) -> None:
    held = getattr(WHOLE[place], field)
    other: Any = held + 1 if isinstance(held, int) else held + (b"!" if isinstance(held, bytes) else "!")
    changed = [*WHOLE[:place], WHOLE[place]._replace(**{field: other}), *WHOLE[place + 1 :]]
    found = verify_chain(changed)
    assert found is not None
    assert found.kafka_offset in {WHOLE[place].kafka_offset, WHOLE[place].kafka_offset + 1}


@given(st.integers(0, len(WHOLE) - 2))
def test_any_single_removed_row_is_found(place: int) -> None:
    found = verify_chain(WHOLE[:place] + WHOLE[place + 1 :])
    assert found is not None
    assert found.kafka_offset == WHOLE[place + 1].kafka_offset


@given(st.permutations(WHOLE))
def test_any_other_order_is_found(rows: list[Entry]) -> None:
    assert (verify_chain(rows) is None) == (rows == WHOLE)
