"""The rule about charging: what was billed is what a charging spec says of the row's factors."""

from __future__ import annotations

from dataclasses import replace

from reconcile.charging.load import load_charging
from reconcile.spec.declared import FormulaRule
from reconcile.spec.draft import Lines, indented, inside
from reconcile.spec.errors import SpecError
from reconcile.spec.kinds.common import RuleDraft
from reconcile.spec.kinds.rows import edits_text, excusing_rule
from reconcile.spec.model import Leg
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
    amounts = (f"{charged}.amount_minor", name, currency)
    told = at.tell(evidence, amounts=amounts)
    as_billed = _charge_as_billed(at, rule, leg, charging)
    if as_billed and rule.excused_by and rule.detail_edited:
        detail = at.detail("detail_edited", rule.detail_edited)
        told = [
            *as_billed,
            f"if billed_{at.number} is not None and billed_{at.number}.amount_minor == {name}:",
            *indented(at.tell(evidence, rule=rule.excused_by, amounts=amounts, detail=detail)),
            "else:",
            *indented(told),
        ]
    problem = at.tell(evidence, detail=f"'the charge cannot be computed: ' + {charged}.problem")
    at.add(
        inside(
            [*given, *when, *at.not_told_elsewhere()],
            [
                f"{charged} = {_charge_text(charging, rule, leg, row)}",
                f"if {charged} is not None and {charged}.amount_minor is None:",
                *indented(problem),
                f"elif {charged} is not None:",
                *indented(
                    [f"{name} = {actual.text}", *inside([f"{charged}.amount_minor != {name}", *one_currency], told)]
                ),
            ],
        )
    )


def _charge_text(charging: str, rule: FormulaRule, leg: Leg, row: str) -> str:
    """The text of the charge for the factors of a row of the leg."""
    return (
        f"expected_charge_minor({charging}, FactorsOf({row}.{leg.field_of(rule.factors)}, {currency_text(leg, row)}))"
    )


def _charge_as_billed(at: RuleDraft, rule: FormulaRule, leg: Leg, charging: str) -> Lines:
    """Computes the charge for the factors before the first edit that `excused_by` looks for; no lines without it."""
    if rule.excused_by is None and rule.detail_edited is None:
        return []
    if rule.excused_by is None or rule.detail_edited is None:
        at.wrong("excused_by", "`excused_by` and `detail_edited` come together", "give both, or neither")
        return []
    edit = excusing_rule(at, rule.excused_by)
    if edit is None:
        return []
    before = f"before_{at.number}"
    return [
        f"{before} = {edits_text(at, edit.after, [rule.factors])} if marks else None",
        f"billed_{at.number} = None if {before} is None else {_charge_text(charging, rule, leg, before)}",
    ]


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
