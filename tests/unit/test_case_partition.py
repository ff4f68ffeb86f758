"""The case stage for one partition: what comes in, what people read of it, and what survives a crash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clickhouse.audit_table import AUDIT_LOG
from clickhouse.columns import to_arrow
from clickhouse.schema import CASE_WIDE
from reconcile.cases.commands import Snooze
from streams.audit_chain import LOST, Entry, Head, verify_chain
from streams.case_partition import COMMANDS_TOPIC
from streams.codec import dumps
from streams.store import CHAIN_HEAD
from tests.case_bench import CaseBench
from tests.case_log import CASE, TOPIC, CaseLog, command, seen
from tests.source_log import SECOND_US, START_US

COLUMN = {column.name: place for place, column in enumerate(CASE_WIDE.columns)}
DAY_US = 86_400 * SECOND_US


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[CaseBench]:
    held = CaseBench(tmp_path / "store")
    yield held
    held.close()


def shown(bench: CaseBench, *names: str) -> tuple[object, ...]:
    return tuple(bench.wide[CASE][COLUMN[name]] for name in names)


def chain(bench: CaseBench, topic: str) -> list[Entry]:
    return [entry for place, entry in sorted(bench.entries.items()) if place[0] == topic]


def test_a_verdict_becomes_a_case_that_is_open(bench: CaseBench) -> None:
    log = CaseLog()
    log.verdict()
    bench.process(log.records)
    bench.settle()
    assert shown(bench, "standing", "status", "rule", "order_id", "revision") == (
        "open", "open", "wrong-billing-amount", "7", 0,
    )  # fmt: skip
    assert shown(bench, "currency", "expected", "actual", "delta", "stake") == ("USD", 80_000, 85_000, 5_000, 5_000)
    assert shown(bench, "severity", "due_at", "opened_at") == ("low", START_US + 7 * DAY_US, START_US)
    (entry,) = chain(bench, TOPIC)
    assert (entry.kind, entry.outcome, entry.note) == ("raised", "applied", "billed more")


def test_the_rows_fit_their_tables(bench: CaseBench) -> None:
    log = CaseLog()
    log.verdict()
    log.verdict(currency="", expected=None, actual=None, occurrences=2, status="regressed")
    log.command(command(1, "snooze", 0, discrepancy_id="ef" * 16, snooze=Snooze(START_US, "", None)))
    bench.process(log.records)
    bench.settle()
    assert to_arrow(CASE_WIDE, list(bench.wide.values())).num_rows == 2
    assert to_arrow(AUDIT_LOG, list(bench.entries.values())).num_rows == 3


@pytest.mark.parametrize(
    ("currency", "expected", "actual", "stake"),
    [
        ("USD", "8.50", "8.00", 5_000),
        ("USD", "8.00", None, 80_000),
        ("USD", None, "-8.00", 80_000),
        ("JPY", "8", "8", 0),
        ("", None, None, None),
    ],
)
def test_what_is_in_question_is_kept_beside_the_amounts(
    bench: CaseBench, currency: str, expected: str | None, actual: str | None, stake: int | None
) -> None:
    log = CaseLog()
    log.verdict(currency=currency, expected=expected, actual=actual)
    bench.process(log.records)
    bench.settle()
    assert shown(bench, "stake") == (stake,)


def test_a_waiver_above_the_limit_waits_for_another_person(bench: CaseBench) -> None:
    log = CaseLog()
    large = seen(actual_minor=20_800)
    log.verdict(actual="208.00")
    log.command(command(1, "waive", 0, seen=large))
    log.command(command(2, "approve", 1, seen=large))
    bench.process(log.records)
    bench.settle()
    assert shown(bench, "standing", "requester", "note") == ("waive-requested", "ann", "a reason")
    log.command(command(3, "approve", 1, seen=large, actor="bob"))
    bench.process(log.records)
    bench.settle()
    assert shown(bench, "standing", "requester", "revision") == ("waived", "", 2)
    assert [(entry.kind, entry.outcome) for entry in chain(bench, COMMANDS_TOPIC)] == [
        ("waive", "applied"), ("approve", "refused"), ("approve", "applied"),
    ]  # fmt: skip


def test_a_waiver_lapses_when_the_amounts_change_and_when_it_comes_back(bench: CaseBench) -> None:
    log = CaseLog()
    log.verdict()
    log.command(command(1, "waive", 0))
    log.verdict(actual="9.00", version=[START_US + 9, 1])
    bench.process(log.records)
    bench.settle()
    assert shown(bench, "standing", "lapse") == ("open", "waiver lapsed: the amounts changed")
    log.verdict(status="auto-resolved", watermark_us=START_US + 40 * DAY_US, version=[START_US + 40 * DAY_US, 1])
    log.verdict(
        status="regressed", occurrences=2, source_commit_us=START_US + 80 * DAY_US, version=[START_US + 80 * DAY_US, 1]
    )
    bench.process(log.records)
    bench.settle()
    assert shown(bench, "standing", "lapse") == ("regressed", "waiver lapsed: it was raised again")
    # 2023-11-14 in days since 1970 is 19675: months begin at 19662 (November), 19723 (January) and 19754 (February).
    assert shown(bench, "occurrence_number", "occurrence_period", "occurrence_resolved_at", "occurrences") == (
        [1, 2], [19_662, 19_754], [START_US + 40 * DAY_US, None], 2,
    )  # fmt: skip
    assert [entry.kind for entry in chain(bench, TOPIC)] == ["raised", "changed", "resolved", "regressed"]


def test_a_stale_command_is_refused_with_the_present_revision(bench: CaseBench) -> None:
    log = CaseLog()
    log.verdict()
    log.command(command(1, "acknowledge", 0))
    log.command(command(2, "assign", 0))
    bench.process(log.records)
    bench.settle()
    refused = chain(bench, COMMANDS_TOPIC)[1]
    assert (refused.outcome, refused.revision) == ("refused", 1)
    assert refused.reason == "it was decided at revision 0, but the discrepancy is at revision 1 (acknowledged)"
    assert shown(bench, "standing", "assignee") == ("acknowledged", "")


def test_a_command_that_is_sent_again_changes_nothing(bench: CaseBench) -> None:
    log = CaseLog()
    log.verdict()
    log.command(command(1, "comment", 0))
    log.command(command(1, "comment", 0))
    bench.process(log.records)
    bench.settle()
    assert shown(bench, "comments", "revision") == (1, 1)
    assert [entry.outcome for entry in chain(bench, COMMANDS_TOPIC)] == ["applied", "repeated"]


def test_what_cannot_be_read_is_in_quarantine_and_in_the_chain(bench: CaseBench) -> None:
    log = CaseLog()
    log.raw(COMMANDS_TOPIC, b"x", b"\xff")
    log.raw(COMMANDS_TOPIC, b"other", log.command(command(1, "acknowledge", 0)).value)
    log.raw(TOPIC, CASE.encode(), None)
    log.verdict(topic="discrepancy.mismatch")
    bench.process(log.records)
    bench.settle()
    assert bench.quarantined == 4
    assert [entry.outcome for entry in chain(bench, COMMANDS_TOPIC)] == ["quarantined", "applied", "quarantined"]
    assert chain(bench, COMMANDS_TOPIC)[2].reason.startswith("wrong-key")
    assert verify_chain(chain(bench, COMMANDS_TOPIC)) is None


def test_commands_may_come_before_the_verdict(bench: CaseBench) -> None:
    log = CaseLog()
    log.command(command(1, "acknowledge", 0))
    bench.process(log.records)
    bench.settle()
    assert shown(bench, "standing") == ("unknown",)
    log.verdict()
    bench.process(log.records)
    bench.settle()
    assert shown(bench, "standing") == ("acknowledged",)


def test_after_a_crash_the_same_entries_are_written_again(bench: CaseBench) -> None:
    log = CaseLog()
    log.verdict()
    log.command(command(1, "acknowledge", 0))
    bench.process(log.records)
    bench.settle()
    log.command(command(2, "comment", 1))
    bench.process(log.records)
    bench.close_window()
    before = dict(bench.entries)
    bench.crash()
    bench.process(log.records)
    bench.settle()
    assert bench.entries == before
    assert bench.state(CASE).steered.human.revision == 2
    assert verify_chain(chain(bench, COMMANDS_TOPIC)) is None


def test_after_a_rebuild_a_chain_goes_on_behind_its_last_entry(bench: CaseBench) -> None:
    log = CaseLog()
    for number in range(4):
        log.command(command(number, "comment", number))
    bench.partition.put_side(CHAIN_HEAD + COMMANDS_TOPIC.encode(), dumps(Head(3, LOST)))
    bench.process(log.records)
    bench.settle()
    (entry,) = chain(bench, COMMANDS_TOPIC)
    assert (entry.kafka_offset, entry.prev_hash, shown(bench, "comments")) == (3, LOST, (4,))


def test_the_end_of_a_snooze_is_left_to_the_view(bench: CaseBench) -> None:
    log = CaseLog()
    log.verdict()
    log.command(command(1, "assign", 0))
    log.command(command(2, "snooze", 1, snooze=Snooze(START_US + DAY_US, "", None)))
    bench.process(log.records)
    bench.settle()
    assert shown(bench, "standing", "standing_awake", "snoozed_until") == ("snoozed", "assigned", START_US + DAY_US)
