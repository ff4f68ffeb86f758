"""Gives each case that changed its likely cause; what stays as it was keeps what it was told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping

from reconcile.causes.amounts import Parts, cause_of_difference
from reconcile.causes.cause import Cause, money
from reconcile.causes.orders import arrival_in_order, cause_in_order, order_facts
from reconcile.causes.releases import cause_in_release
from reconcile.causes.sellers import cause_of_violation
from reconcile.causes.statements import arrival_in_statement, cause_in_statement
from reconcile.finding import Finding
from reconcile.lifecycle import Case, CaseKey
from reconcile.reference_books import ReferenceBooks
from trueup.model.registers import OrderBooks, StatementBooks
from trueup.model.releases import ReleaseBooks

Facts = OrderBooks | StatementBooks | ReleaseBooks | None
"""The books at the verdict; None where only the finding itself is known."""

NO_EVIDENCE = Cause("unknown", "nothing in these books tells why")


def likely_cause(finding: Finding, facts: Facts, references: ReferenceBooks | None = None) -> Cause:
    """Why the books disagree, from the books alone: the rule's own evidence first, then the amounts, else `unknown`.

    `references` is what was agreed with sellers, where the books are a statement's.
    """
    found = None
    if isinstance(facts, OrderBooks):
        found = cause_in_order(finding, order_facts(facts))
    elif isinstance(facts, ReleaseBooks):
        found = cause_in_release(finding, facts)
    elif facts is not None and references is not None and finding.rule == "rule-violation":
        found = cause_of_violation(finding, facts, references)
    elif facts is not None:
        found = cause_in_statement(finding, facts)
    return found or _by_amounts(finding) or NO_EVIDENCE


def with_causes(
    changed: Iterable[Case],
    cases: MutableMapping[CaseKey, Case],
    facts: Facts,
    references: ReferenceBooks | None = None,
) -> list[Case]:
    """The changed cases with their causes, put into `cases` as well.

    A case that is raised or whose amounts changed is explained anew. One that resolves keeps its cause, unless the row
    that it missed has come: then it was late.
    """
    explained = []
    for case in changed:
        finding = case.finding
        cause = likely_cause(finding, facts, references) if case.is_open else _arrival(finding, facts)
        if cause is not None:
            case = case._replace(cause=cause.name, cause_detail=cause.detail)
            cases[case.key] = case
        explained.append(case)
    return explained


def _arrival(finding: Finding, facts: Facts) -> Cause | None:
    if isinstance(facts, OrderBooks):
        return arrival_in_order(finding, order_facts(facts))
    return arrival_in_statement(finding, facts) if isinstance(facts, StatementBooks) else None


def _by_amounts(finding: Finding) -> Cause | None:
    expected_minor, actual_minor, currency = finding.expected_minor, finding.actual_minor, finding.currency
    if not expected_minor or not actual_minor:
        return None
    difference = money(actual_minor - expected_minor, currency)
    parts = Parts(rows=max(1, len(finding.evidence) - 1))
    return cause_of_difference(expected_minor, actual_minor, currency, parts) or Cause(
        "unknown", f"the difference of {difference} is no sign, power of ten, fee, tax or rounding"
    )
