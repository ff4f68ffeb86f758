"""What may stand in a formula, and what is said about the rest."""

from __future__ import annotations

import ast
from decimal import Decimal

import pytest

from reconcile.formula.errors import FormulaError
from reconcile.formula.functions import DEFAULT_FUNCTIONS
from reconcile.formula.parse import CHARS_MAX, DEPTH_MAX, NODES_MAX, dotted_name, parse, segment


def refused(text: str, **options: frozenset[str]) -> FormulaError:
    with pytest.raises(FormulaError) as caught:
        parse(text, where="fee", **options)
    return caught.value


def test_numbers_are_read_exactly() -> None:
    tree = parse("0.1 + 1_000.50 + 12345678901234567890.1234567890", where="fee")
    numbers = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert sorted(map(str, numbers)) == ["0.1", "1000.50", "12345678901234567890.1234567890"]
    assert all(isinstance(number, Decimal) for number in numbers)


def test_mathematical_signs_lines_and_comments_keep_their_places() -> None:
    text = "km × 2  # the rate\n − stops ÷ 'a × b'"
    tree = parse(text, where="fee")
    assert isinstance(tree, ast.BinOp)
    assert segment(text, tree.left) == "km × 2"
    assert segment(text, tree.right) == "stops ÷ 'a × b'"
    constant = next(node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    assert constant.value == "a × b"


def test_names_may_be_in_any_script_and_have_two_parts() -> None:
    tree = parse("里程 + order.status", where="fee")
    assert isinstance(tree, ast.BinOp)
    assert (dotted_name(tree.left), dotted_name(tree.right)) == ("里程", "order.status")
    assert segment("里程 + order.status", tree.right) == "order.status"


def test_iff_is_the_conditional() -> None:
    assert ast.dump(parse("iff(a > b, a, b)", where="")) == ast.dump(parse("a if a > b else b", where=""))


def test_further_functions_are_passed_on_as_they_are_written() -> None:
    functions = DEFAULT_FUNCTIONS | {"count"}
    tree = parse("count(item, item.kind == 'sale', least=2)", where="", functions=functions)
    assert isinstance(tree, ast.Call)
    assert [keyword.arg for keyword in tree.keywords] == ["least"]
    assert refused("count(item)").what == "there is no such function"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a ** b", "`**` is no part of the language"),
        ("a % b", "`%` is no part of the language"),
        ("a // b", "`//` is no part of the language"),
        ("a | b", "`|` is no part of the language"),
        ("~a", "the signs before a value are - and not"),
        ("+a", "the signs before a value are - and not"),
        ("a.b.c", "a dotted name has two parts"),
        ("(a + b).real", "a dotted name has two parts"),
        ("a[0]", "a subscript is no part of the language"),
        ("lambda: a", "a lambda is no part of the language"),
        ("[a for a in b]", "a comprehension is no part of the language"),
        ("f'{a}'", "an f-string is no part of the language"),
        ("(a := 1)", "`:=` is no part of the language"),
        ("{a: b}", "a dictionary is no part of the language"),
        ("(a, b)", "a tuple outside `in` is no part of the language"),
        ("min(*a)", "`*` before a value is no part of the language"),
        ("round(**a)", "`**` is no part of the language"),
        ("a is None", "`is` is no part of the language"),
        ("a in b", "`in` needs its choices in brackets"),
        ("a in (b, c)", "the choices behind `in` are numbers or texts"),
        ("a in ()", "the choices behind `in` are numbers or texts"),
        ("__import__('os')", "there is no such function"),
        ("a.__class__", "a name begins with a letter and has no double underscore"),
        ("_a", "a name begins with a letter and has no double underscore"),
        ("ｋｍ", "this name reads as 'km'"),
        ("b'a'", "this is no decimal number"),
        ("'a' 'b'", "a text stands in one pair of quotes, without backslash or prefix"),
        ("'''a'''", "a text stands in one pair of quotes, without backslash or prefix"),
        (r"'\x41'", "a text stands in one pair of quotes, without backslash or prefix"),
        ("1e5", "this is no decimal number"),
        ("0x10", "this is no decimal number"),
        ("3j", "this is no decimal number"),
        ("...", "this is no decimal number"),
        ("1" * 39, "a number has at most 38 digits"),
        ("", "the formula is empty"),
        (" # nothing", "the formula is empty"),
        ("min(a)", "min does not take these arguments"),
        ("max(a, b=c)", "max takes its arguments by position"),
        ("round()", "round does not take these arguments"),
        ("round(a, 2, digits=3)", "round does not take these arguments"),
        ("round(a, b)", "the digits of round are a whole number"),
        ("round(a, 1.5)", "the digits of round are a whole number"),
        ("round(a, 19)", "the digits of round are a whole number"),
        ("round(a, mode='near')", "round does not know this mode"),
        ("tier(a, 3)", "tier does not take these arguments"),
        ("tier(a, [])", "the table of tier has no row"),
        ("tier(a, [1, 2])", "a table is a list of pairs"),
        ("tier(a, [[1, 2, 3]])", "each row of tier has two entries"),
        ("tier(a, [[None, 2]])", "the table of tier has no limit"),
        ("tier(a, [[None, 2], [3, 4]])", "the limits of tier are numbers, None only in the last row"),
        ("tier(a, [[b, 2], [3, 4]])", "the limits of tier are numbers, None only in the last row"),
        ("tier(a, [[3, 2], [3, 4]])", "the limits of tier must ascend"),
        ("bands(a, [[0, 2], [3, 4]])", "the limits of bands are above zero"),
    ],
)
def test_everything_else_is_refused(text: str, what: str) -> None:
    error = refused(text)
    assert error.what == what
    assert error.remedy


def test_the_place_is_told_with_line_and_column() -> None:
    error = refused("km × 2 +\n  (stops % 3)")
    assert (error.line, error.column) == (2, 4)
    assert error.where == "fee, line 2, column 4: `stops % 3`"
    assert refused("里程 + 重量 ** 2").where == "fee, line 1, column 6: `重量 ** 2`"


def test_what_cannot_be_read_is_told_with_its_place() -> None:
    error = refused("km * (stops")
    assert error.what.startswith("the formula cannot be read")
    assert (error.line, error.column) == (1, 6)


def test_sizes_are_bounded() -> None:
    assert refused("a" * (CHARS_MAX + 1)).what == "the formula has 4,001 characters, 4,000 are allowed"
    assert refused("+".join("a" * (DEPTH_MAX + 1))).what == f"the formula has more than {DEPTH_MAX} levels"
    wide = f"min({', '.join('a' * NODES_MAX)})"
    assert refused(wide).what == f"the formula has more than {NODES_MAX} parts"
    assert refused("-" * 3_900 + "1").what.startswith("the formula cannot be read")
    assert isinstance(parse("+".join("a" * DEPTH_MAX), where=""), ast.BinOp)
