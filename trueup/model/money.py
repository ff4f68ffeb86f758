"""Money as integer minor units beside an ISO-4217 code; binary floats are refused.

Source: ISO 4217 exponents from the `iso4217` package. Amounts outside `NUMERIC(38,4)`, amounts finer
than the currency's minor unit and codes without an exponent (metals, test codes) are invalid.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from iso4217 import Currency

from trueup.model.errors import InvalidRecord

SCALE_DIGITS: Final = 4
"""Digits behind the point in SQL and ClickHouse, `NUMERIC(38,4)`."""

SHORT_CHARS: Final = 30
"""A decimal string this short cannot overflow `NUMERIC(38,4)`, so the fast path needs no bound check."""

TEXTS_KEPT: Final = 32_768
"""Short texts whose amount is remembered: one amount is read again and again, in every change and leg of an order."""

_LIMIT_SCALED: Final = 10**38
_POWERS: Final = (1, 10, 100, 1_000, 10_000)

EXPONENTS: Final[dict[str, int]] = {
    currency.code: currency.exponent for currency in Currency if currency.exponent is not None
}
"""ISO-4217 code → digits of its minor unit, such as USD 2, JPY 0, KWD 3."""


def exponent(currency: str) -> int:
    """Digits of the currency's minor unit; InvalidRecord for a code that is no spendable currency."""
    digits = EXPONENTS.get(currency)
    if digits is None:
        raise InvalidRecord("unknown-currency", f"currency {currency!r} is not an ISO-4217 currency with minor units")
    return digits


def minor_units(value: object, currency: str) -> int:
    """The exact amount in minor units, from a decimal string, an int or a Decimal in major units.

    Errors: InvalidRecord when `value` is a float, no number, not finite, out of `NUMERIC(38,4)`, or finer than
    the currency's minor unit.
    """
    if type(value) is str:
        minor = _remembered.get(currency, _NONE).get(value)
        if minor is not None:
            return minor
        if len(value) <= SHORT_CHARS:
            return _remember(value, currency)
    digits = EXPONENTS.get(currency)
    if digits is None:
        digits = exponent(currency)
    if type(value) is str:
        return _slow_minor_units(value, currency, digits)
    if type(value) is int:
        return _bounded(value * 10**digits, digits, currency)
    if isinstance(value, Decimal):
        return _slow_minor_units(str(value), currency, digits)
    raise InvalidRecord("wrong-type", f"an amount must be a decimal string, not {type(value).__name__}")


_remembered: Final[dict[str, dict[str, int]]] = {}
"""Currency → text → minor units. Two look-ups take half the time of `lru_cache`, which makes a key and keeps a list in order."""

_NONE: Final[dict[str, int]] = {}


def _remember(text: str, currency: str) -> int:
    """Read the text and remember what it says; everything is forgotten when there would be too much."""
    minor = _read_short(text, currency)
    if sum(map(len, list(_remembered.values()))) >= TEXTS_KEPT:
        _remembered.clear()
    _remembered.setdefault(currency, {})[text] = minor
    return minor


def _read_short(text: str, currency: str) -> int:
    digits = EXPONENTS.get(currency)
    if digits is None:
        digits = exponent(currency)
    whole, _point, fraction = text.partition(".")
    # Within these bounds int() reads digits only, and NUMERIC(38,4) cannot overflow.
    if (
        text.isascii()
        and fraction.isdecimal()
        and whole.removeprefix("-").isdecimal()
        and not fraction[digits:].strip("0")
    ):
        kept = fraction[:digits]
        return int(whole + kept) * _POWERS[digits - len(kept)]
    return _slow_minor_units(text, currency, digits)


def _slow_minor_units(text: str, currency: str, digits: int) -> int:
    if not text.isascii() or "_" in text or text != text.strip():
        # Decimal would read Python's own notations, such as 1_000.
        raise InvalidRecord("not-a-number", f"amount {text[:60]!r} is not a decimal number")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise InvalidRecord("not-a-number", f"amount {text[:60]!r} is not a decimal number") from None
    if not number.is_finite():
        raise InvalidRecord("not-finite", f"amount {text[:60]!r} is not finite")
    sign, figures, places = number.as_tuple()
    if not isinstance(places, int) or number.adjusted() >= 38 - SCALE_DIGITS:
        raise InvalidRecord("amount-overflow", f"amount {text[:60]} does not fit NUMERIC(38,{SCALE_DIGITS})")
    shift = places + digits
    magnitude = int("".join(map(str, figures)) or "0")
    if shift >= 0:
        minor = magnitude * 10**shift
    else:
        minor, rest = divmod(magnitude, 10**-shift) if -shift < 10_000 else (0, magnitude)
        if rest:
            raise InvalidRecord(
                "too-fine", f"amount {text[:60]} is finer than the minor unit of {currency} ({digits} digits)"
            )
    return _bounded(-minor if sign else minor, digits, currency)


def _bounded(minor: int, digits: int, currency: str) -> int:
    if abs(minor) * 10 ** (SCALE_DIGITS - digits) >= _LIMIT_SCALED:
        raise InvalidRecord("amount-overflow", f"an amount in {currency} does not fit NUMERIC(38,{SCALE_DIGITS})")
    return minor


def to_decimal(amount_minor: int, currency: str) -> Decimal:
    """The amount in major units, exact, with the currency's own number of digits."""
    return Decimal(_text(amount_minor, currency))


def to_text(amount_minor: int | None, currency: str) -> str | None:
    """The amount in major units as text, such as `"-12.30"`; None stays None."""
    return None if amount_minor is None else _text(amount_minor, currency)


def shown(amount: Decimal | None, currency: str) -> str:
    """An amount in major units for people: thousands and the currency's own digits, such as `1,234.50 USD`.

    Digits beyond the minor unit are kept, so that nothing is hidden.
    """
    if amount is None:
        return "–"
    exponent_held = amount.normalize().as_tuple().exponent
    held = -exponent_held if isinstance(exponent_held, int) else 0
    return f"{amount:,.{max(EXPONENTS.get(currency, 2), held)}f} {currency}".rstrip()


def _text(amount_minor: int, currency: str) -> str:
    """By digits, because arithmetic on Decimal would round to its context's 28."""
    digits = exponent(currency)
    figures = str(abs(amount_minor)).rjust(digits + 1, "0")
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{figures[:-digits]}.{figures[-digits:]}" if digits else sign + figures


def scaled(amount_minor: int, currency: str) -> int:
    """The amount as the integer inside a `Decimal(38, 4)` column: major units × 10⁴."""
    return amount_minor * _POWERS[SCALE_DIGITS - EXPONENTS[currency]]
