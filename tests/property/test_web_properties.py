"""Laws of the frame: amounts are written exactly, headers of any kind are read, and no address leads away."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import urljoin, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from dashboards.web.errors import local_address
from dashboards.web.figures import MINUS, amount_text, count_text, moment_of, moment_tag
from dashboards.web.language import LANGUAGES, wanted_language
from trueup.model.money import EXPONENTS

CURRENCIES = st.sampled_from([*sorted(EXPONENTS), "", "XXX"])
AMOUNTS = st.decimals(places=4, min_value=-(10**38), max_value=10**38, allow_nan=False, allow_infinity=False)


def read_back(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace(MINUS, "-"))


@given(AMOUNTS, CURRENCIES, st.sampled_from(LANGUAGES))
def test_an_amount_is_written_as_it_is(amount: Decimal, currency: str, language: str) -> None:
    text = amount_text(amount, currency, next(known for known in LANGUAGES if known == language))
    assert read_back(text) == amount
    assert len(text.partition(".")[2]) >= EXPONENTS.get(currency, 2)
    groups = text.removeprefix(MINUS).partition(".")[0].split(",")
    assert 1 <= len(groups[0]) <= 3
    assert all(len(group) == 3 for group in groups[1:])


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_a_count_is_written_as_it_is(number: int) -> None:
    assert read_back(count_text(number, "zh")) == number


@given(st.integers(min_value=1, max_value=4_102_444_800_000_000))
def test_a_moment_is_kept_to_the_millisecond(when_us: int) -> None:
    moment = moment_of(when_us)
    assert moment is not None
    assert moment.utcoffset() is not None
    assert moment_tag(when_us) == moment_tag(moment)
    shown = datetime.fromisoformat(moment_tag(when_us))
    assert timedelta(0) <= moment - shown < timedelta(milliseconds=1)


@given(st.text(max_size=200), st.text(max_size=20))
def test_any_header_gives_a_language(header: str, cookie: str) -> None:
    headers = [
        (b"accept-language", header.encode("latin-1", "replace")),
        (b"cookie", b"trueup_language=" + cookie.encode("latin-1", "replace")),
    ]
    assert wanted_language(Request({"type": "http", "headers": headers})) in LANGUAGES


@given(st.text(alphabet="/\\:@#?.ahtps \t\n%2F", max_size=30))
def test_no_address_leads_to_another_site(text: str) -> None:
    here = "https://recon.example.org/orders/1"
    there = urlsplit(urljoin(here, local_address(text)))
    assert (there.scheme, there.netloc) == ("https", "recon.example.org")
