"""Charges an order: scenario → rules → fees → clearing, out of its factors alone."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, localcontext

from reconcile.charging.clearing import clear
from reconcile.charging.declared import ORDER_CURRENCY
from reconcile.charging.factors import read_factors, snapshot
from reconcile.charging.model import Charge, Charging, FeeItem, FeeTerms, Rule, Scenario
from reconcile.formula.compile import CompiledFormula
from reconcile.formula.errors import FormulaError
from reconcile.formula.functions import ROUNDINGS
from reconcile.formula.kinds import Value
from reconcile.formula.program import ARITHMETIC
from trueup.model.errors import InvalidRecord
from trueup.model.money import exponent, minor_units


def charge(charging: Charging, factors: str | None, *, order_currency: str) -> Charge | None:
    """What the order costs whom; None where no scenario or no rule of it is meant for such factors.

    Args:
        charging: the spec.
        factors: the order's factors, JSON text; see `read_factors`.
        order_currency: ISO-4217 code, for fees in the currency of the order.

    Errors: FormulaError where a rule is meant for the order but an amount cannot be computed: a factor is missing or of
    the wrong kind, a formula has no value.
    """
    values = read_factors(factors, charging.factors)
    scenario = scenario_of(charging, values)
    if scenario is None:
        return None
    used = set(scenario.when.program.inputs) if scenario.when is not None else set()
    rules = _rules_of(scenario, values, used)
    if not rules:
        return None
    fees = [fee for rule in rules for fee in _fees_of(rule, values, order_currency)]
    used.update(name for rule in rules for name in rule.formula.program.inputs)
    return Charge(
        charging.name, charging.version, scenario.name, tuple(rule.name for rule in rules), tuple(fees), clear(fees),
        snapshot(values, used),
    )  # fmt: skip


def scenario_of(charging: Charging, values: Mapping[str, Value]) -> Scenario | None:
    """The first scenario whose condition holds. A condition on a factor that the order does not have does not hold."""
    for scenario in charging.scenarios:
        when = scenario.when
        if when is None or (values.keys() >= when.program.inputs.keys() and _holds(when, values)):
            return scenario
    return None


def _rules_of(scenario: Scenario, values: Mapping[str, Value], used: set[str]) -> list[Rule]:
    """The rules that apply, and into `used` the factors that were asked to find them."""
    rules = []
    for rule in scenario.rules:
        if rule.when is not None:
            used.update(rule.when.program.inputs)
        if rule.when is None or _holds(rule.when, values):
            rules.append(rule)
            if scenario.match == "first":
                break
    return rules


def _holds(when: CompiledFormula, values: Mapping[str, Value]) -> bool:
    return when.evaluate(values) is True


def _fees_of(rule: Rule, values: Mapping[str, Value], order_currency: str) -> list[FeeItem]:
    amounts = rule.formula.evaluate_all(values)
    return [
        FeeItem(
            rule.name, fee.name, fee.party, fee.type, fee.direction, *_rounded(amounts[fee.name], fee, order_currency)
        )
        for fee in rule.fees
    ]


def _rounded(amount: Value, fee: FeeTerms, order_currency: str) -> tuple[str, int]:
    """(currency, amount in its minor units), rounded as the fee says."""
    assert isinstance(amount, Decimal)
    currency = order_currency if fee.currency == ORDER_CURRENCY else fee.currency
    try:
        with localcontext(ARITHMETIC):
            rounded = amount.quantize(Decimal((0, (1,), -exponent(currency))), ROUNDINGS[fee.rounding])
        return currency, minor_units(rounded, currency)
    except InvalidRecord as error:
        raise FormulaError(str(error), where=f"fee {fee.name}", remedy="correct the currency or the factors") from None
