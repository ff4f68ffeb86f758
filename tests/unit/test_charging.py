"""Scenarios, rules, fees, currencies and factors of charging specs, and everything that can be wrong with one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from reconcile.charging.charge import charge
from reconcile.charging.load import load_charging, read_charging
from reconcile.charging.model import Charge
from reconcile.formula.errors import FormulaError
from reconcile.spec.errors import SpecError

SPEC = """\
name = "market"
version = 3
seller = "shop"

[factors]
base = "number"
kind = "text"
days = { kind = "number", default = "1.5" }
is_new = { kind = "flag", default = false }

[[scenario]]
name = "rent"
when = "kind == 'rent'"
match = "all"

[scenario.formulas]
total = "base * days"

[[scenario.rule]]
name = "newcomers"
priority = 2
when = "is_new"

[[scenario.rule.fee]]
name = "bonus"
formula = "5"
party = "shop"
type = "bonus"
direction = "payable"
currency = "order"

[[scenario.rule]]
name = "everybody"
priority = 1

[[scenario.rule.fee]]
name = "rent"
formula = "total"
party = "shop"
type = "rent"
direction = "payable"
currency = "order"
rounding = "down"

[[scenario.rule.fee]]
name = "commission"
formula = \"\"\"
total
  * 0.03\"\"\"
party = "shop"
type = "commission"
direction = "receivable"
currency = "order"

[[scenario.rule.fee]]
name = "tax"
formula = "commission * 0.06"
party = "tax office"
type = "tax"
direction = "payable"
currency = "JPY"
"""

FLAT = """\
[[scenario]]
name = "flat"

[[scenario.rule]]
name = "flat"

[[scenario.rule.fee]]
name = "fee"
formula = "base"
party = "shop"
type = "fee"
direction = "payable"
currency = "order"
"""


def charged(factors: str | None, currency: str = "USD", spec: str = SPEC) -> Charge | None:
    return charge(read_charging(spec, file="market.toml"), factors, order_currency=currency)


def fees(factors: str, currency: str = "USD") -> list[tuple[str, str, int]]:
    found = charged(factors, currency)
    assert found is not None
    return [(fee.name, fee.currency, fee.amount_minor) for fee in found.fees]


def problems(text: str) -> list[tuple[int, str]]:
    with pytest.raises(SpecError) as caught:
        read_charging(text, file="market.toml")
    assert all(problem.file == "market.toml" and problem.remedy for problem in caught.value.problems)
    return [(problem.line, problem.what) for problem in caught.value.problems]


def refused(factors: str) -> str:
    with pytest.raises(FormulaError) as caught:
        charged(factors)
    return caught.value.what


def test_all_rules_that_hold_apply_by_priority() -> None:
    # 10.01 × 1.5 = 15.015, down to 15.01; 3 % = 0.45045 → 0.45; 6 % of that = 0.027… → 0 yen; bonus 5.
    assert fees('{"kind": "rent", "base": "10.01", "is_new": true}') == [
        ("rent", "USD", 15_01), ("commission", "USD", 45), ("tax", "JPY", 0), ("bonus", "USD", 5_00),
    ]  # fmt: skip


def test_amounts_are_rounded_to_the_minor_unit_of_their_currency() -> None:
    assert fees('{"kind": "rent", "base": "1234.5678", "days": 1}', "KWD")[:2] == [
        ("rent", "KWD", 1_234_567), ("commission", "KWD", 37_037),
    ]  # fmt: skip
    assert fees('{"kind": "rent", "base": "1234.5678", "days": 1}', "JPY")[:2] == [
        ("rent", "JPY", 1_234), ("commission", "JPY", 37),
    ]  # fmt: skip


def test_parties_and_currencies_are_netted_apart() -> None:
    found = charged('{"kind": "rent", "base": "1000"}')
    assert found is not None
    # 1,500 rent − 45 commission; 45 × 0.06 = 2.7 → 3 yen.
    assert [tuple(net) for net in found.clearing.nets] == [
        ("shop", "USD", 1_500_00, 45_00, 1_455_00),
        ("tax office", "JPY", 3, 0, 3),
    ]


def test_the_first_scenario_that_holds_is_taken() -> None:
    taken = charged('{"base": "7", "kind": "rent"}', spec=SPEC + FLAT)
    other = charged('{"base": "7"}', spec=SPEC + FLAT)
    assert (taken and taken.scenario, other and other.scenario) == ("rent", "flat")
    assert charged('{"base": "7", "kind": "sale"}') is None
    assert charged(None) is None


def test_equal_factors_have_one_snapshot() -> None:
    one = charged('{"kind": "rent", "base": "10.10", "days": 2, "note": "kept out"}')
    two = charged('{"days": "2.000", "base": "10.1", "kind": "rent"}')
    assert one is not None
    assert two is not None
    assert one.snapshot == two.snapshot
    assert one.snapshot.json == '{"base":"10.1","days":"2","is_new":false,"kind":"rent"}'
    assert one.snapshot.sha256 == hashlib.sha256(one.snapshot.json.encode()).hexdigest()


@pytest.mark.parametrize(
    ("factors", "what"),
    [
        ('{"kind": "rent", "base": 10.5}', "the factors hold the number 10.5, which may have been rounded on its way"),
        ('{"kind": "rent", "base": NaN}', "the factors hold the number NaN, which may have been rounded on its way"),
        ('{"kind": "rent", "base": "1e5"}', "base is '1e5', which is no decimal number"),
        ('{"kind": "rent", "base": "１"}', "base is '１', which is no decimal number"),
        ('{"kind": "rent", "base": true}', "base must be a number, not 'True' (bool)"),
        ('{"kind": "rent", "base": [1]}', "base must be a number, not '[1]' (list)"),
        ('{"kind": "rent", "base": null}', "base is not given"),
        ('{"kind": "rent", "base": 1, "base": 2}', "a factor is given twice"),
        ('{"kind": "\\ud800", "base": 1}', "kind holds half a character"),
        ('{"kind": 5}', "kind must be a text, not '5' (int)"),
        ("[1]", "the factors are no JSON object"),
        (
            "{",
            "the factors are no valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (f'"{"a" * 70_000}"', "the factors have 70,002 characters, 65,536 are allowed"),
    ],
)
def test_factors_are_exact_or_refused(factors: str, what: str) -> None:
    assert refused(factors) == what


def test_an_amount_beyond_the_books_is_refused() -> None:
    assert refused('{"kind": "rent", "base": "9999999999999999999999999999999999", "days": 10}').endswith(
        "does not fit NUMERIC(38,4)"
    )


def test_every_problem_is_told_with_its_line() -> None:
    text = (
        SPEC.replace('default = "1.5"', "default = true")
        .replace("kind == 'rent'", "kidn == 'rent'")
        .replace("base * days", "base *")
        .replace('"is_new"', '"base"')
        .replace("  * 0.03", "  * kind")
        .replace('seller = "shop"', 'seller = "store"')
        .replace("commission * 0.06", "commission > 1")
    )
    assert problems(text) == [
        (3, "no fee is for the seller, 'store'"),
        (8, "days must be a number, not 'True' (bool)"),
        (13, "the name kidn is not known (formula when, line 1, column 1: `kidn`)"),
        (17, "the formula cannot be read: invalid syntax (formula total, line 1, column 1: `base *`)"),
        (22, "when must be a flag, this is a number (formula when, line 1, column 1: `base`)"),
    ]


def test_a_problem_in_a_formula_of_several_lines_has_its_own_line() -> None:
    assert problems(SPEC.replace("  * 0.03", "  * kind")) == [
        (49, "a number is needed here, this is a text (formula commission, line 2, column 5: `kind`)")
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('formula = "5"', "formula = \"'five'\"", [(26, "bonus must be a number, this is a text (formula bonus, line 1, column 1: `'five'`)")]),
        ('name = "everybody"', 'name = "newcomers"', [(33, "two rules are called newcomers")]),
        ('name = "bonus"', 'name = "total"', [(26, "total is defined twice for the rule newcomers")]),
        ('currency = "JPY"', 'currency = "XAU"', [
            (61, "`currency`: currency 'XAU' is not an ISO-4217 currency with minor units; `order` stands for the currency of the order"),
        ]),
        ('rounding = "down"', 'rounding = "near"', [
            (43, "`rounding`: there is no rounding 'near'; use one of half_up, half_even, down, up, ceiling, floor"),
        ]),
        ("version = 3", "", [(1, "`version` is missing")]),
        ("version = 3", 'version = "3"', [(2, "`version`: Input should be a valid integer")]),
        ("match =", "mach =", [(14, "there is no key `mach` here")]),
        ("[factors]", "[factors", [(5, "the file is not valid TOML: Expected ']' at the end of a table declaration")]),
        ('total = "base * days"', 'when = "base > days"\ntotal = "base * days"', [(17, "when is no name for a formula")]),
    ],
)  # fmt: skip
def test_mistakes_are_told(old: str, new: str, expected: list[tuple[int, str]]) -> None:
    assert SPEC.count(old) >= 1
    assert problems(SPEC.replace(old, new, 1)) == expected


def test_two_scenarios_need_two_names() -> None:
    assert problems(SPEC + FLAT.replace('"flat"', '"rent"', 1)) == [(63, "two scenarios are called rent")]


def test_a_spec_is_found_by_name_or_path(tmp_path: Path) -> None:
    path = tmp_path / "market.toml"
    path.write_text(SPEC, encoding="utf-8")
    assert load_charging(path).name == "market"
    assert load_charging("carrier").name == "carrier"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    for path, what in (
        (tmp_path / "none.toml", "the file does not exist"),
        (tmp_path / "binary.toml", "cannot be read"),
    ):
        with pytest.raises(SpecError, match=what):
            load_charging(path)
