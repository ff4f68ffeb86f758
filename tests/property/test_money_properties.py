"""For every currency, amounts are what decimal arithmetic says they are."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from trueup.model.errors import InvalidRecord
from trueup.model.money import EXPONENTS, SCALE_DIGITS, minor_units, scaled, to_text

CURRENCIES = st.sampled_from(sorted(EXPONENTS))
CODES = {
    "not-a-number", "not-finite", "too-fine", "amount-overflow", "wrong-type", "unknown-currency",
}  # fmt: skip
LIMIT = 10**38
PLAIN = st.from_regex(r"-?[0-9]{1,40}(\.[0-9]{0,6})?", fullmatch=True, alphabet=st.characters(codec="ascii"))
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.decimals(), st.binary(), st.lists(st.text()),
    st.text("0123456789.-+eE_ nNaAiIfF"),
)  # fmt: skip


def attempt(value: object, currency: str) -> tuple[int | None, str]:
    """The amount in minor units, or the code it is refused with; any other error is the test's failure."""
    try:
        return minor_units(value, currency), ""
    except InvalidRecord as refused:
        return None, refused.code


@given(currency=CURRENCIES, inside=st.integers(0, LIMIT - 1), negative=st.booleans())
def test_text_and_back_is_the_same_amount(currency: str, inside: int, *, negative: bool) -> None:
    factor = 10 ** (SCALE_DIGITS - EXPONENTS[currency])
    amount_minor = -(inside // factor) if negative else inside // factor
    text = to_text(amount_minor, currency)
    assert minor_units(text, currency) == amount_minor
    assert scaled(amount_minor, currency) == Fraction(text or "") * 10**SCALE_DIGITS


@given(CURRENCIES, PLAIN)
def test_amounts_agree_with_decimal_arithmetic(currency: str, text: str) -> None:
    whole, _point, fraction = text.partition(".")
    kept, rest = fraction[: EXPONENTS[currency]], fraction[EXPONENTS[currency] :]
    exact = int(whole + kept.ljust(EXPONENTS[currency], "0"))
    amount_minor, code = attempt(text, currency)
    overflows = abs(exact) * 10 ** (SCALE_DIGITS - EXPONENTS[currency]) >= LIMIT
    if amount_minor is None:
        assert (code == "too-fine" and rest.strip("0")) or (code == "amount-overflow" and overflows)
    else:
        assert amount_minor == exact
        assert not rest.strip("0")
        assert abs(scaled(amount_minor, currency)) < LIMIT


@given(ANYTHING, CURRENCIES)
def test_anything_else_is_refused_with_a_code(value: object, currency: str) -> None:
    amount_minor, code = attempt(value, currency)
    if amount_minor is None:
        assert code in CODES
    else:
        assert type(value) in {int, str, Decimal}
        assert Decimal(str(value)) == Decimal(to_text(amount_minor, currency) or "")


@given(st.floats(), CURRENCIES)
def test_floats_are_always_refused(value: float, currency: str) -> None:
    assert attempt(value, currency) == (None, "wrong-type")
