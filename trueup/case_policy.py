"""What an installation decides about cases, from its settings: limits of waivers, severity, due times."""

from __future__ import annotations

from reconcile.cases.policy import CasePolicy, MoneyLimits, Urgency
from trueup.settings import CaseSettings


def policy_of(cases: CaseSettings) -> CasePolicy:
    """The settings of cases in the units of the stage."""
    urgency = Urgency(
        {str(severity): MoneyLimits(amounts) for severity, amounts in cases.severity.items()},
        {str(kind): str(severity) for kind, severity in cases.severity_by_class.items()},
        {str(severity): hours for severity, hours in cases.due_hours.items()},
    )
    return CasePolicy(MoneyLimits(cases.waive_limit), urgency)
