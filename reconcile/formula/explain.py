"""Evaluates a program step by step and keeps every step: for people who ask how an amount came about, and for errors."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, DivisionByZero, DivisionUndefined, InvalidOperation, localcontext
from typing import Any, Final

from reconcile.formula.errors import FormulaError
from reconcile.formula.functions import (
    ROUNDINGS,
    OutsideTable,
    constant_number,
    constant_value,
    table_rows,
    total_of_bands,
)
from reconcile.formula.kinds import Value, checked
from reconcile.formula.parse import dotted_name, is_literal, segment
from reconcile.formula.program import ARITHMETIC, NamedFormula, Program


@dataclass(frozen=True, slots=True)
class Explanation:
    """One step: a piece of a formula, its value, and the steps it was computed from.

    Constants are no steps of their own, nor are the parts of a sum or of a product. A formula that is used several times has its
    steps below its first use only.
    """

    text: str
    value: Value
    children: tuple[Explanation, ...] = ()


def explain(program: Program, values: Mapping[str, object]) -> dict[str, Explanation]:
    """The steps of every result of the program.

    Errors: FormulaError at the piece that has no value, or for a value that is missing or of the wrong kind.
    """
    with localcontext(ARITHMETIC):
        given = {name: checked(name, kind, given_value(values, name)) for name, kind in program.inputs.items()}
        walk = _Walk(given)
        for formula in program.formulas:
            walk.steps[formula.name] = walk.formula(formula)
    return {name: walk.steps[name] for name in program.results}


def given_value(values: Mapping[str, object], name: str) -> object:
    """The value that is given for a name; FormulaError where there is none."""
    if name not in values:
        raise FormulaError(f"{name} is not given", where="the values", remedy=f"give a value for {name}")
    return values[name]


class _Walk:
    """One evaluation."""

    def __init__(self, given: Mapping[str, Value]) -> None:
        self.given = given
        self.steps: dict[str, Explanation] = {}
        self.shown: set[str] = set()
        self.constants: set[str] = set()
        self.current: NamedFormula | None = None

    def formula(self, formula: NamedFormula) -> Explanation:
        self.current = formula
        if is_literal(formula.tree):
            self.constants.add(formula.name)
        return self.step(formula.tree)

    def step(self, node: ast.expr) -> Explanation:
        """The value of a piece; an error of arithmetic becomes a FormulaError of the innermost piece."""
        assert self.current is not None
        name = dotted_name(node)
        if name is not None:
            return self._named(name)
        try:
            value, children = _STEPS[type(node)](self, node)
        except ArithmeticError as error:
            raise self.current.error(node, _reason(error), "guard it by a condition or correct the values") from None
        kept = tuple(child for child, source in children if not is_literal(source))
        return Explanation(segment(self.current.text, node), value, kept)

    def _named(self, name: str) -> Explanation:
        if name in self.given:
            return Explanation(name, self.given[name])
        is_new = name not in self.shown and name not in self.constants
        below = (self.steps[name],) if is_new else ()
        self.shown.add(name)
        return Explanation(name, self.steps[name].value, below)

    def _all(self, *nodes: ast.expr) -> list[tuple[Explanation, ast.expr]]:
        return [(self.step(node), node) for node in nodes]

    def constant(self, node: ast.Constant) -> _Step:
        return constant_value(node), []

    def unary(self, node: ast.UnaryOp) -> _Step:
        (taken,) = self._all(node.operand)
        return (not taken[0].value if isinstance(node.op, ast.Not) else -_number(taken)), [taken]

    def binary(self, node: ast.BinOp) -> _Step:
        left, right = self._all(node.left, node.right)
        value = _ARITHMETIC[type(node.op)](_number(left), _number(right))
        if _is_chain(node):
            return value, [*((child, node.left) for child in left[0].children), right]
        return value, [left, right]

    def boolean(self, node: ast.BoolOp) -> _Step:
        decisive = isinstance(node.op, ast.Or)
        taken = []
        for value in node.values:
            taken += self._all(value)
            if taken[-1][0].value == decisive:
                return decisive, taken
        return not decisive, taken

    def compare(self, node: ast.Compare) -> _Step:
        taken = self._all(node.left)
        for sign, side in zip(node.ops, node.comparators, strict=True):
            left = taken[-1][0].value
            if isinstance(side, ast.Tuple):
                holds = any(left == self.step(entry).value for entry in side.elts) is isinstance(sign, ast.In)
            else:
                taken += self._all(side)
                holds = _COMPARISONS[type(sign)](left, taken[-1][0].value)
            if not holds:
                return False, taken
        return True, taken

    def conditional(self, node: ast.IfExp) -> _Step:
        (test,) = self._all(node.test)
        (chosen,) = self._all(node.body if test[0].value else node.orelse)
        return chosen[0].value, [test, chosen]

    def call(self, node: ast.Call) -> _Step:
        assert isinstance(node.func, ast.Name)
        if node.func.id == "tier":
            return self._tier(node)
        if node.func.id == "bands":
            quantity, *rates = self._all(node.args[0], *(rate for _, rate in table_rows(node)))
            limits = [constant_number(limit) for limit, _ in table_rows(node)]
            rows = list(zip(limits, (_number(rate) for rate in rates), strict=True))
            return total_of_bands(_number(quantity), rows), [quantity, *rates]
        taken = self._all(*(node.args[:1] if node.func.id == "round" else node.args))
        numbers = [_number(argument) for argument in taken]
        if node.func.id == "round":
            return _rounded(numbers[0], node), taken
        return _REDUCTIONS[node.func.id](numbers), taken

    def _tier(self, node: ast.Call) -> _Step:
        (quantity,) = self._all(node.args[0])
        for limit, value in table_rows(node):
            bound = constant_number(limit)
            if bound is None or _number(quantity) <= bound:
                (chosen,) = self._all(value)
                return chosen[0].value, [quantity, chosen]
        raise OutsideTable("the quantity is above the last limit of tier")


_Step = tuple[Value, list[tuple[Explanation, ast.expr]]]


def _number(taken: tuple[Explanation, ast.expr]) -> Decimal:
    value = taken[0].value
    assert isinstance(value, Decimal)
    return value


def _is_chain(node: ast.BinOp) -> bool:
    """Whether the left side goes on with the same kind of operation, as in `a + b - c`."""
    left = node.left
    sums, products = (ast.Add, ast.Sub), (ast.Mult, ast.Div)
    return isinstance(left, ast.BinOp) and any(
        isinstance(node.op, group) and isinstance(left.op, group) for group in (sums, products)
    )


def _rounded(number: Decimal, node: ast.Call) -> Decimal:
    places, mode = constant_number(node.args[1]), node.args[2]
    assert places is not None
    return number.quantize(Decimal((0, (1,), -int(places))), ROUNDINGS[constant_value(mode)])


def _reason(error: ArithmeticError) -> str:
    if isinstance(error, OutsideTable):
        return str(error)
    if isinstance(error, DivisionByZero) or DivisionUndefined in error.args[0]:
        return "division by zero"
    if isinstance(error, InvalidOperation):
        return "this has no value of at most 50 digits"
    return "this is not below 10³⁸"


_STEPS: Final[dict[type[ast.expr], Callable[..., _Step]]] = {
    ast.Constant: _Walk.constant,
    ast.UnaryOp: _Walk.unary,
    ast.BinOp: _Walk.binary,
    ast.BoolOp: _Walk.boolean,
    ast.Compare: _Walk.compare,
    ast.IfExp: _Walk.conditional,
    ast.Call: _Walk.call,
}
_REDUCTIONS: Final[dict[str, Callable[[list[Decimal]], Decimal]]] = {
    "min": min,
    "max": max,
    "abs": lambda numbers: abs(numbers[0]),
}
_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
