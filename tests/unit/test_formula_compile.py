"""What formulas compute, and what is said where they have no value."""

from __future__ import annotations

import threading
from decimal import Decimal, getcontext
from typing import Any

import pytest

from reconcile.formula.compile import compile_formula
from reconcile.formula.errors import FormulaError
from reconcile.formula.explain import Explanation
from reconcile.formula.kinds import Kind, Value

KINDS: dict[str, Kind] = {"x": "number", "y": "number", "kind": "text", "order.status": "text", "is_late": "flag"}
VALUES: dict[str, Value] = {"x": Decimal(10), "y": Decimal(4), "kind": "van", "order.status": "paid", "is_late": True}


def value(text: str, **values: object) -> Value:
    return compile_formula(text, names=KINDS, where="fee").evaluate({**VALUES, **values})


def refused(formulas: dict[str, str] | str, **values: object) -> FormulaError:
    with pytest.raises(FormulaError) as caught:
        compile_formula(formulas, names=KINDS, where="fee").evaluate({**VALUES, **values})
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1 + 0.2", "0.3"),
        ("x / y", "2.5"),
        ("x - y * 2 - 1", "1"),
        ("-x + abs(-3)", "-7"),
        ("min(x, y, 3.5) + max(x, y)", "13.5"),
        ("x if is_late else y", "10"),
        ("iff(not is_late, x, y)", "4"),
        ("x if y < x <= 10 and (is_late or x / 0 > 1) else 0", "10"),
        ("1 if kind in ('van', 'truck') and order.status != 'open' else 0", "1"),
        ("1 if kind not in ['van'] else 0", "0"),
        ("1 if x in (-1, 10.0) else 0", "1"),
        ("1 if kind < 'w' and is_late == True else 0", "1"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(2.5, mode='half_even')", "2"),
        ("round(2.665, 2)", "2.67"),
        ("round(2.669, 2, 'down')", "2.66"),
        ("round(2.661, digits=2, mode='up')", "2.67"),
        ("round(-2.661, 2, mode='ceiling')", "-2.66"),
        ("round(-2.661, 2, mode='floor')", "-2.67"),
        ("round(1250, -2)", "1300"),
        ("1 / 3", "0.33333333333333333333333333333333333333333333333333"),
    ],
)
def test_values(text: str, expected: str) -> None:
    assert value(text) == Decimal(expected)


@pytest.mark.parametrize(
    ("days", "expected"), [("0", 0), ("20", 0), ("20.01", 500), ("25", 500), ("26", 700), ("30", 700), ("31", 1000)]
)
def test_a_tier_counts_its_upper_limit_in(days: str, expected: int) -> None:
    assert value("tier(x, [[20, 0], [25, 500], [30, 700], [None, 1000]])", x=Decimal(days)) == expected


@pytest.mark.parametrize(("km", "expected"), [("0", "0"), ("5", "10"), ("10", "20"), ("15", "27.5"), ("40", "60")])
def test_bands_charge_each_part_by_its_own_rate(km: str, expected: str) -> None:
    # 2 per km up to 10, 1.50 up to 20, 1.25 beyond: 40 km = 10 × 2 + 10 × 1.50 + 20 × 1.25 = 20 + 15 + 25 = 60.
    assert value("bands(x, [[10, 2], [20, 1.50], [None, 1.25]])", x=Decimal(km)) == Decimal(expected)


def test_a_tier_computes_only_the_value_that_it_takes() -> None:
    assert value("tier(x - 5, [[0, 1 / 0], [10, y]])") == 4


def test_named_formulas_use_each_other_in_any_order() -> None:
    compiled = compile_formula(
        {"total": "base * rate", "unused": "1 / 0", "rate": "0.5", "base": "x + y"},
        names=KINDS,
        results={"total": "number"},
    )
    assert compiled.evaluate_all(VALUES) == {"rate": Decimal("0.5"), "base": 14, "total": 7}
    assert compiled.program.inputs == {"x": "number", "y": "number"}


def test_formulas_may_give_texts_and_flags() -> None:
    assert value("'big' if x > 5 else 'small'") == "big"
    assert value("x > 5") is True


def test_whole_numbers_are_numbers() -> None:
    assert value("x + 1", x=41) == 42


@pytest.mark.parametrize(
    ("text", "what", "place"),
    [
        ("x + 1 / (y - 4)", "division by zero", "line 1, column 5: `1 / (y - 4)`"),
        ("(x - 10) / (y - 4)", "division by zero", "line 1, column 1: `(x - 10) / (y - 4)`"),
        (
            "2 + tier(x, [[5, 1]])",
            "the quantity is above the last limit of tier",
            "line 1, column 5: `tier(x, [[5, 1]])`",
        ),
        (
            "bands(-x, [[5, 1]])",
            "bands counts from 0, the quantity is below it",
            "line 1, column 1: `bands(-x, [[5, 1]])`",
        ),
        (
            "bands(x, [[5, 1]])",
            "the quantity is above the last limit of bands",
            "line 1, column 1: `bands(x, [[5, 1]])`",
        ),
        (f"{'9' * 38} * x", "this is not below 10³⁸", "line 1, column 1: `99999"),
        (f"round({'9' * 34}.5 * x, 18)", "this has no value of at most 50 digits", "line 1, column 1: `round(99999"),
    ],
)
def test_a_piece_without_value_is_named(text: str, what: str, place: str) -> None:
    error = refused(text)
    assert error.what == what
    assert error.where.startswith(f"fee, formula result, {place}")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x + kind", "a number is needed here, this is a text"),
        ("x + is_late", "a number is needed here, this is a flag"),
        ("x == '10'", "a number is needed here, this is a text"),
        ("x in ('10', '11')", "a number is needed here, this is a text"),
        ("x and y", "a flag is needed here, this is a number"),
        ("not x", "a flag is needed here, this is a number"),
        ("x if y else 1", "a flag is needed here, this is a number"),
        ("x if is_late else kind", "a number is needed here, this is a text"),
        ("tier(x, [[1, 2], [None, 'b']])", "a number is needed here, this is a text"),
        ("bands(x, [[1, 'a']])", "a number is needed here, this is a text"),
        ("max(x, kind)", "a number is needed here, this is a text"),
        ("is_late < True", "flags have no order"),
        ("x in (1, 2) == True", "`in` ends a chain of comparisons"),
        ("x == None", "None is no value"),
        ("z + 1", "the name z is not known"),
    ],
)
def test_kinds_and_names_are_checked_when_it_is_compiled(text: str, what: str) -> None:
    with pytest.raises(FormulaError) as caught:
        compile_formula(text, names=KINDS, where="fee")
    assert caught.value.what == what


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    assert refused("is_lat").remedy == "did you mean is_late?"
    assert refused("total").remedy == "known names: is_late, kind, order.status, result, x, y"


def test_a_circle_is_told() -> None:
    assert refused({"a": "b + 1", "b": "c", "c": "a"}).what == "formulas use each other in a circle: a → b → c → a"
    assert refused({"a": "a"}).what == "formulas use each other in a circle: a → a"


def test_every_wrong_formula_is_told_at_once() -> None:
    error = refused({"a": "x +", "b": "a", "c": "x and y", "d": "nowhere"})
    assert [(each.formula, each.line) for each in (error, *error.others)] == [("a", 1), ("d", 1), ("c", 1)]


@pytest.mark.parametrize("name", ["min", "a b", "_a", "1a", "a.b", "", "None"])
def test_a_formula_needs_a_name_of_its_own(name: str) -> None:
    assert refused({name: "1"}).what == f"{name!r} is no name for a formula"


def test_a_formula_cannot_take_the_name_of_a_value() -> None:
    assert refused({"x": "1"}).what == "x is both a formula and a given name"
    assert refused({f"f{number}": "1" for number in range(201)}).what == "there are 201 formulas, 200 are allowed"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (1.5, "x must be a number, not '1.5' (float)"),
        (True, "x must be a number, not 'True' (bool)"),
        ("1.5", "x must be a number, not '1.5' (str)"),
        (None, "x must be a number, not 'None' (NoneType)"),
        (Decimal("NaN"), "x is NaN, not a number of at most 38 digits"),
        (Decimal("sNaN"), "x is sNaN, not a number of at most 38 digits"),
        (Decimal("-Infinity"), "x is -Infinity, not a number of at most 38 digits"),
        (Decimal("1e34"), "x is 1E+34, which does not fit NUMERIC(38,4)"),
        (10**40, f"x is {10**40}, not a number of at most 38 digits"),
    ],
)
def test_values_are_exact_or_refused(given: Any, what: str) -> None:
    assert refused("x + 1", x=given).what == what


def test_a_missing_value_is_named() -> None:
    with pytest.raises(FormulaError, match="y is not given"):
        compile_formula("x + y", names=KINDS).evaluate({"x": 1})


def test_the_callers_arithmetic_is_left_alone() -> None:
    before = getcontext()
    value("x / 3")
    refused("x / 0")
    assert getcontext() is before


def test_threads_evaluate_at_once() -> None:
    compiled = compile_formula("round(x / 7 * y, 18)", names=KINDS)
    found: list[Value] = []

    def work() -> None:
        found.extend(compiled.evaluate(VALUES) for _ in range(2_000))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [compiled.evaluate(VALUES)] * 8_000


def test_an_explanation_shows_a_formula_below_its_first_use() -> None:
    compiled = compile_formula({"base": "x + 1", "total": "base * base if is_late else 0"}, names=KINDS)
    x = Explanation("x", Decimal(10))
    base = Explanation("base", Decimal(11), (Explanation("x + 1", Decimal(11), (x,)),))
    product = Explanation("base * base", Decimal(121), (base, Explanation("base", Decimal(11))))
    expected = Explanation(
        "base * base if is_late else 0", Decimal(121), (Explanation("is_late", value=True), product)
    )  # fmt: skip
    assert compiled.explain(VALUES) == {"total": expected}
