"""The functions of the language: their arguments, checked when a formula is read, and what they compute.

`tier` and `bands` count an interval's upper limit in: `x` falls into the first row whose limit is at least `x`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

ROUNDINGS: Final = {
    "half_up": "ROUND_HALF_UP",
    "half_even": "ROUND_HALF_EVEN",
    "down": "ROUND_DOWN",
    "up": "ROUND_UP",
    "ceiling": "ROUND_CEILING",
    "floor": "ROUND_FLOOR",
}
"""Mode of `round` → rounding of the decimal module. `half_up` and `up` round away from zero."""

ROUND_DIGITS_MAX: Final = 18

_SIGNATURES: Final = {
    "min": "min(a, b, …)",
    "max": "max(a, b, …)",
    "abs": "abs(x)",
    "round": 'round(x, digits=0, mode="half_up")',
    "iff": "iff(condition, a, b)",
    "tier": "tier(x, [[limit, value], …, [None, value]])",
    "bands": "bands(x, [[limit, rate], …, [None, rate]])",
}
DEFAULT_FUNCTIONS: Final = frozenset(_SIGNATURES)
"""Functions that every formula may call."""

Refuse = Callable[[str, str], Exception]
"""(what, remedy) → the error at the call."""


def read_call(call: ast.Call, refuse: Refuse) -> ast.expr:
    """The call with its arguments checked and in order; `iff` as the conditional that it is."""
    assert isinstance(call.func, ast.Name)
    name = call.func.id
    signature = _SIGNATURES[name]
    if name == "round":
        return _read_round(call, refuse)
    if call.keywords:
        raise refuse(f"{name} takes its arguments by position", f"write {signature}")
    given = len(call.args)
    tables = [isinstance(argument, ast.List) for argument in call.args]
    fits = {
        "min": given >= 2, "max": given >= 2, "abs": given == 1, "iff": given == 3, "tier": given == 2, "bands": given == 2
    }[name]  # fmt: skip
    if not fits or tables != [name in {"tier", "bands"} and index == 1 for index in range(given)]:
        raise refuse(f"{name} does not take these arguments", f"write {signature}")
    if name in {"tier", "bands"}:
        _check_table(name, call, refuse)
    return ast.IfExp(*call.args) if name == "iff" else call


def _read_round(call: ast.Call, refuse: Refuse) -> ast.expr:
    """`round` with its three arguments, digits and mode constant, so that the quantum is known beforehand."""
    given = dict(zip(("x", "digits", "mode"), call.args, strict=False))
    named = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
    fits = len(call.args) <= 3 and len(named) == len(call.keywords) and not (named.keys() & given.keys())
    given |= named
    if not fits or "x" not in given or not given.keys() <= {"x", "digits", "mode"} or isinstance(given["x"], ast.List):
        raise refuse("round does not take these arguments", f"write {_SIGNATURES['round']}")
    digits = constant_number(given.get("digits", number_node(Decimal(0))))
    if digits is None or digits != digits.to_integral_value() or abs(digits) > ROUND_DIGITS_MAX:
        raise refuse(
            "the digits of round are a whole number", f"write one from -{ROUND_DIGITS_MAX} to {ROUND_DIGITS_MAX}"
        )
    mode = constant_value(given.get("mode", ast.Constant("half_up")))
    if mode not in ROUNDINGS:
        raise refuse("round does not know this mode", f"write one of {', '.join(ROUNDINGS)} in quotes")
    call.args = [
        given["x"],
        ast.copy_location(number_node(digits), call),
        ast.copy_location(ast.Constant(mode), call),
    ]
    call.keywords = []
    return call


def _check_table(name: str, call: ast.Call, refuse: Refuse) -> None:
    """Rows are pairs; limits are numbers that ascend, the last one may be None: without end."""
    rows = table_rows(call)
    if not rows:
        raise refuse(f"the table of {name} has no row", f"write {_SIGNATURES[name]}")
    if any(len(row) != 2 for row in rows):
        raise refuse(f"each row of {name} has two entries", f"write {_SIGNATURES[name]}")
    limits = [constant_number(limit) for limit, _ in rows]
    open_end = isinstance(rows[-1][0], ast.Constant) and rows[-1][0].value is None
    bounds = limits[:-1] if open_end else limits
    numbers = [bound for bound in bounds if bound is not None]
    if len(numbers) != len(bounds):
        raise refuse(f"the limits of {name} are numbers, None only in the last row", f"write {_SIGNATURES[name]}")
    if name == "tier" and not numbers:
        raise refuse("the table of tier has no limit", f"write {_SIGNATURES[name]}")
    if any(low >= high for low, high in pairwise(numbers)):
        raise refuse(f"the limits of {name} must ascend", "put the rows in order, each limit once")
    if name == "bands" and numbers and numbers[0] <= 0:
        raise refuse("the limits of bands are above zero", "the first interval begins at 0")


def table_rows(call: ast.Call) -> list[list[ast.expr]]:
    """The rows of a `tier` or `bands` call: [limit, value] each."""
    table = call.args[1]
    assert isinstance(table, ast.List)
    return [row.elts for row in table.elts if isinstance(row, ast.List)]


def number_node(number: Decimal) -> ast.Constant:
    """The constant of a number; the types of `ast` do not know that a constant may hold a Decimal."""
    held: Any = number
    return ast.Constant(held)


def constant_value(node: ast.expr) -> Any:
    """What a constant of the language holds: Decimal, str, bool or None; None for any other node."""
    return node.value if isinstance(node, ast.Constant) else None


def constant_number(node: ast.expr) -> Decimal | None:
    """The number that is written there, with or without a minus; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = constant_number(node.operand)
        # Zero has no sign here.
        return number.copy_negate() if number else number
    value = constant_value(node)
    return value if isinstance(value, Decimal) else None


class OutsideTable(ArithmeticError):
    """A quantity that no interval of a table holds."""


def total_of_bands(quantity: Decimal, rows: Sequence[tuple[Decimal | None, Decimal]]) -> Decimal:
    """Σ over the intervals of (the part of `quantity` that lies in it × the interval's rate), from 0 upwards.

    Errors: OutsideTable for a quantity below 0 or above the last limit.
    """
    if quantity < 0:
        raise OutsideTable("bands counts from 0, the quantity is below it")
    total = lower = Decimal(0)
    for limit, rate in rows:
        if limit is None or quantity <= limit:
            return total + (quantity - lower) * rate
        total += (limit - lower) * rate
        lower = limit
    raise OutsideTable("the quantity is above the last limit of bands")
