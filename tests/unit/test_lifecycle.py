"""The life of a discrepancy: raised once when due, resolved and raised again, never flapping."""

from __future__ import annotations

from typing import Any

from reconcile.finding import Evidence, Finding
from reconcile.lifecycle import Case, CaseKey, decode_case, discrepancy_id, encode_case, settle

NEWEST_US = 50
NOW_US = 1000


def finding(rule: str = "stuck", due_us: int = 100, actual: int | None = 5, **fields: Any) -> Finding:
    plain = Finding(
        rule, "order", 1, due_us, "", None if actual is None else 0, actual, "USD", 9, 1, "a detail",
        (Evidence("orders", "a", 1, 7, 50, 0, 3),),
    )  # fmt: skip
    return plain._replace(**fields)


def settled(
    cases: dict[CaseKey, Case], *findings: Finding, watermark_us: int, now_us: int = NOW_US
) -> tuple[list[tuple[str, int]], int | None]:
    verdict = settle(cases, findings, NEWEST_US, watermark_us, now_us)
    return [(case.status, case.occurrences) for case in verdict.changed], verdict.next_due_us


def test_what_is_due_later_opens_nothing_but_asks_to_be_judged_again() -> None:
    cases: dict[CaseKey, Case] = {}
    assert settled(cases, finding(due_us=100), finding("missing-billing", due_us=90), watermark_us=89) == ([], 90)
    assert cases == {}


def test_a_finding_opens_its_case_when_it_is_due() -> None:
    cases: dict[CaseKey, Case] = {}
    assert settled(cases, finding(due_us=100), watermark_us=100) == ([("open", 1)], None)
    (case,) = cases.values()
    assert (case.opened_us, case.detected_us, case.resolved_us) == (NOW_US, NOW_US, None)
    assert (case.source_commit_us, case.watermark_us, case.key) == (100, 100, ("stuck", "order", 1))


def test_a_finding_without_delay_could_be_known_from_the_newest_commit() -> None:
    cases: dict[CaseKey, Case] = {}
    settled(cases, finding(due_us=10), watermark_us=100)
    assert [case.source_commit_us for case in cases.values()] == [NEWEST_US]


def test_a_standing_finding_changes_nothing() -> None:
    cases: dict[CaseKey, Case] = {}
    settled(cases, finding(), watermark_us=100)
    before = dict(cases)
    assert settled(cases, finding(detail="other words", evidence=()), watermark_us=200, now_us=2000) == ([], None)
    assert settled(cases, finding(due_us=10**9), watermark_us=300) == ([], None)
    assert cases == before


def test_other_amounts_are_told() -> None:
    cases: dict[CaseKey, Case] = {}
    settled(cases, finding(), watermark_us=100)
    settle(cases, [finding(actual=6)], 250, 300, 2000)
    (case,) = cases.values()
    assert (case.status, case.occurrences, case.finding.actual_minor) == ("open", 1, 6)
    assert (case.opened_us, case.detected_us, case.source_commit_us) == (NOW_US, 2000, 250)


def test_a_case_resolves_by_itself_and_regresses() -> None:
    cases: dict[CaseKey, Case] = {}
    settled(cases, finding(), watermark_us=100)
    assert settled(cases, watermark_us=200, now_us=2000) == ([("auto-resolved", 1)], None)
    assert settled(cases, watermark_us=201, now_us=2001) == ([], None)
    assert [(case.resolved_us, case.is_open) for case in cases.values()] == [(2000, False)]
    assert settled(cases, finding(due_us=400), watermark_us=300) == ([], 400)
    assert settled(cases, finding(due_us=400), watermark_us=400, now_us=4000) == ([("regressed", 2)], None)
    (case,) = cases.values()
    assert (case.opened_us, case.detected_us, case.resolved_us, case.is_open) == (NOW_US, 4000, None, True)


def test_one_case_for_one_rule_and_entity() -> None:
    cases: dict[CaseKey, Case] = {}
    assert settled(cases, finding(actual=1), finding(actual=2), watermark_us=100) == ([("open", 1)], None)
    assert [case.finding.actual_minor for case in cases.values()] == [1]


def test_ids_depend_on_rule_entity_and_owner_alone() -> None:
    identifier = discrepancy_id(("stuck", "billing_item", 1), 7)
    assert len(identifier) == 32
    assert identifier == discrepancy_id(("stuck", "billing_item", 1), 7)
    others = [(("stuck", "payout", 1), 7), (("stuck", "billing_item", 2), 7), (("stuck", "billing_item", 1), 8)]
    assert len({identifier, *(discrepancy_id(key, owner) for key, owner in others)}) == 4


def test_cases_are_kept_as_lists() -> None:
    cases: dict[CaseKey, Case] = {}
    settled(cases, finding(), finding("illegal-transition", actual=None, entity_id="x"), watermark_us=100)
    for case in cases.values():
        assert decode_case(encode_case(case)) == case  # type: ignore[arg-type]  # as JSON gives it back
