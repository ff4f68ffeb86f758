"""Money: exact, in the currency's minor units, and never from a binary float."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trueup.model import money
from trueup.model.errors import InvalidRecord
from trueup.model.money import EXPONENTS, SHORT_CHARS, exponent, minor_units, scaled, to_decimal, to_text

LARGEST = "9" * 34 + "." + "9" * 4
"""The largest amount of `NUMERIC(38,4)`."""


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.34", "USD", 1234),
        ("-0.05", "USD", -5),
        ("12", "USD", 1200),
        ("12.3400", "USD", 1234),
        ("12.0000", "JPY", 12),
        ("12", "JPY", 12),
        ("1.234", "KWD", 1234),
        ("0.0001", "CLF", 1),
        ("1e3", "USD", 100_000),
        ("0", "USD", 0),
        ("-0.00", "USD", 0),
        ("007.10", "USD", 710),
        ("9" * 34, "JPY", int("9" * 34)),
        (LARGEST, "CLF", 10**38 - 1),
    ],
)
def test_text_becomes_minor_units(text: str, currency: str, minor: int) -> None:
    assert minor_units(text, currency) == minor


@pytest.mark.parametrize(
    ("value", "currency", "code"),
    [
        ("NaN", "USD", "not-finite"),
        ("sNaN", "USD", "not-finite"),
        ("Infinity", "USD", "not-finite"),
        ("-inf", "USD", "not-finite"),
        (Decimal("NaN"), "USD", "not-finite"),
        ("12.345", "USD", "too-fine"),
        ("0.1", "JPY", "too-fine"),
        ("1e-400", "USD", "too-fine"),
        ("1e-99999999", "USD", "too-fine"),
        ("9" * 35, "USD", "amount-overflow"),
        ("1e34", "JPY", "amount-overflow"),
        ("1e999999", "USD", "amount-overflow"),
        (10**34, "JPY", "amount-overflow"),
        (-(10**34), "JPY", "amount-overflow"),
        ("", "USD", "not-a-number"),
        ("-", "USD", "not-a-number"),
        (".", "USD", "not-a-number"),
        ("--1.0", "USD", "not-a-number"),
        ("1.2.3", "USD", "not-a-number"),
        ("1,000.00", "USD", "not-a-number"),
        ("1_000", "USD", "not-a-number"),
        ("1_0.00", "USD", "not-a-number"),
        (" 1.00 ", "USD", "not-a-number"),
        ("１２", "USD", "not-a-number"),
        ("1.２０", "USD", "not-a-number"),
        ("0x10", "USD", "not-a-number"),
        ("$1.00", "USD", "not-a-number"),
        (1.0, "USD", "wrong-type"),
        (0.1, "USD", "wrong-type"),
        (True, "USD", "wrong-type"),
        (None, "USD", "wrong-type"),
        (["1.00"], "USD", "wrong-type"),
        ({}, "USD", "wrong-type"),
        (b"1.00", "USD", "wrong-type"),
        ("1.00", "ZZZ", "unknown-currency"),
        ("1.00", "usd", "unknown-currency"),
        ("1.00", "", "unknown-currency"),
        ("1.00", "XAU", "unknown-currency"),
        (0, "XTS", "unknown-currency"),
    ],
)
def test_what_is_no_amount_is_refused(value: object, currency: str, code: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        minor_units(value, currency)
    assert refused.value.code == code


def test_integers_and_decimals_are_major_units() -> None:
    assert minor_units(12, "USD") == 1200
    assert minor_units(Decimal("12.34"), "USD") == 1234


def test_the_fast_path_stays_within_the_column() -> None:
    longest = "9" * (SHORT_CHARS - 2) + ".0"
    assert len(longest) == SHORT_CHARS
    assert minor_units(longest, "CLF") < 10**38


def test_amounts_are_told_with_the_digits_of_their_currency() -> None:
    assert to_text(-1230, "USD") == "-12.30"
    assert to_text(5, "USD") == "0.05"
    assert to_text(5, "JPY") == "5"
    assert to_text(5, "KWD") == "0.005"
    assert to_text(0, "USD") == "0.00"
    assert to_text(None, "USD") is None
    assert to_text(10**38 - 1, "CLF") == LARGEST
    assert to_decimal(-1230, "USD") == Decimal("-12.30")


def test_scaled_amounts_are_ten_thousandths_of_a_major_unit() -> None:
    assert [scaled(12, currency) for currency in ("JPY", "USD", "KWD", "CLF")] == [120_000, 1200, 120, 12]


def test_only_spendable_currencies_have_an_exponent() -> None:
    assert exponent("USD") == 2
    assert set(EXPONENTS.values()) <= set(range(5))
    with pytest.raises(InvalidRecord):
        exponent("XXX")


def test_what_is_remembered_of_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered: dict[str, dict[str, int]] = {}
    monkeypatch.setattr(money, "_remembered", remembered)
    monkeypatch.setattr(money, "TEXTS_KEPT", 3)
    for _ in range(2):
        for cents in range(10):
            assert minor_units(f"1.0{cents}", "USD") == 100 + cents
            assert minor_units(f"{cents}", "JPY") == cents
            assert sum(map(len, remembered.values())) <= 3
    assert minor_units("1", "USD") == 100
    assert minor_units("1", "JPY") == 1
