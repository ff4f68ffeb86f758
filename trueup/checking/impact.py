"""What another spec would change: the present states, judged by it as a worker would, beside the cases that stand. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from reconcile.finding import CODED_CLASSES, Finding
from reconcile.lifecycle import Case, CaseKey, settle
from reconcile.settlement import settlement_rules
from reconcile.spec.model import Spec, Tolerances
from reconcile.statement_view import view_statement
from streams.group_state import Groups, GroupState, decode_group_state
from streams.order_state import OrderState, decode_order_state
from streams.statement_state import StatementState, decode_statement_state
from trueup.model.tables import Id

Outcome = Literal["stays", "changes", "opens", "resolves"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("stays", "changes", "opens", "resolves")
"""What becomes of a case; one that changes stays open with other amounts."""

EXAMPLES_MAX: Final = 5

State = OrderState | StatementState | GroupState
Judged = tuple[State, list[Finding]]
"""A state, and every finding about it, due now or later."""


@dataclass(slots=True)
class Tally:
    """How many cases of one rule have one outcome, what is at stake by currency (minor units), and some of them."""

    count: int = 0
    stake_minor: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def add(self, case: Case) -> None:
        """One more case. A side that is missing counts as nothing."""
        finding = case.finding
        self.count += 1
        if finding.currency:
            stake_minor = abs((finding.actual_minor or 0) - (finding.expected_minor or 0))
            self.stake_minor[finding.currency] = self.stake_minor.get(finding.currency, 0) + stake_minor
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(f"{finding.entity_kind} {finding.entity_id}")


@dataclass(slots=True)
class Impact:
    """The sum over many states. `pending` ones have not been judged by the present spec yet, so nothing can be said."""

    states: int = 0
    pending: int = 0
    tallies: dict[tuple[str, Outcome], Tally] = field(default_factory=dict)

    def take(self, judged: Judged, watermark_us: int) -> None:
        """Compare one state's cases with what is found now."""
        state, findings = judged
        self.states += 1
        if not state.judged or state.books.newest_us > watermark_us:
            self.pending += 1
            return
        for outcome, case in outcomes(state.cases, findings, state.books.newest_us, watermark_us):
            self.tallies.setdefault((case.finding.rule, outcome), Tally()).add(case)


class Candidate(NamedTuple):
    """A spec that might be put in place: which states it is about, and how it judges one. `table` is a wide table."""

    table: str
    stage: str
    judge: Callable[[bytes], Judged]


def candidates(spec: Spec, tolerances: Tolerances, *, is_settlement: bool) -> list[Candidate]:
    """The spec as the workers would run it, one part for each kind of state."""
    if not is_settlement:
        groups = Groups([spec], tolerances)
        return [Candidate("group_wide", "groups", lambda encoded: _judge_group(encoded, groups, tolerances))]
    rules = settlement_rules(spec, tolerances)

    def judge_order(encoded: bytes) -> Judged:
        state = decode_order_state(encoded)
        return state, rules.judge_order(state.books)

    def judge_statement(encoded: bytes) -> Judged:
        state = decode_statement_state(encoded)
        # Rules that are code judge by what was agreed with sellers too; no spec changes what they find.
        coded = [case.finding for case in state.cases.values() if case.is_open and case.finding.rule in CODED_CLASSES]
        return state, rules.judge_statement(view_statement(state.books)) + coded

    return [
        Candidate("order_wide", "orders", judge_order),
        Candidate("statement_wide", "statements", judge_statement),
    ]


def _judge_group(encoded: bytes, groups: Groups, tolerances: Tolerances) -> Judged:
    state = decode_group_state(encoded, groups)
    current = groups.of(state.group_id)
    return state, current.group.judge(state.books, tolerances) if current is not None else []


def outcomes(
    cases: Mapping[CaseKey, Case], findings: Iterable[Finding], newest_us: int, watermark_us: int
) -> list[tuple[Outcome, Case]]:
    """What becomes of each case that is open before or after, by the same step that a judgement takes."""
    after = dict(cases)
    changed: dict[tuple[str, str, Id], Case] = {
        case.key: case for case in settle(after, findings, newest_us, watermark_us, 0).changed
    }
    found: list[tuple[Outcome, Case]] = []
    for key, case in after.items():
        was_open = key in cases and cases[key].is_open
        if was_open and case.is_open:
            found.append(("changes" if key in changed else "stays", case))
        elif case.is_open:
            found.append(("opens", case))
        elif was_open:
            found.append(("resolves", case))
    return found
