"""Whatever the findings and watermarks, there is one case per key, and judging again changes nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconcile.finding import Finding
from reconcile.lifecycle import Case, CaseKey, settle

RULES = st.sampled_from(("late-item", "missing-billing", "statement-drift", "stuck"))
FINDINGS = st.lists(
    st.builds(
        Finding, RULES, st.just("order"), st.sampled_from((1, 2, "x")), st.integers(0, 60), st.just(""),
        st.just(0), st.integers(0, 2), st.just("USD"), st.just(9), st.just(1), st.just(""), st.just(()),
    ),
    max_size=5,
)  # fmt: skip
ROUNDS = st.lists(st.tuples(FINDINGS, st.integers(0, 20)), max_size=8)


def keys(findings: list[Finding]) -> set[CaseKey]:
    return {(one.rule, one.entity_kind, one.entity_id) for one in findings}


@given(ROUNDS)
def test_every_round_keeps_the_books(rounds: list[tuple[list[Finding], int]]) -> None:
    cases: dict[CaseKey, Case] = {}
    watermark_us = 0
    for number, (findings, passed_us) in enumerate(rounds):
        watermark_us += passed_us
        before = dict(cases)
        verdict = settle(cases, findings, 0, watermark_us, number)
        assert all(case.key == key for key, case in cases.items())
        first = {key: next(one for one in findings if key == next(iter(keys([one])))) for key in keys(findings)}
        due = {key for key, one in first.items() if one.due_us <= watermark_us}
        was_open = {key for key, case in before.items() if case.is_open}
        is_open = {key for key, case in cases.items() if case.is_open}
        # A standing finding never flaps, and nothing opens before it is due.
        assert is_open == due | (was_open & set(first))
        later = [one.due_us for key, one in first.items() if key not in is_open]
        assert verdict.next_due_us == min(later, default=None)
        for key, case in cases.items():
            held = before.get(key)
            raised = key in is_open - was_open
            assert case.occurrences == (held.occurrences if held else 0) + raised
            assert case.status == (
                "auto-resolved" if not case.is_open else "open" if case.occurrences == 1 else "regressed"
            )
            assert (case.resolved_us is None) == case.is_open
            if key in is_open:
                assert case.finding.actual_minor == first[key].actual_minor
        assert {case.key for case in verdict.changed} == {key for key in cases if cases[key] != before.get(key)}
        assert settle(dict(cases), findings, 0, watermark_us, number + 1).changed == []
