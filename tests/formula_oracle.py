"""A second evaluator of the formula language, written from its page: it works on trees of its own and on Fractions.

A tree is a tuple: ("number", text), ("name", name), ("-", x), ("not", x), (sign, x, y), ("if", c, x, y),
("call", name, x, …), ("round", x, digits, mode), ("tier" or "bands", x, [(limit or None, value), …]).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

Tree = tuple[Any, ...]
Exact = Fraction | bool

_FUNCTIONS: dict[str, Callable[[list[Any]], Exact]] = {
    "min": min,
    "max": max,
    "abs": lambda given: max(given[0], -given[0]),
    "not 1": lambda given: not given[0],
    "- 1": lambda given: -given[0],
    "+ 2": lambda given: given[0] + given[1],
    "- 2": lambda given: given[0] - given[1],
    "* 2": lambda given: given[0] * given[1],
    "/ 2": lambda given: given[0] / given[1],
    "< 2": lambda given: bool(given[0] < given[1]),
    "<= 2": lambda given: bool(given[0] <= given[1]),
    "> 2": lambda given: bool(given[0] > given[1]),
    ">= 2": lambda given: bool(given[0] >= given[1]),
    "== 2": lambda given: bool(given[0] == given[1]),
    "!= 2": lambda given: bool(given[0] != given[1]),
}
"""Function, or sign and number of operands → what it computes."""


def exact_value(tree: Tree, values: Mapping[str, Exact]) -> Exact:
    """The value without any rounding but the one that `round` asks for; ZeroDivisionError and ValueError have none."""
    kind, *parts = tree
    if kind == "number":
        return Fraction(parts[0])
    if kind == "name":
        return values[parts[0]]
    if kind in {"and", "or", "if"}:
        return exact_value(_chosen(kind, parts, values), values)
    if kind in {"tier", "bands"}:
        quantity = Fraction(exact_value(parts[0], values))
        return _tier(quantity, parts[1], values) if kind == "tier" else _bands(quantity, parts[1], values)
    if kind == "round":
        return rounded(Fraction(exact_value(parts[0], values)), parts[1], parts[2])
    operands = [exact_value(part, values) for part in (parts[1:] if kind == "call" else parts)]
    return _FUNCTIONS[parts[0] if kind == "call" else f"{kind} {len(operands)}"](operands)


def _chosen(kind: str, parts: list[Any], values: Mapping[str, Exact]) -> Tree:
    """The part that a conditional, `and` or `or` takes its value from."""
    first = bool(exact_value(parts[0], values))
    if kind == "if":
        return tuple(parts[1] if first else parts[2])
    return tuple(parts[1] if first is (kind == "and") else parts[0])


def rounded(number: Fraction, digits: int, mode: str) -> Fraction:
    """The multiple of 10**-digits that the mode chooses."""
    scaled = number * Fraction(10) ** digits
    below, above = math.floor(scaled), math.ceil(scaled)
    inward, outward = (below, above) if scaled >= 0 else (above, below)
    distance = abs(scaled - inward)
    chosen = {
        "floor": below,
        "ceiling": above,
        "down": inward,
        "up": outward,
        "half_up": outward if distance >= Fraction(1, 2) else inward,
        "half_even": outward if distance > Fraction(1, 2) or (2 * distance == 1 and inward % 2) else inward,
    }[mode]
    return Fraction(chosen) / Fraction(10) ** digits


def _tier(quantity: Fraction, rows: list[tuple[str | None, Tree]], values: Mapping[str, Exact]) -> Exact:
    fitting = [value for limit, value in rows if limit is None or quantity <= Fraction(limit)]
    if not fitting:
        raise ValueError("above the last limit")
    return exact_value(fitting[0], values)


def _bands(quantity: Fraction, rows: list[tuple[str | None, Tree]], values: Mapping[str, Exact]) -> Fraction:
    limits = [None if limit is None else Fraction(limit) for limit, _ in rows]
    rates = [Fraction(exact_value(rate, values)) for _, rate in rows]
    last = limits[-1]
    if quantity < 0 or (last is not None and quantity > last):
        raise ValueError("outside")
    total, lower = Fraction(0), Fraction(0)
    for limit, rate in zip(limits, rates, strict=True):
        upper = quantity if limit is None else min(quantity, limit)
        total += max(upper - lower, Fraction(0)) * rate
        lower = limit if limit is not None else lower
    return total


def text_of(tree: Tree) -> str:
    """The tree as a formula, every operation in brackets."""
    kind, *parts = tree
    if kind in {"number", "name"}:
        return str(parts[0])
    if kind == "if":
        test, then, otherwise = (text_of(part) for part in parts)
        return f"({then} if {test} else {otherwise})"
    if kind in {"tier", "bands"}:
        rows = ", ".join(f"[{limit}, {text_of(value)}]" for limit, value in parts[1])
        return f"{kind}({text_of(parts[0])}, [{rows}])"
    if kind == "round":
        return f"round({text_of(parts[0])}, {parts[1]}, mode='{parts[2]}')"
    if kind == "call":
        return f"{parts[0]}({', '.join(text_of(part) for part in parts[1:])})"
    if len(parts) == 1:
        return f"({kind} {text_of(parts[0])})"
    return f"({text_of(parts[0])} {kind} {text_of(parts[1])})"
