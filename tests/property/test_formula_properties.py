"""Formulas are what exact arithmetic says they are, explain what they compute, and refuse everything else in words."""

from __future__ import annotations

import ast
from collections.abc import Callable
from decimal import Decimal, getcontext
from fractions import Fraction
from functools import partial
from typing import TypeVar

from hypothesis import assume, example, given
from hypothesis import strategies as st

from reconcile.formula.compile import compile_formula
from reconcile.formula.errors import FormulaError
from reconcile.formula.functions import DEFAULT_FUNCTIONS, ROUNDINGS
from reconcile.formula.kinds import Kind
from reconcile.formula.parse import DIGITS_MAX, parse
from tests.formula_oracle import Exact, Tree, exact_value, rounded, text_of

Result = TypeVar("Result")

NUMBERS = ("a", "b", "c")
FLAGS = ("p", "q")
KINDS: dict[str, Kind] = {**dict.fromkeys(NUMBERS, "number"), **dict.fromkeys(FLAGS, "flag")}

DIGITS = st.from_regex(r"(0|[1-9][0-9]{0,3})(\.[0-9]{1,3})?", fullmatch=True, alphabet=st.characters(codec="ascii"))
VALUES = st.fixed_dictionaries(
    {name: st.decimals(-9999, 9999, places=3, allow_nan=False) for name in NUMBERS}
    | {name: st.booleans() for name in FLAGS}
)


def limits(*, above_zero: bool) -> st.SearchStrategy[list[str | None]]:
    numbers = st.lists(st.integers(1 if above_zero else -50, 50), min_size=1, max_size=4, unique=True).map(sorted)
    return st.tuples(numbers, st.booleans()).map(
        lambda drawn: [*map(str, drawn[0]), *([None] if drawn[1] else [])]
    )  # fmt: skip


def table(children: st.SearchStrategy[Tree], kind: str) -> st.SearchStrategy[Tree]:
    rows = limits(above_zero=kind == "bands").flatmap(
        lambda bounds: st.tuples(*(st.tuples(st.just(bound), children) for bound in bounds)).map(list)
    )
    return st.tuples(st.just(kind), children, rows)


def numbers_over(children: st.SearchStrategy[Tree], signs: str) -> st.SearchStrategy[Tree]:
    """Trees with a number for their value, one level above `children`."""
    comparison = st.tuples(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), children, children)
    flags = st.one_of(st.tuples(st.just("name"), st.sampled_from(FLAGS)), comparison)
    joined = st.one_of(
        flags, st.tuples(st.sampled_from(["and", "or"]), flags, flags), st.tuples(st.just("not"), flags)
    )  # fmt: skip
    return st.one_of(
        st.tuples(st.sampled_from(list(signs)), children, children),
        st.tuples(st.just("-"), children),
        st.tuples(st.just("call"), st.sampled_from(["min", "max"]), children, children),
        st.tuples(st.just("call"), st.just("max"), children, children, children),
        st.tuples(st.just("call"), st.just("abs"), children),
        st.tuples(st.just("round"), children, st.integers(-3, 6), st.sampled_from(sorted(ROUNDINGS))),
        st.tuples(st.just("if"), joined, children, children),
        table(children, "tier"),
        table(children, "bands"),
    )


LEAVES: st.SearchStrategy[Tree] = st.one_of(
    st.tuples(st.just("number"), DIGITS), st.tuples(st.just("name"), st.sampled_from(NUMBERS))
)
# Products of six-digit numbers with three decimals stay exact within 50 digits when there are few of them.
WHOLE = st.recursive(LEAVES, partial(numbers_over, signs="+-*"), max_leaves=7)
DIVIDED = st.recursive(LEAVES, partial(numbers_over, signs="+-*/"), max_leaves=7)


def outcome(work: Callable[[], Result]) -> Result | FormulaError:
    """What comes of it: the result, or the refusal in words. Any other error is the test's failure."""
    try:
        return work()
    except FormulaError as error:
        return error


def exact(values: dict[str, Decimal | bool]) -> dict[str, Exact]:
    return {name: value if isinstance(value, bool) else Fraction(value) for name, value in values.items()}


@given(WHOLE, VALUES)
def test_without_division_the_value_is_exact(tree: Tree, values: dict[str, Decimal | bool]) -> None:
    text = text_of(tree)
    compiled = compile_formula(text, names=KINDS)
    try:
        expected = Fraction(exact_value(tree, exact(values)))
    except ValueError:
        expected = None
    found = outcome(lambda: compiled.evaluate(values))
    if isinstance(found, FormulaError):
        assert expected is None or abs(expected) >= 10**30
    else:
        assert isinstance(found, Decimal)
        assert Fraction(found) == expected


@given(DIVIDED, VALUES)
def test_the_explanation_ends_in_the_value(tree: Tree, values: dict[str, Decimal | bool]) -> None:
    compiled = compile_formula({"part": text_of(tree), "whole": "part + part"}, names=KINDS)
    found = outcome(lambda: compiled.evaluate(values))
    explained = outcome(lambda: compiled.explain(values)["whole"].value)
    assert str(explained) == str(found)


@given(st.tuples(st.just("/"), WHOLE, WHOLE), VALUES, st.integers(0, 8), st.sampled_from(sorted(ROUNDINGS)))
def test_a_quotient_is_correct_to_50_digits(
    tree: Tree, values: dict[str, Decimal | bool], digits: int, mode: str
) -> None:
    compiled = compile_formula(
        {"quotient": text_of(tree), "amount": f"round(quotient, {digits}, '{mode}')"}, names=KINDS
    )
    try:
        expected = Fraction(exact_value(tree, exact(values)))
    except (ValueError, ZeroDivisionError):
        expected = None
    found = outcome(lambda: compiled.evaluate_all(values))
    if isinstance(found, FormulaError):
        assert expected is None or abs(expected) >= 10**30
        return
    assert expected is not None
    assert isinstance(found["quotient"], Decimal)
    assert isinstance(found["amount"], Decimal)
    kept = Fraction(found["quotient"])
    assert abs(kept - expected) <= abs(expected) / 10**49
    assert Fraction(found["amount"]) == rounded(kept, digits, mode)


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_a_value_is_taken_exactly_or_refused(value: Decimal) -> None:
    fits = (
        value.is_finite()
        and abs(value) < 10**34
        and abs(value.adjusted()) <= DIGITS_MAX
        and len(value.as_tuple().digits) <= DIGITS_MAX
    )
    compiled = compile_formula("a", names={"a": "number"})
    found = outcome(lambda: compiled.evaluate({"a": value}))
    assert isinstance(found, FormulaError) or found == value
    assert isinstance(found, Decimal) or not fits


HOSTILE = st.one_of(
    st.text(max_size=60),
    st.text("abk.()[]{},:=<>!'\"#\\ \n\t+-*/%&|^~@0123456789_eExjifornotlambda", max_size=80),
    st.lists(
        st.sampled_from(
            ["a", "b", "1", "2.5", "(", ")", "[", "]", ",", ".", "+", "-", "*", "/", "**", "//", "%", "<", "<=", "==", "and", "or", "not", "if", "else", "in", "is", "None", "True", "lambda", ":", ":=", "x.y", "__class__", "__import__('os')", "eval", "exec", "getattr", "open", "f''", "'a'", "round", "min", "max", "tier", "bands", "iff", "for", "await", "yield", "{}", "@", "~", "−", "×", "÷"]
        ),
        max_size=30,
    ).map(" ".join),
    st.tuples(st.sampled_from(["(", "-", "not ", "[", "a+", "a if b else ", "min(", "a."]), st.integers(1, 4_000)).map(
        lambda drawn: drawn[0] * drawn[1] + "a"
    ),
)  # fmt: skip
READ = (
    ast.Constant, ast.Name, ast.Attribute, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call, ast.Tuple,
    ast.List,
)  # fmt: skip


@given(HOSTILE)
@example("__import__('os').system('true')")
@example("().__class__.__bases__[0]")
@example("\ud800")
@example("\0")
@example("1" * 5_000)
def test_any_text_is_read_into_known_nodes_or_refused_in_words(text: str) -> None:
    tree = outcome(lambda: parse(text, where="a text"))
    if isinstance(tree, FormulaError):
        assert tree.what
        assert tree.remedy
        assert tree.where.startswith("a text, line ")
        return
    for node in ast.walk(tree):
        assert isinstance(node, (*READ, ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.Load, ast.keyword))
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            assert node.func.id in DEFAULT_FUNCTIONS
        if isinstance(node, ast.expr):
            assert 0 <= node.col_offset <= (node.end_col_offset or 0) <= len(text)


@given(HOSTILE, VALUES)
def test_any_text_compiles_and_evaluates_or_is_refused(text: str, values: dict[str, Decimal | bool]) -> None:
    found = outcome(lambda: compile_formula(text, names=KINDS).evaluate(values))
    assert isinstance(found, Decimal | bool | str | FormulaError)
    assert getcontext().prec == 28


@given(
    st.dictionaries(st.sampled_from("fghij"), st.lists(st.sampled_from("fghija"), min_size=1, max_size=3), min_size=1)
)
def test_formulas_are_put_in_order_or_told_to_run_in_a_circle(uses: dict[str, list[str]]) -> None:
    assume(all(name in uses or name == "a" for used in uses.values() for name in used))
    reached = {name: set(used) for name, used in uses.items()}
    for _ in uses:
        for used in reached.values():
            used.update(*(reached[name] for name in list(used) if name in reached))
    circular = any(name in used for name, used in reached.items())
    formulas = {name: " + ".join(used) for name, used in uses.items()}
    compiled = outcome(lambda: compile_formula(formulas, names=KINDS, results=dict.fromkeys(formulas)))
    if isinstance(compiled, FormulaError):
        assert circular
        assert "circle" in compiled.what
        return
    assert not circular
    order = [formula.name for formula in compiled.program.formulas]
    assert all(order.index(used) < order.index(name) for name in uses for used in uses[name] if used != "a")
