"""Writes one Python function for a program, out of the checked trees: straight code, no loop, no name of Python's own.

Names of a program become numbered locals (`v0` a given value, `f0` a formula, `t0` a value used twice), so no text of
a user reaches the compiler except as a constant.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from reconcile.formula.functions import (
    ROUNDINGS,
    OutsideTable,
    constant_number,
    constant_value,
    table_rows,
    total_of_bands,
)
from reconcile.formula.kinds import VALUE_LIMIT, Value, checked
from reconcile.formula.parse import dotted_name
from reconcile.formula.program import Program

Function = Callable[[Mapping[str, object]], tuple[Value, ...]]
"""Values by name → the value of each formula of a program."""

_TYPES: Final = {"text": "str", "flag": "bool"}


def function_of(program: Program) -> Function:
    """The function that computes the value of every formula of the program, in its order.

    It must run in the context `ARITHMETIC`. It raises ArithmeticError, KeyError or FormulaError where a value cannot
    be computed; `reconcile.formula.explain` tells where.
    """
    writer = _Writer()
    body: list[ast.stmt] = []
    for index, (name, kind) in enumerate(program.inputs.items()):
        local = writer.locals[name] = f"v{index}"
        unfit = f"{local}.__class__ is not {_TYPES.get(kind, 'Decimal')}"
        if kind == "number":
            unfit += f" or not -limit < {local} < limit"
        body += ast.parse(
            f"{local} = values[{name!r}]\nif {unfit}: {local} = checked({name!r}, {kind!r}, {local})"
        ).body
    for index, formula in enumerate(program.formulas):
        local = f"f{index}"
        body.append(ast.Assign([ast.Name(local, ast.Store())], writer.write(formula.tree)))
        writer.locals[formula.name] = local
    body.append(ast.Return(ast.Tuple([_load(f"f{index}") for index in range(len(program.formulas))], ast.Load())))
    module = ast.parse("def formula(values): pass")
    definition = module.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.body = body
    scope: dict[str, Any] = {
        "__builtins__": {}, "Decimal": Decimal, "str": str, "bool": bool, "abs": abs, "limit": VALUE_LIMIT,
        "checked": checked, "total_of_bands": total_of_bands, "outside": _outside, **writer.constants,
    }  # fmt: skip
    exec(compile(ast.fix_missing_locations(module), "<formula>", "exec"), scope)  # noqa: S102 # built above, node by node
    function: Function = scope["formula"]
    return function


def _outside() -> Value:
    raise OutsideTable("the quantity is above the last limit of tier")


class _Writer:
    """Turns trees of the language into trees of Python."""

    def __init__(self) -> None:
        self.locals: dict[str, str] = {}
        self.constants: dict[str, Decimal] = {}
        self.temporaries = 0

    def write(self, node: ast.expr) -> ast.expr:
        name = dotted_name(node)
        if name is not None:
            return _load(self.locals[name])
        return _WRITERS[type(node)](self, node)

    def constant(self, node: ast.Constant) -> ast.expr:
        number = constant_number(node)
        return ast.Constant(node.value) if number is None else self.number(number)

    def number(self, value: Decimal) -> ast.expr:
        """A Decimal cannot stand in Python's code, so it gets a name there."""
        for name, held in self.constants.items():
            if held.compare_total(value) == 0:
                return _load(name)
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return _load(name)

    def unary(self, node: ast.UnaryOp) -> ast.expr:
        negative = constant_number(node)
        return ast.UnaryOp(node.op, self.write(node.operand)) if negative is None else self.number(negative)

    def binary(self, node: ast.BinOp) -> ast.expr:
        return ast.BinOp(self.write(node.left), node.op, self.write(node.right))

    def boolean(self, node: ast.BoolOp) -> ast.expr:
        return ast.BoolOp(node.op, [self.write(value) for value in node.values])

    def compare(self, node: ast.Compare) -> ast.expr:
        return ast.Compare(self.write(node.left), node.ops, [self.write(side) for side in node.comparators])

    def choices(self, node: ast.Tuple) -> ast.expr:
        return ast.Tuple([self.write(entry) for entry in node.elts], ast.Load())

    def conditional(self, node: ast.IfExp) -> ast.expr:
        return ast.IfExp(self.write(node.test), self.write(node.body), self.write(node.orelse))

    def call(self, node: ast.Call) -> ast.expr:
        assert isinstance(node.func, ast.Name)
        return _CALLS[node.func.id](self, node)

    def absolute(self, node: ast.Call) -> ast.expr:
        return _call(_load("abs"), self.write(node.args[0]))

    def round(self, node: ast.Call) -> ast.expr:
        quantity, digits, mode = node.args
        places = constant_number(digits)
        assert places is not None
        quantum = self.number(Decimal((0, (1,), -int(places))))
        method = ast.Attribute(self.write(quantity), "quantize", ast.Load())
        return _call(method, quantum, ast.Constant(ROUNDINGS[constant_value(mode)]))

    def smallest(self, node: ast.Call) -> ast.expr:
        return self._best(node, ast.LtE())

    def largest(self, node: ast.Call) -> ast.expr:
        return self._best(node, ast.GtE())

    def _best(self, node: ast.Call, better: ast.cmpop) -> ast.expr:
        """Comparisons in place: a call of Python's `max` costs three times as much."""
        best, *others = (self.write(argument) for argument in node.args)
        for other in others:
            (first, first_again), (second, second_again) = self._once(best), self._once(other)
            best = ast.IfExp(ast.Compare(first, [better], [second]), first_again, second_again)
        return best

    def _once(self, node: ast.expr) -> tuple[ast.expr, ast.expr]:
        """The expression where it is computed, and where its value is used again."""
        if isinstance(node, ast.Name):
            return node, node
        local = f"t{self.temporaries}"
        self.temporaries += 1
        return ast.NamedExpr(ast.Name(local, ast.Store()), node), _load(local)

    def tier(self, node: ast.Call) -> ast.expr:
        first, again = self._once(self.write(node.args[0]))
        rows = table_rows(node)
        chosen = _call(_load("outside"))
        if constant_number(rows[-1][0]) is None:
            chosen = self.write(rows.pop()[1])
        for index in reversed(range(len(rows))):
            limit, value = rows[index]
            test = ast.Compare(first if index == 0 else again, [ast.LtE()], [self.write(limit)])
            chosen = ast.IfExp(test, self.write(value), chosen)
        return chosen

    def bands(self, node: ast.Call) -> ast.expr:
        rows = [ast.Tuple([self.write(entry) for entry in row], ast.Load()) for row in table_rows(node)]
        return _call(_load("total_of_bands"), self.write(node.args[0]), ast.Tuple(list(rows), ast.Load()))


def _load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _call(function: ast.expr, *arguments: ast.expr) -> ast.expr:
    return ast.Call(function, list(arguments), [])


_WRITERS: Final[dict[type[ast.expr], Callable[..., ast.expr]]] = {
    ast.Constant: _Writer.constant,
    ast.UnaryOp: _Writer.unary,
    ast.BinOp: _Writer.binary,
    ast.BoolOp: _Writer.boolean,
    ast.Compare: _Writer.compare,
    ast.Tuple: _Writer.choices,
    ast.IfExp: _Writer.conditional,
    ast.Call: _Writer.call,
}
_CALLS: Final[dict[str, Callable[[_Writer, ast.Call], ast.expr]]] = {
    "abs": _Writer.absolute,
    "round": _Writer.round,
    "min": _Writer.smallest,
    "max": _Writer.largest,
    "tier": _Writer.tier,
    "bands": _Writer.bands,
}
