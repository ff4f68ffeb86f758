"""A charge as a document: amounts in major units, and the steps of every fee, for printing and for JSON."""

from __future__ import annotations

from typing import Any

from reconcile.charging.charge import Match, charge_of
from reconcile.charging.model import Charge, Charging
from reconcile.formula.explain import Explanation
from reconcile.formula.kinds import plain_value
from trueup.model.money import to_text


def charge_document(charging: Charging, match: Match, *, order_currency: str, with_steps: bool) -> dict[str, Any]:
    """What the spec says of an order, as plain values; amounts are text in major units.

    Keys: spec, version, seller, conditions (of, text, holds), scenario and rules (None and empty where no rule is meant
    for the order), fees, shares, nets, factors (those that were used), factors_sha256, and with `with_steps` steps: one
    tree of (text, value, children) for each fee.

    Errors: FormulaError where an amount cannot be computed.
    """
    found = charge_of(charging, match, order_currency=order_currency)
    document: dict[str, Any] = {
        "spec": charging.name,
        "version": charging.version,
        "seller": charging.seller,
        "conditions": [
            {"of": asked.of, "text": asked.when.program.formulas[-1].text, "holds": asked.holds}
            for asked in match.asked
        ],
        "scenario": match.scenario.name if match.scenario is not None else None,
        "rules": [rule.name for rule in match.rules],
    }
    if found is None:
        return document
    return document | _amounts(found) | ({"steps": _steps(match)} if with_steps else {})


def _amounts(charge: Charge) -> dict[str, Any]:
    return {
        "fees": [_in_major_units(fee._asdict(), fee.currency) for fee in charge.fees],
        "shares": [_in_major_units(share._asdict(), share.currency) for share in charge.clearing.shares],
        "nets": [_in_major_units(net._asdict(), net.currency) for net in charge.clearing.nets],
        "factors": charge.snapshot.json,
        "factors_sha256": charge.snapshot.sha256,
    }


def _in_major_units(fields: dict[str, Any], currency: str) -> dict[str, Any]:
    return {
        name.removesuffix("_minor"): to_text(value, currency) if name.endswith("_minor") else value
        for name, value in fields.items()
    }


def _steps(match: Match) -> list[dict[str, Any]]:
    steps = []
    for rule in match.rules:
        explained = rule.formula.explain(match.values)
        steps += [
            {"rule": rule.name, "fee": fee.name, "currency": fee.currency, **_step(explained[fee.name])}
            for fee in rule.fees
        ]
    return steps


def _step(explanation: Explanation) -> dict[str, Any]:
    return {
        "text": explanation.text,
        "value": plain_value(explanation.value),
        "children": [_step(child) for child in explanation.children],
    }
