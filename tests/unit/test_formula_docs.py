"""The page about formulas is true: its examples compute what it says, its limits are the limits."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from reconcile.charging.charge import charge
from reconcile.charging.load import read_charging
from reconcile.formula.compile import compile_formula
from reconcile.formula.functions import DEFAULT_FUNCTIONS, ROUND_DIGITS_MAX, ROUNDINGS
from reconcile.formula.kinds import Kind, Value
from reconcile.formula.parse import CHARS_MAX, DEPTH_MAX, DIGITS_MAX, NODES_MAX
from reconcile.formula.program import ARITHMETIC

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "formulas.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\| `(.+)` \| ([0-9.]+) \|$", PAGE, re.MULTILINE)
KINDS: dict[str, Kind] = {"x": "number", "y": "number", "days": "number", "kind": "text", "is_repeat": "flag"}
VALUES: dict[str, Value] = {"x": Decimal(10), "y": Decimal(4), "days": Decimal(26), "kind": "van", "is_repeat": True}


@pytest.mark.parametrize(("formula", "expected"), EXAMPLES)
def test_examples_compute_what_the_page_says(formula: str, expected: str) -> None:
    assert compile_formula(formula, names=KINDS).evaluate(VALUES) == Decimal(expected)


def test_the_values_of_the_examples_are_those_of_the_page() -> None:
    given = ", ".join(
        f"{name} = {value!r}" if isinstance(value, str) else f"{name} = {value}" for name, value in VALUES.items()
    )
    assert f"With {given.replace(', is_repeat', ' and is_repeat')}:" in PAGE
    assert len(EXAMPLES) > 10


def test_limits_and_functions_are_those_of_the_code() -> None:
    assert f"at most {CHARS_MAX:,} characters, {NODES_MAX} parts and {DEPTH_MAX} levels" in PAGE
    assert f"at most {DIGITS_MAX} digits" in PAGE
    assert f"digits from −{ROUND_DIGITS_MAX} to {ROUND_DIGITS_MAX}" in PAGE
    assert f"correct to {ARITHMETIC.prec} digits" in PAGE
    assert [name for name in DEFAULT_FUNCTIONS if f"`{name}(" not in PAGE] == []
    assert [mode for mode in ROUNDINGS if f"`{mode}`" not in PAGE] == []


def test_the_spec_of_the_page_charges_what_the_page_says() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (factors,) = re.findall(r"^For `({.*})` the rule `usual`", PAGE, re.MULTILINE)
    found = charge(read_charging(text, file="courier.toml"), factors, order_currency="EUR")
    assert found is not None
    assert found.rules == ("usual",)
    assert [tuple(net) for net in found.clearing.nets] == [("courier", "EUR", 24_40, 37, 24_03)]
    assert "24.40 payable" in PAGE
    assert "24.03 net" in PAGE
