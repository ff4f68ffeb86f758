"""Users' own specs: rows find the group of their match key, and are judged when every partition has told how far it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from reconcile.spec.model import Spec
from streams.group_messages import LEGS_TOPIC, decode_legs_topic
from streams.group_partition import GroupPartition
from streams.group_state import Groups, GroupState, decode_group_state
from streams.leg_partition import legs_markers
from tests.group_books import Reader, UserSource, group_bench, ledger, leg_partition, legs_of, marker, rows_in
from tests.partition_bench import TOLERANCES, Bench, LogRecord, Message, open_cases, said
from tests.source_log import SECOND_US, START_US
from trueup.model.errors import InvalidRecord

LATER_US = START_US + 60 * SECOND_US
GROUP = '["ledger","receipt","A1","R1"]'


def discrepancies(bench: Bench[GroupPartition]) -> list[dict[str, Any]]:
    return [orjson.loads(message.value or b"") for message in bench.sent if message.topic.startswith("discrepancy.")]


def open_rules(bench: Bench[GroupPartition]) -> list[str]:
    cases = [case for state in bench.states().values() for case in state.cases.values()]
    return sorted(key[0] for key, *_amounts in open_cases(cases))


def judged(path: Path, source: UserSource, spec: Spec) -> Bench[GroupPartition]:
    """A bench that has read everything and judged it."""
    bench = group_bench(path, spec)
    Reader(bench).read([*legs_of(source.messages, spec), marker(LATER_US, spec)])
    bench.close_window()
    bench.finish_window()
    return bench


def test_a_row_goes_to_the_group_of_its_match_key_whatever_its_columns_are_called() -> None:
    source = UserSource().put("ledger_entry").put("bank.bank_line", amount="99.50")
    entry, line = rows_in(legs_of(source.messages, ledger()))
    assert (entry.group_id, entry.leg, entry.register.primary_key) == (GROUP, "entry", '["DE01",1]')
    assert (line.group_id, line.leg, line.register.primary_key) == (GROUP, "line", 1)
    assert line.register.row is not None
    assert 9950 in line.register.row


def test_a_row_that_gets_another_match_key_is_deleted_where_it_was() -> None:
    source = UserSource().put("bank.bank_line").put("bank.bank_line", reference="R2")
    _first, moved, left = rows_in(legs_of(source.messages, ledger()))
    assert (moved.group_id, moved.register.deleted) == ('["ledger","receipt","A1","R2"]', False)
    assert (left.group_id, left.register.deleted) == (GROUP, True)
    assert left.register.version == moved.register.version


def test_whole_numbers_and_their_text_are_one_match_key() -> None:
    source = UserSource().put("ledger_entry", reference="7").put("bank.bank_line", reference="7")
    assert {row.group_id for row in rows_in(legs_of(source.messages, ledger()))} == {'["ledger","receipt","A1","7"]'}


def test_a_step_that_the_machine_forbids_travels_with_its_row() -> None:
    source = UserSource().put("ledger_entry", status="reversed").put("ledger_entry", status="posted")
    assert [row.moves for row in rows_in(legs_of(source.messages, ledger()))] == [
        (),
        (("status", "reversed", "posted"),),
    ]


def test_a_row_that_no_leg_can_read_is_quarantined_once() -> None:
    partition, output, sent = leg_partition(ledger())
    (_topic, value) = UserSource().put("bank.bank_line", amount="1.001").messages[0]
    partition.process([LogRecord("settlement.bank.bank_line", 0, 0, value)])
    assert (output.quarantined_by_code.total(), [message.topic for message in sent]) == (1, ["trueup.quarantine"])


def test_markers_go_to_every_partition_when_the_watermark_moves() -> None:
    spec = ledger()
    partition, output, sent = leg_partition(spec)
    send_markers = legs_markers(output.send, 3, spec.groups)
    partition.advance(START_US)
    send_markers([partition])
    send_markers([partition])
    assert [(message.topic, message.partition) for message in sent] == [(LEGS_TOPIC, number) for number in range(3)]
    assert decode_legs_topic(sent[0].value) == decode_legs_topic(marker(START_US, spec)[1])


@pytest.mark.parametrize("value", [None, b"", b"[]", b"[1,2]", b'{"legs":1}', b'["[]","a","b",[],[]]', b"\xff"])
def test_what_is_no_leg_is_refused(value: bytes | None) -> None:
    with pytest.raises(InvalidRecord, match="not a row of a leg"):
        decode_legs_topic(value)


def test_nothing_is_judged_before_every_partition_has_told(tmp_path: Path) -> None:
    spec = ledger()
    source = UserSource().put("ledger_entry").put("bank.bank_line", amount="99.00")
    bench = group_bench(tmp_path / "g", spec, partition_count=2)
    reader = Reader(bench)
    reader.read([*legs_of(source.messages, spec), marker(LATER_US, spec)])
    assert discrepancies(bench) == []
    reader.read([marker(LATER_US, ledger(version=2), partition=1)])
    assert discrepancies(bench) == [], "a marker of other definitions says nothing"
    reader.read([marker(LATER_US, spec, partition=1)])
    (told,) = discrepancies(bench)
    assert (told["spec"], told["rule"], told["rule_version"], told["class"]) == (
        "ledger", "wrong-receipt", 1, "wrong-amount",
    )  # fmt: skip
    assert (told["expected"], told["actual"], told["entity_id"]) == ("100.00", "99.00", '["A1","R1"]')
    assert {leg["topic"] for leg in told["evidence"]} == {"settlement.public.ledger_entry", "settlement.bank.bank_line"}
    bench.close()


def test_an_amount_within_the_tolerance_is_right(tmp_path: Path) -> None:
    source = UserSource().put("ledger_entry").put("bank.bank_line", amount="99.98")
    bench = judged(tmp_path / "g", source, ledger())
    assert open_rules(bench) == []
    bench.close()


def test_what_is_missing_waits_for_its_grace_and_resolves_with_the_row(tmp_path: Path) -> None:
    spec = ledger()
    source = UserSource().put("ledger_entry")
    bench = group_bench(tmp_path / "g", spec)
    reader = Reader(bench)
    reader.read([*legs_of(source.messages, spec), marker(START_US + 5 * SECOND_US - 1, spec)])
    assert discrepancies(bench) == []
    reader.read([marker(START_US + 5 * SECOND_US, spec)])
    known = len(source.messages)
    source.tick(9).put("bank.bank_line", reference="R2").tick().put("bank.bank_line", reference="R1")
    reader.read([*legs_of(source.messages[known:], spec), marker(LATER_US, spec)])
    assert [(told["rule"], told["status"]) for told in discrepancies(bench)] == [
        ("missing-line", "open"), ("missing-line", "auto-resolved"),
    ]  # fmt: skip
    bench.close()


def test_a_group_is_one_row_for_people(tmp_path: Path) -> None:
    source = UserSource().put("ledger_entry").put("ledger_entry", entry_no=2).put("bank.bank_line")
    bench = judged(tmp_path / "g", source, ledger())
    (row,) = bench.tables["group_wide"]
    assert row[4:14] == (
        "ledger", "receipt", ["A1", "R1"], ["entry", "line"], ["EUR", "EUR"], [2, 1], [2_000_000, 1_000_000],
        "discrepant", ["wrong-receipt"], None,
    )  # fmt: skip
    bench.close()


def changed(path: Path, *specs: Spec, messages: list[Message] | None = None) -> list[dict[str, Any]]:
    """What a worker with these specs says when it opens the store and hears the time; it does so twice."""
    bench = group_bench(path, *specs)
    reader = Reader(bench)
    reader.read([*(messages or []), marker(LATER_US + 1, *specs)])
    for _ in range(3):
        bench.partition.advance()
    bench.close_window()
    bench.finish_window()
    told = discrepancies(bench)
    bench.close()
    again = group_bench(path, *specs)
    Reader(again).read([marker(LATER_US + 2, *specs)])
    assert discrepancies(again) == [], "what was looked at once is not looked at again"
    again.close()
    return told


def test_a_new_version_resolves_what_it_no_longer_finds_and_leaves_the_rest_alone(tmp_path: Path) -> None:
    source = UserSource().put("ledger_entry").put("bank.bank_line", amount="99.00")
    source.put("ledger_entry", entry_no=3, reference="R3")
    bench = judged(tmp_path / "g", source, ledger())
    assert open_rules(bench) == ["missing-line", "wrong-receipt"]
    bench.close()
    (told,) = changed(tmp_path / "g", ledger(version=2, tolerance="1.00"))
    assert (told["rule"], told["status"], told["rule_version"]) == ("wrong-receipt", "auto-resolved", 2)
    assert told["detail"] == "the bank shows another amount – the rule changed: ledger, version 2 no longer finds it"


def test_a_spec_that_is_gone_resolves_its_discrepancies(tmp_path: Path) -> None:
    source = UserSource().put("ledger_entry").put("bank.bank_line", amount="99.00")
    judged(tmp_path / "g", source, ledger()).close()
    (told,) = changed(tmp_path / "g")
    assert (told["status"], told["class"]) == ("auto-resolved", "wrong-amount")
    assert told["detail"].endswith("the rule changed: ledger, the spec is gone")


def test_rows_of_a_leg_that_is_read_in_another_way_come_again(tmp_path: Path) -> None:
    source = UserSource().put("ledger_entry").put("bank.bank_line", amount="99.00")
    judged(tmp_path / "g", source, ledger()).close()
    wider = ledger(version=2, more=', value_date = "date"')
    stale = legs_of(source.messages, ledger())
    told = changed(tmp_path / "g", wider, messages=[*stale, *legs_of(source.messages, wider)])
    assert told == [], "the same finding stands under both versions"


def test_a_state_is_what_it_was_when_it_is_read_back(tmp_path: Path) -> None:
    spec = ledger()
    source = UserSource().put("ledger_entry", status="reversed").put("ledger_entry", status="draft")
    bench = judged(tmp_path / "g", source, spec)
    (state,) = bench.states().values()
    assert isinstance(state, GroupState)
    decoded = decode_group_state(state.encode(), Groups([spec], TOLERANCES))
    assert decoded.encode() == state.encode()
    assert decoded.books.legs == state.books.legs
    assert [mark.table for mark in decoded.books.marks] == ["entry"]
    bench.close()


def test_a_row_that_is_as_wrong_under_another_key_is_another_discrepancy(tmp_path: Path) -> None:
    source = UserSource().put("bank.bank_line").tick(10).put("bank.bank_line", reference="R2")
    spec = ledger()
    bench = group_bench(tmp_path / "g", spec)
    reader = Reader(bench)
    first, moved, left = legs_of(source.messages, spec)
    reader.read([first, marker(START_US + 6 * SECOND_US, spec)])
    reader.read([moved, left, marker(LATER_US, spec)])
    told = {message["discrepancy_id"]: message["status"] for message in discrepancies(bench)}
    assert sorted(told.values()) == ["auto-resolved", "open"]
    bench.close()


def test_what_was_said_of_a_rule_that_is_gone_is_taken_back_after_a_crash(tmp_path: Path) -> None:
    source = UserSource().put("ledger_entry").put("bank.bank_line", amount="99.00")
    bench = group_bench(tmp_path / "g", ledger())
    Reader(bench).read([*legs_of(source.messages, ledger()), marker(LATER_US, ledger())])
    bench.crash()
    sent = bench.sent
    bench.close()
    without = group_bench(tmp_path / "g")
    without.partition.adopt(said(sent, 0))
    Reader(without).read([marker(LATER_US)])
    assert [(told["status"], told["class"]) for told in discrepancies(without)] == [("auto-resolved", "wrong-amount")]
    without.close()


def test_a_sweep_goes_through_all_states_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.sweep.SWEEP_BATCH", 2)
    source = UserSource()
    for number in range(5):
        source.put("ledger_entry", entry_no=number, reference=f"R{number}")
    judged(tmp_path / "g", source, ledger()).close()
    bench = group_bench(tmp_path / "g")
    Reader(bench).read([marker(LATER_US + 1)])
    told = [len(discrepancies(bench))]
    for _ in range(4):
        bench.partition.advance()
        told.append(len(discrepancies(bench)))
    assert told == [2, 4, 5, 5, 5]
    bench.close()
