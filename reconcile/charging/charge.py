"""Charges an order: scenario → rules → fees → clearing, out of its factors alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from typing import Final, NamedTuple

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
from trueup.model.money import SCALE_DIGITS, exponent, minor_units

_QUANTA: Final = [Decimal((0, (1,), -digits)) for digits in range(SCALE_DIGITS + 1)]
"""Digits of a currency → the amount of its minor unit."""


class Asked(NamedTuple):
    """A condition that was asked on the way to the rules: of which scenario or rule, and whether it holds."""

    of: str
    when: CompiledFormula
    holds: bool


class Match(NamedTuple):
    """The rules that are meant for an order; none where `rules` is empty."""

    scenario: Scenario | None
    rules: tuple[Rule, ...]
    values: dict[str, Value]
    asked: tuple[Asked, ...]


def charge(charging: Charging, factors: str | None, *, order_currency: str) -> Charge | None:
    """What the order costs whom; None where no scenario or no rule of it is meant for such factors.

    Args:
        charging: the spec.
        factors: the order's factors, JSON text; see `read_factors`.
        order_currency: ISO-4217 code, for fees in the currency of the order.

    Errors: FormulaError where a rule is meant for the order but an amount cannot be computed: a factor is missing or of
    the wrong kind, a formula has no value.
    """
    match = match_rules(charging, factors)
    return charge_of(charging, match, order_currency=order_currency)


def charge_of(charging: Charging, match: Match, *, order_currency: str) -> Charge | None:
    """What the rules that were found give; see `charge`."""
    if match.scenario is None or not match.rules:
        return None
    fees = [fee for rule in match.rules for fee in _fees_of(rule, match.values, order_currency)]
    programs = [asked.when.program for asked in match.asked] + [rule.formula.program for rule in match.rules]
    used = {name for program in programs for name in program.inputs if name in match.values}
    return Charge(
        charging.name, charging.version, match.scenario.name, tuple(rule.name for rule in match.rules), tuple(fees),
        clear(fees), snapshot(match.values, used),
    )  # fmt: skip


def match_rules(charging: Charging, factors: str | None) -> Match:
    """The first scenario whose condition holds, and the rules of it that apply.

    A scenario that asks for a factor which the order does not have is not meant for it; a rule is expected to find the factors
    of its scenario.

    Errors: FormulaError for factors of the wrong kind, and where the condition of a rule has no value.
    """
    values = read_factors(factors, charging.factors)
    asked: list[Asked] = []
    for scenario in charging.scenarios:
        when = scenario.when
        has_factors = when is None or values.keys() >= when.program.inputs.keys()
        if has_factors and _holds(f"scenario {scenario.name}", when, values, asked):
            return Match(scenario, tuple(_rules_of(scenario, values, asked)), values, tuple(asked))
    return Match(None, (), values, tuple(asked))


def _rules_of(scenario: Scenario, values: Mapping[str, Value], asked: list[Asked]) -> Iterable[Rule]:
    for rule in scenario.rules:
        if _holds(f"rule {rule.name}", rule.when, values, asked):
            yield rule
            if scenario.match == "first":
                return


def _holds(of: str, when: CompiledFormula | None, values: Mapping[str, Value], asked: list[Asked]) -> bool:
    if when is None:
        return True
    holds = when.evaluate(values) is True
    asked.append(Asked(of, when, holds))
    return holds


def _fees_of(rule: Rule, values: Mapping[str, Value], order_currency: str) -> list[FeeItem]:
    amounts = rule.formula.evaluate_all(values)
    with localcontext(ARITHMETIC):
        return [
            FeeItem(
                rule.name, fee.name, fee.party, fee.type, fee.direction,
                *_rounded(amounts[fee.name], fee, order_currency),
            )
            for fee in rule.fees
        ]  # fmt: skip


def _rounded(amount: Value, fee: FeeTerms, order_currency: str) -> tuple[str, int]:
    """(currency, amount in its minor units), rounded as the fee says; the context is `ARITHMETIC`."""
    assert isinstance(amount, Decimal)
    currency = order_currency if fee.currency == ORDER_CURRENCY else fee.currency
    try:
        rounded = amount.quantize(_QUANTA[exponent(currency)], ROUNDINGS[fee.rounding])
        return currency, minor_units(rounded, currency)
    except InvalidRecord as error:
        raise FormulaError(str(error), where=f"fee {fee.name}", remedy="correct the currency or the factors") from None
