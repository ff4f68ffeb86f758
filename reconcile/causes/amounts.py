"""What the difference of two amounts gives away: sign, power of ten, fee, tax, rounding. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from reconcile.causes.cause import Cause, money
from trueup.model.money import SCALE_DIGITS, exponent

COMMON_DIGITS: Final = (2, 0, 3)
"""Minor-unit digits of nearly all currencies, the commonest first."""


class Parts(NamedTuple):
    """What the compared amounts are made of, in minor units; `rows` is how many rows were added up."""

    fee_minor: int = 0
    tax_minor: int = 0
    rows: int = 1


def cause_of_difference(expected_minor: int, actual_minor: int, currency: str, parts: Parts) -> Cause | None:
    """The first test that the amounts pass: sign, power of ten, fee, tax, both, rounding; None if none does."""
    return (
        _sign(expected_minor, actual_minor, currency)
        or _power_of_ten(expected_minor, actual_minor, currency)
        or _left_out(expected_minor, actual_minor, currency, parts)
        or _rounding(expected_minor, actual_minor, currency, parts.rows)
    )


def _sign(expected_minor: int, actual_minor: int, currency: str) -> Cause | None:
    if actual_minor != -expected_minor or not expected_minor:
        return None
    return Cause(
        "sign-flipped", f"{money(actual_minor, currency)} is {money(expected_minor, currency)} with its sign changed"
    )


def _power_of_ten(expected_minor: int, actual_minor: int, currency: str) -> Cause | None:
    if not expected_minor or not actual_minor:
        return None
    larger, smaller = sorted((expected_minor, actual_minor), key=abs, reverse=True)
    for power, reading in misreadings(currency):
        if larger == smaller * 10**power:
            sign = "×" if abs(actual_minor) > abs(expected_minor) else "÷"
            shown = f"{money(actual_minor, currency)} is {money(expected_minor, currency)} {sign} {10**power}"
            return Cause("currency-exponent", f"{shown}, as when {reading}")
    return None


def misreadings(currency: str) -> Iterator[tuple[int, str]]:
    """(power of ten, how it comes about) of every mix-up of units or scales that the currency's digits allow."""
    digits = exponent(currency)
    readings = [(digits, "minor units are taken for major units or the reverse")]
    readings += [
        (abs(digits - other), f"{currency} is given {other} digits instead of {digits}") for other in COMMON_DIGITS
    ]
    readings += [
        (SCALE_DIGITS - digits, f"a value scaled to {SCALE_DIGITS} digits is taken for minor units or the reverse"),
        (SCALE_DIGITS, f"a value scaled to {SCALE_DIGITS} digits is taken for major units or the reverse"),
    ]
    return ((power, reading) for power, reading in readings if power > 0)


def _left_out(expected_minor: int, actual_minor: int, currency: str, parts: Parts) -> Cause | None:
    delta_minor = actual_minor - expected_minor
    for name, part_minor, words in (
        ("fee-left-out", parts.fee_minor, "the order's fee"),
        ("tax-left-out", parts.tax_minor, "the order's tax"),
        ("fee-and-tax-left-out", parts.fee_minor + parts.tax_minor, "the order's fee and tax"),
    ):
        if part_minor and abs(delta_minor) == abs(part_minor):
            done = "not taken off" if delta_minor == part_minor else "taken off twice"
            return Cause(name, f"the difference of {money(delta_minor, currency)} is {words}, {done}")
    return None


def _rounding(expected_minor: int, actual_minor: int, currency: str, rows: int) -> Cause | None:
    delta_minor = actual_minor - expected_minor
    if not 0 < abs(delta_minor) <= rows:
        return None
    counted = "one row" if rows == 1 else f"{rows} rows"
    return Cause(
        "rounding-unit",
        f"the difference of {money(delta_minor, currency)} is at most a minor unit for each of {counted}",
    )
