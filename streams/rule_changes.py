"""What changing the settlement's rules means to the cases that earlier rules have made. Pure."""

from __future__ import annotations

from reconcile.finding import CODED_CLASSES
from reconcile.lifecycle import Case
from reconcile.settlement import SettlementRules
from reconcile.spec.legs import DEFAULT_SPEC
from streams.messages import RuleStamp
from streams.order_state import OrderState
from streams.statement_state import StatementState


def stamp_of(rules: SettlementRules, case: Case) -> RuleStamp:
    """Which rule judged the case, and in which version of the spec."""
    rule = case.finding.rule
    return RuleStamp(DEFAULT_SPEC, rules.version, rules.classes[rule])


def explain_rule_changes(changed: list[Case], state: OrderState | StatementState, rules: SettlementRules) -> list[Case]:
    """The changed cases; what resolves though no row has changed says that it is the rule that did.

    `state` must not be marked as judged if its rows have changed. Rules that are code also resolve when what was agreed
    with a seller changes.
    """
    if not state.judged:
        return changed
    explained = []
    for case in changed:
        if not case.is_open and case.finding.rule not in CODED_CLASSES:
            why = f"the rule changed: settlement, version {rules.version} no longer finds it"
            finding = case.finding._replace(detail=f"{case.finding.detail} – {why}")
            case = state.cases[case.key] = case._replace(finding=finding)
        explained.append(case)
    return explained
