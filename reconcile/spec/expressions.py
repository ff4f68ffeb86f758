"""Translates expressions of a spec into the text of Python expressions that work on rows. Pure.

Amounts are whole minor units of their row's currency, so + and − are exact; × and ÷ go through Decimal. What an
expression says of a row that does not exist is never asked: `Term.needs` names the legs that must have one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from reconcile.formula.errors import FormulaError, error_of
from reconcile.formula.functions import DEFAULT_FUNCTIONS
from reconcile.formula.parse import parse
from reconcile.spec.model import Leg
from reconcile.spec.terms import Scope, Term, currency_text, joined, same_currency

AGGREGATES: Final = frozenset({"any", "count", "sum"})
FUNCTIONS: Final = (DEFAULT_FUNCTIONS - {"tier", "bands"}) | AGGREGATES
_KINDS: Final = {"currency": "text", "json": "text", "int": "number"}
"""Column kind → kind of its values in expressions; the others keep their name."""

_SIGNS: Final[dict[type[ast.AST], str]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=",
    ast.Gt: ">", ast.GtE: ">=", ast.In: "in", ast.NotIn: "not in", ast.And: "and", ast.Or: "or",
}  # fmt: skip


def translate(text: str, scope: Scope, *, where: str) -> Term:
    """The term of an expression. Errors: FormulaError with the place and what to write instead."""
    return _Translator(text, scope, where, ()).read()


def as_condition(text: str, scope: Scope, *, where: str) -> Term:
    """The term of an expression that is true or false. Errors: FormulaError."""
    term = translate(text, scope, where=where)
    if term.kind != "flag":
        raise FormulaError(
            f"this is {_an(term.kind)}, a condition is needed", where=where, remedy="compare it with something"
        )
    return term


def as_amount(text: str, scope: Scope, *, where: str) -> Term:
    """The term of an expression that is an amount, in whole minor units. Errors: FormulaError."""
    term = translate(text, scope, where=where)
    if term.kind != "money" and term.number != 0:
        raise FormulaError(
            f"this is {_an(term.kind)}, an amount is needed", where=where, remedy="use columns of the kind money"
        )
    text = f"({term.text} or 0)" if term.nullable else term.text
    return replace(term, text=text if term.is_whole else f"whole({text})", nullable=False)


class _Translator:
    """One translation of one expression."""

    def __init__(self, text: str, scope: Scope, where: str, open_names: tuple[str, ...]) -> None:
        self.text, self.scope, self.where = text, scope, where
        self.open_names = open_names

    def read(self) -> Term:
        return self.term(parse(self.text, where=self.where, functions=FUNCTIONS))

    def term(self, node: ast.expr) -> Term:
        return _HANDLERS[type(node)](self, node)

    def refused(self, node: ast.expr, what: str, remedy: str) -> FormulaError:
        return error_of(what, node, where=self.where, text=self.text, remedy=remedy)

    def constant(self, node: ast.Constant) -> Term:
        value: object = node.value
        if value is None:
            return Term("None", "null", nullable=True)
        if isinstance(value, bool):
            return Term(repr(value), "flag")
        if isinstance(value, str):
            return Term(repr(value), "text")
        assert isinstance(value, Decimal)
        number = int(value) if value == value.to_integral_value() else None
        return Term(f"Decimal('{value}')" if number is None else repr(number), "number", number=value)

    def name(self, node: ast.Name) -> Term:
        known = self.scope.values.get(node.id)
        if known is not None:
            return known
        definition = self.scope.defined.get(node.id)
        if definition is None:
            names = sorted({*self.scope.defined, *self.scope.values})
            raise self.refused(
                node, f"there is no name {node.id}",
                f"defined here: {', '.join(names) or 'none'}; a column is written `leg.column`",
            )  # fmt: skip
        if node.id in self.open_names:
            raise self.refused(node, f"the definition of {node.id} leads back to itself", "define it by columns")
        hoisted = self.scope.hoisted(node.id)
        if hoisted is not None and not hoisted.needs & self.scope.rows.keys():
            return hoisted
        inner = _Translator(definition, self.scope, f"define {node.id}", (*self.open_names, node.id))
        return inner.read()

    def attribute(self, node: ast.Attribute) -> Term:
        assert isinstance(node.value, ast.Name)
        name = node.value.id
        bound = self.scope.rows.get(name)
        needs: frozenset[str] = frozenset()
        if bound is not None:
            row, leg = bound
        elif name in self.scope.legs and self.scope.legs[name].is_single:
            row, leg, needs = f"row_{name}", self.scope.legs[name], frozenset({name})
        elif name in self.scope.sets:
            raise self.refused(
                node, f"{name} has many rows, which one is meant is not known here",
                f"use any({name}, …), count({name}, …) or sum({name}, …)",
            )  # fmt: skip
        else:
            raise self.refused(node, f"there is no leg {name}", f"the legs are {', '.join(sorted(self.scope.sets))}")
        return replace(self.column(node, leg, row), needs=needs)

    def column(self, node: ast.Attribute, leg: Leg, row: str) -> Term:
        column = next((known for known in leg.table.columns if known.name == node.attr), None)
        if column is None:
            raise self.refused(
                node, f"leg {leg.name} has no column {node.attr}", f"its columns are {', '.join(leg.topic_columns)}"
            )
        kind = _KINDS.get(column.kind, column.kind)
        text = f"{row}.{leg.field_of(column.name)}"
        currencies = (currency_text(leg, row),) if kind == "money" else ()
        return Term(text, kind, nullable=column.nullable, currencies=currencies)

    def unary(self, node: ast.UnaryOp) -> Term:
        operand = self.term(node.operand)
        if isinstance(node.op, ast.Not):
            self.must_be(node.operand, operand, "flag")
            return joined(f"(not {operand.text})", "flag", [operand])
        operand = self.counted(node.operand, operand)
        number = None if operand.number is None else -operand.number
        return replace(joined(f"(-{operand.text})", operand.kind, [operand]), number=number)

    def binary(self, node: ast.BinOp) -> Term:
        left = self.counted(node.left, self.term(node.left))
        right = self.counted(node.right, self.term(node.right))
        sign = _SIGNS[type(node.op)]
        if sign in "+-":
            left, right = self.like(node, left, right)
            return joined(f"({left.text} {sign} {right.text})", left.kind, [left, right])
        kinds = (left.kind, right.kind)
        if kinds == ("money", "money") and sign == "*":
            raise self.refused(node, "two amounts cannot be multiplied", "multiply an amount by a number")
        if kinds == ("number", "money") and sign == "/":
            raise self.refused(node, "a number cannot be divided by an amount", "divide the amount by the number")
        kind = "number" if kinds in {("number", "number"), ("money", "money")} else "money"
        made = joined(f"{'product' if sign == '*' else 'quotient'}({left.text}, {right.text})", kind, [left, right])
        return replace(made, is_whole=False, may_fail=True)

    def boolean(self, node: ast.BoolOp) -> Term:
        terms = [self.term(value) for value in node.values]
        for value, term in zip(node.values, terms, strict=True):
            self.must_be(value, term, "flag")
        return joined(f"({f' {_SIGNS[type(node.op)]} '.join(term.text for term in terms)})", "flag", terms)

    def compare(self, node: ast.Compare) -> Term:
        sides = [node.left, *node.comparators]
        pairs = zip(sides, sides[1:], node.ops, strict=False)
        terms = [self.pair(node, left, right, _SIGNS[type(op)]) for left, right, op in pairs]
        return terms[0] if len(terms) == 1 else joined(f"({' and '.join(one.text for one in terms)})", "flag", terms)

    def pair(self, node: ast.expr, left_node: ast.expr, right_node: ast.expr, sign: str) -> Term:
        left = self.term(left_node)
        if sign in {"in", "not in"}:
            assert isinstance(right_node, ast.Tuple)
            return self.choice(node, left, right_node, sign)
        right = self.term(right_node)
        if "null" in {left.kind, right.kind}:
            if sign not in {"==", "!="}:
                raise self.refused(node, "None is neither less nor more", "use == None or != None")
            one = right if left.kind == "null" else left
            return joined(f"({one.text} is {'not ' if sign == '!=' else ''}None)", "flag", [one])
        if sign not in {"==", "!="} and "id" in {left.kind, right.kind}:
            raise self.refused(
                node, "ids have no order: some are numbers, some are texts", "compare them with == or !="
            )
        left, right = self.like(node, left, right)
        conditions = [f"{left.text} {sign} {right.text}"]
        if sign not in {"==", "!="}:
            conditions[:0] = [f"{one.text} is not None" for one in (left, right) if one.nullable]
        both = joined("", "flag", [left, right])
        # Amounts in two currencies are neither equal nor more nor less.
        guards = same_currency(both)
        text = f"not ({' and '.join([*guards, f'{left.text} == {right.text}'])})" if sign == "!=" else ""
        return replace(both, text=f"({text or ' and '.join([*guards, *conditions])})", currencies=(), spreads=())

    def choice(self, node: ast.expr, left: Term, choices: ast.Tuple, sign: str) -> Term:
        terms = [self.like(node, left, self.term(choice))[1] for choice in choices.elts]
        if left.kind == "money":
            raise self.refused(node, "an amount is not looked for in a list", "compare it with ==, < or >")
        return joined(f"({left.text} {sign} {{{', '.join(term.text for term in terms)}}})", "flag", [left, *terms])

    def conditional(self, node: ast.IfExp) -> Term:
        test = self.term(node.test)
        self.must_be(node.test, test, "flag")
        body, other = self.like(node, self.term(node.body), self.term(node.orelse))
        made = joined(f"({body.text} if {test.text} else {other.text})", body.kind, [test, body, other])
        return replace(made, nullable=body.nullable or other.nullable)

    def call(self, node: ast.Call) -> Term:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        if name in AGGREGATES:
            return self.aggregate(name, node)
        terms = [self.counted(argument, self.term(argument)) for argument in node.args if not _is_mode(argument)]
        if name == "round":
            return self.rounded(node, terms[0])
        if name == "abs":
            return joined(f"abs({terms[0].text})", terms[0].kind, terms)
        first = terms[0]
        for term in terms[1:]:
            first = self.like(node, first, term)[0]
        terms = [self.like(node, first, term)[1] for term in terms]
        return joined(f"{name}({', '.join(term.text for term in terms)})", first.kind, terms)

    def rounded(self, node: ast.Call, term: Term) -> Term:
        digits, mode = node.args[1], node.args[2]
        places, how = int(str(_value(digits))), _value(mode)
        if term.kind != "money":
            text = f"round_number({term.text}, {places}, {how!r})"
            return replace(joined(text, term.kind, [term]), is_whole=False)
        text = f"round_amount({term.text}, {places}, {how!r}, {self.a_currency(node, term)})"
        # Rounded to more digits than the currency has, an amount may keep a fraction of its minor unit.
        return replace(joined(text, "money", [term]), is_whole=False)

    def aggregate(self, name: str, node: ast.Call) -> Term:
        least, most, usage = _USAGE[name]
        if not least <= len(node.args) <= most or node.keywords or not isinstance(node.args[0], ast.Name):
            raise self.refused(node, f"{name} does not take these arguments", f"write {usage}")
        subject = node.args[0].id
        leg = self.scope.sets.get(subject)
        if leg is None:
            known = ", ".join(sorted(self.scope.sets))
            raise self.refused(node.args[0], f"there is no leg or subset {subject}", f"there are {known}")
        row, loop = f"one_{subject}.row", f"for one_{subject} in set_{subject}"
        inner = _Translator(self.text, self.scope.bound(subject, row, leg), self.where, self.open_names)
        conditions = node.args[2 if name == "sum" else 1 :]
        tests = [inner.term(condition) for condition in conditions]
        for condition, test in zip(conditions, tests, strict=True):
            self.must_be(condition, test, "flag")
        chosen = "".join(f" if {test.text}" for test in tests)
        if name != "sum":
            counted = f"sum([1 {loop}{chosen}])" if tests else f"len(set_{subject})"
            found = f"any([{tests[0].text} {loop}])" if tests else f"bool(set_{subject})"
            made = joined(*((found, "flag") if name == "any" else (counted, "number")), tests)
            return replace(made, sets=made.sets | {subject})
        amount = self.counted(node.args[1], inner.term(node.args[1]))
        made = joined(f"sum([{amount.text} {loop}{chosen}])", amount.kind, [amount, *tests])
        # The sum over no rows is nothing in any currency, so only the rows that are there tell theirs.
        own = tuple(one for one in amount.currencies if one == currency_text(leg, row))
        return replace(
            made,
            currencies=tuple(one for one in made.currencies if one not in own),
            spreads=(*(f"[{one} {loop}{chosen}]" for one in own), *made.spreads),
            sets=made.sets | {subject},
        )

    def must_be(self, node: ast.expr, term: Term, kind: str) -> None:
        if term.kind != kind:
            raise self.refused(node, f"this is {_an(term.kind)}, {_an(kind)} is needed", "compare it with something")

    def counted(self, node: ast.expr, term: Term) -> Term:
        """A term to compute with; an empty value counts as zero."""
        if term.kind not in {"money", "number"}:
            raise self.refused(
                node, f"{_an(term.kind)} cannot be computed with", "use columns of the kind money or int"
            )
        return replace(term, text=f"({term.text} or 0)", nullable=False) if term.nullable else term

    def like(self, node: ast.expr, left: Term, right: Term) -> tuple[Term, Term]:
        """Both sides in one kind: a plain number beside an amount is read in major units of the amount's currency."""
        if left.kind == "money" and right.kind == "number":
            return left, self.in_minor(node, right, left)
        if left.kind == "number" and right.kind == "money":
            return self.in_minor(node, left, right), right
        kinds = {left.kind, right.kind}
        if len(kinds) > 1 and not ("id" in kinds and kinds <= {"id", "text", "number"}):
            raise self.refused(
                node, f"{_an(left.kind)} and {_an(right.kind)} cannot go together", "use two values of one kind"
            )
        return left, right

    def in_minor(self, node: ast.expr, number: Term, amount: Term) -> Term:
        if number.number is None:
            raise self.refused(
                node, "an amount and a number that is no amount cannot go together", "multiply, or compare two amounts"
            )
        if number.number == 0:
            return replace(number, kind="money")
        text = f"in_minor(Decimal('{number.number}'), {self.a_currency(node, amount)})"
        return replace(number, text=text, kind="money", is_whole=False)

    def a_currency(self, node: ast.expr, amount: Term) -> str:
        if not amount.currencies and not amount.spreads:
            raise self.refused(node, "the currency of this amount is not known", "name a column of the kind money")
        return amount.currencies[0] if amount.currencies else f"first_of({amount.spreads[0]})"


def _value(node: ast.expr) -> object:
    assert isinstance(node, ast.Constant)
    value: object = node.value
    return value


def _is_mode(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _an(kind: str) -> str:
    return {"money": "an amount", "id": "an id", "null": "None", "flag": "a condition"}.get(kind, f"a {kind}")


_USAGE: Final = {
    "any": (1, 2, "any(leg, condition)"),
    "count": (1, 2, "count(leg) or count(leg, condition)"),
    "sum": (2, 3, "sum(leg, amount) or sum(leg, amount, condition)"),
}
_HANDLERS: Final[dict[type[ast.expr], Callable[..., Term]]] = {
    ast.Constant: _Translator.constant,
    ast.Name: _Translator.name,
    ast.Attribute: _Translator.attribute,
    ast.UnaryOp: _Translator.unary,
    ast.BinOp: _Translator.binary,
    ast.BoolOp: _Translator.boolean,
    ast.Compare: _Translator.compare,
    ast.IfExp: _Translator.conditional,
    ast.Call: _Translator.call,
}
