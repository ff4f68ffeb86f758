"""Numbers, amounts and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Context, Decimal, localcontext
from functools import cache
from typing import Final

from babel.numbers import NumberPattern, format_decimal, parse_pattern

from dashboards.web.language import LOCALES, Language
from trueup.model.money import EXPONENTS

MINUS: Final = "−"
NOTHING: Final = "–"
DIGITS_MAX: Final = 80
"""More digits than a Decimal(76, 4) holds, so that no amount is rounded on its way to the page."""

_EXACT: Final = Context(prec=DIGITS_MAX)


def count_text(number: int | Decimal | None, language: Language) -> str:
    """A number with thousands separators; a dash for None."""
    return NOTHING if number is None else _written(Decimal(number), 0, language)


def amount_text(amount: Decimal | None, currency: str, language: Language) -> str:
    """An amount in major units with the currency's own digits: never fewer than it has, so nothing is rounded away."""
    if amount is None:
        return NOTHING
    return _written(amount, EXPONENTS.get(currency, 2), language)


def _written(number: Decimal, fraction_min: int, language: Language) -> str:
    exponent = number.normalize(_EXACT).as_tuple().exponent
    if not isinstance(exponent, int):
        return NOTHING
    digits = max(fraction_min, -exponent)
    with localcontext(_EXACT):
        # The pattern has all of the number's digits, so there is nothing to round.
        written = format_decimal(number, _pattern(digits), LOCALES[language], decimal_quantization=False)
    return written.replace("-", MINUS)


@cache
def _pattern(digits: int) -> NumberPattern:
    return parse_pattern("#,##0" + ("." + "0" * digits if digits else ""))


def moment_of(when: datetime | int | None) -> datetime | None:
    """A moment in UTC from an aware datetime or from µs since the epoch; None where there is none (also 0 µs)."""
    if when is None or when == 0:
        return None
    if isinstance(when, int):
        seconds, micros = divmod(when, 1_000_000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    return when.astimezone(UTC)


def moment_tag(when: datetime | int | None) -> str:
    """The attribute `datetime` of a moment: ISO 8601 in UTC with milliseconds; empty where there is none."""
    moment = moment_of(when)
    return "" if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_text(when: datetime | int | None) -> str:
    """The moment to the second, in UTC and saying so: what stands there until the script puts it into the viewer's zone."""
    moment = moment_of(when)
    return NOTHING if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")
