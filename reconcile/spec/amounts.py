"""What one row of a leg amounts to, for totals that people read."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from reconcile.spec import runtime
from reconcile.spec.expressions import as_amount
from reconcile.spec.model import Leg
from reconcile.spec.terms import Scope, currency_text

ReadAmount = Callable[[Any], tuple[str, int]]
"""row → (currency, minor units)."""


def amount_reader(leg: Leg) -> ReadAmount:
    """Reads the leg's amount off a row; no currency and 0 for a leg without amounts, or a row whose amount is not known."""
    if not leg.amount:
        return lambda _row: ("", 0)
    scope = Scope({leg.name: leg}, {leg.name: leg}, {}).bound(leg.name, "row", leg)
    term = as_amount(leg.amount, scope, where=f"amount of leg {leg.name}")
    text = f"lambda row: ({currency_text(leg, 'row')}, {term.text})"
    # The text comes from the translation of a parsed expression: see reconcile/spec/compile.py.
    names = {"__builtins__": {}, "abs": abs, "max": max, "min": min, "Decimal": Decimal, **runtime.NAMES}
    read: ReadAmount = eval(compile(text, f"<amount of {leg.name}>", "eval"), names)  # noqa: S307

    def reading(row: Any) -> tuple[str, int]:
        try:
            currency, amount_minor = read(row)
        except (TypeError, ArithmeticError):
            return "", 0
        return (currency, amount_minor) if type(amount_minor) is int else ("", 0)

    return reading
