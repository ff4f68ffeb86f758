"""The rule about charging: what was billed is what a charging spec says of the row's factors."""

from __future__ import annotations

from dataclasses import replace

from reconcile.charging.load import load_charging
from reconcile.spec.declared import FormulaRule
from reconcile.spec.draft import indented, inside
from reconcile.spec.errors import SpecError
from reconcile.spec.kinds.common import RuleDraft
from reconcile.spec.terms import Term, currency_text, joined, same_currency

FROM_SETTINGS = "settings"


def formula(at: RuleDraft, rule: FormulaRule) -> None:
    """An amount is the charge for the row's factors; rows that the charging spec is not meant for are not judged."""
    leg = at.leg
    factors = next((one for one in leg.table.columns if one.name == rule.factors), None) if leg else None
    if leg is None or not leg.currency or factors is None or factors.kind not in {"json", "text"}:
        at.wrong("leg", "it needs a leg with amounts and a column of factors", 'name the column: `factors = "…"`')
        return
    charging, given = _charging(at, rule)
    charged = f"charged_{at.number}"
    at.scope = at.scope.with_values({"charge": Term(f"{charged}.rule", "text")})
    when = at.condition("when", rule.when)
    actual = at.amount("actual", rule.actual)
    if actual is None:
        at.tell([])  # so that errors of the detail are told as well
        return
    row, name = f"row_{leg.name}", f"actual_{at.number}"
    currency = at.currency()
    one_currency = same_currency(replace(joined("", "money", [actual]), currencies=(currency, *actual.currencies)))
    evidence = [*at.own_evidence(), *at.set_evidence(actual.sets)]
    told = at.tell(evidence, amounts=(f"{charged}.amount_minor", name, currency))
    problem = at.tell(evidence, detail=f"'the charge cannot be computed: ' + {charged}.problem")
    wanted = f"FactorsOf({row}.{leg.field_of(rule.factors)}, {currency_text(leg, row)})"
    at.add(
        inside(
            [*given, *when, *at.not_told_elsewhere()],
            [
                f"{charged} = expected_charge_minor({charging}, {wanted})",
                f"if {charged} is not None and {charged}.amount_minor is None:",
                *indented(problem),
                f"elif {charged} is not None:",
                *indented(
                    [f"{name} = {actual.text}", *inside([f"{charged}.amount_minor != {name}", *one_currency], told)]
                ),
            ],
        )
    )


def _charging(at: RuleDraft, rule: FormulaRule) -> tuple[str, list[str]]:
    """(text of the charging spec, conditions under which there is one)."""
    if rule.charging == FROM_SETTINGS:
        return "charging", ["charging is not None"]
    try:
        return at.draft.constant(load_charging(rule.charging)), []
    except SpecError as error:
        for problem in error.problems:
            at.wrong("charging", f"{problem.file}, line {problem.line}: {problem.what}", problem.remedy)
        return "None", []
