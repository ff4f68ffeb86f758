"""The kinds of values in a formula, checked before anything is computed: a text is never added to a number."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Literal

from reconcile.formula.errors import FormulaError
from reconcile.formula.functions import table_rows
from reconcile.formula.parse import DIGITS_MAX, dotted_name

Kind = Literal["number", "text", "flag"]
Value = Decimal | str | bool

VALUE_LIMIT: Final = Decimal(10) ** 34
"""Magnitude that a number stays below, as in `NUMERIC(38,4)`."""

Refuse = Callable[[ast.expr, str, str], FormulaError]
"""(node, what, remedy) → the error at the node."""


def checked(name: str, kind: Kind, value: object) -> Value:
    """A value that is given for a name, as its kind: Decimal, str or bool; an int is a number.

    Errors: FormulaError for any other type, binary floats among them, and for a number that is not finite, not below
    `VALUE_LIMIT` or longer than `DIGITS_MAX` digits.
    """
    if kind == "number" and isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        if not number.is_finite() or abs(number.adjusted()) > DIGITS_MAX or len(number.as_tuple().digits) > DIGITS_MAX:
            raise _unfit(name, f"{name} is {str(value)[:60]}, not a number of at most {DIGITS_MAX} digits")
        if number.copy_abs() >= VALUE_LIMIT:
            raise _unfit(name, f"{name} is {str(value)[:60]}, which does not fit NUMERIC({DIGITS_MAX},4)")
        return number
    if kind == "flag" and isinstance(value, bool):
        return value
    if kind == "text" and isinstance(value, str):
        return value
    raise _unfit(name, f"{name} must be a {kind}, not {str(value)[:60]!r} ({type(value).__name__})")


def _unfit(name: str, what: str) -> FormulaError:
    return FormulaError(what, where=f"the value of {name}", remedy="give an exact decimal number, a text or true/false")


def plain_value(value: Value) -> str | bool:
    """A number without exponent and idle zeros, as text; texts and flags as they are."""
    if isinstance(value, bool | str):
        return value
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def kind_of(node: ast.expr, kinds: Mapping[str, Kind], refuse: Refuse) -> Kind:
    """The kind of the value of `node`, where `kinds` knows every name in it.

    Errors: FormulaError, made by `refuse`, where kinds do not fit each other.
    """
    return _Check(kinds, refuse).kind(node)


class _Check:
    """One walk over one formula."""

    def __init__(self, kinds: Mapping[str, Kind], refuse: Refuse) -> None:
        self.kinds = kinds
        self.refuse = refuse

    def kind(self, node: ast.expr) -> Kind:
        name = dotted_name(node)
        if name is not None:
            return self.kinds[name]
        return _CHECKS[type(node)](self, node)

    def need(self, node: ast.expr, kind: Kind) -> None:
        found = self.kind(node)
        if found != kind:
            raise self.refuse(node, f"a {kind} is needed here, this is a {found}", f"write a {kind}")

    def same(self, first: ast.expr, *others: ast.expr) -> Kind:
        kind = self.kind(first)
        for other in others:
            self.need(other, kind)
        return kind

    def constant(self, node: ast.Constant) -> Kind:
        if node.value is None:
            raise self.refuse(node, "None is no value", "None stands for `no limit` in the last row of a table only")
        if isinstance(node.value, bool):
            return "flag"
        return "text" if isinstance(node.value, str) else "number"

    def unary(self, node: ast.UnaryOp) -> Kind:
        kind: Kind = "flag" if isinstance(node.op, ast.Not) else "number"
        self.need(node.operand, kind)
        return kind

    def binary(self, node: ast.BinOp) -> Kind:
        self.need(node.left, "number")
        self.need(node.right, "number")
        return "number"

    def boolean(self, node: ast.BoolOp) -> Kind:
        for value in node.values:
            self.need(value, "flag")
        return "flag"

    def compare(self, node: ast.Compare) -> Kind:
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            kind = self.same(left, *(right.elts if isinstance(right, ast.Tuple) else [right]))
            if kind == "flag" and not isinstance(operator, ast.Eq | ast.NotEq):
                raise self.refuse(node, "flags have no order", "compare them with == or !=, or write the flag alone")
            left = right
            if isinstance(right, ast.Tuple) and right is not node.comparators[-1]:
                raise self.refuse(node, "`in` ends a chain of comparisons", "join the comparisons with and")
        return "flag"

    def conditional(self, node: ast.IfExp) -> Kind:
        self.need(node.test, "flag")
        return self.same(node.body, node.orelse)

    def call(self, node: ast.Call) -> Kind:
        assert isinstance(node.func, ast.Name)
        if node.func.id in {"tier", "bands"}:
            self.need(node.args[0], "number")
            first, *others = (entry for _, entry in table_rows(node))
            if node.func.id == "bands":
                self.need(first, "number")
            return self.same(first, *others)
        for argument in node.args[:1] if node.func.id == "round" else node.args:
            self.need(argument, "number")
        return "number"


_CHECKS: Final[dict[type[ast.expr], Callable[..., Kind]]] = {
    ast.Constant: _Check.constant,
    ast.UnaryOp: _Check.unary,
    ast.BinOp: _Check.binary,
    ast.BoolOp: _Check.boolean,
    ast.Compare: _Check.compare,
    ast.IfExp: _Check.conditional,
    ast.Call: _Check.call,
}
