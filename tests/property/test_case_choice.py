"""What a person chose survives the way through an address, and no text breaks the reading."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickhouse.case_reader import UNSETTLED, CaseFilter
from reconcile.cases.policy import SEVERITIES
from reconcile.finding import DISCREPANCY_CLASSES
from trueup.case_choice import ALL, NAMES, STANDINGS, VALUES_MAX, Choice, read_choice
from trueup.model.errors import ConfigurationError
from trueup.model.money import EXPONENTS

TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


def several(texts: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(texts, max_size=4, unique=True).map(tuple)


CHOICES = st.builds(
    Choice,
    rules=several(TEXTS),
    classes=several(st.sampled_from(DISCREPANCY_CLASSES)),
    standings=several(st.sampled_from([*STANDINGS, ALL])),
    sellers=several(TEXTS),
    currencies=several(st.sampled_from(sorted(EXPONENTS))),
    severities=several(st.sampled_from(SEVERITIES)),
    assignee=st.just("") | TEXTS,
    order_id=st.just("") | TEXTS,
    statement_id=st.just("") | TEXTS,
    min_amount=st.none() | st.decimals(0, 10**34 - 1, places=4),
    older_than=st.just("") | st.from_regex(r"[0-9]{1,6}[mhdw]", fullmatch=True),
    period=st.none() | st.dates(date(1000, 1, 1), date(9999, 12, 1)).map(lambda day: day.replace(day=1)),
)


@given(CHOICES)
def test_an_address_keeps_a_choice(choice: Choice) -> None:
    address = urlencode(choice.pairs())
    assert read_choice(parse_qsl(address)) == choice


@given(CHOICES, st.integers(0, 2**52))
def test_a_filter_is_never_wider_than_the_choice(choice: Choice, now_us: int) -> None:
    chosen = choice.filter(now_us)
    for name in ("rules", "classes", "sellers", "currencies", "severities", "assignee", "order_id", "statement_id"):
        assert getattr(chosen, name) == getattr(choice, name)
    assert (chosen.amount_from, chosen.period) == (choice.min_amount, choice.period)
    assert (chosen.raised_until_us is None) == (choice.older_than == "")
    assert chosen.raised_until_us is None or chosen.raised_until_us <= now_us
    expected = STANDINGS if ALL in choice.standings else choice.standings or UNSETTLED
    assert chosen.standings == expected


@given(st.lists(st.tuples(st.sampled_from([*NAMES, "page"]), st.text(max_size=250)), max_size=12))
def test_any_text_is_read_or_refused_in_words(pairs: list[tuple[str, str]]) -> None:
    choice, refused_at = read_or_refused(pairs)
    assert refused_at in {"", *NAMES}
    assert read_choice(choice.pairs()) == choice
    assert isinstance(choice.filter(0), CaseFilter)


def read_or_refused(pairs: list[tuple[str, str]]) -> tuple[Choice, str]:
    """The choice, or an empty one and the name whose text was refused."""
    try:
        return read_choice(pairs), ""
    except ConfigurationError as error:
        return Choice(), error.where


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class", "one-side"), ("standing", "opened"), ("currency", "EUX"), ("severity", "worst"), ("min_amount", "-1"),
        ("min_amount", "1e3"), ("min_amount", "١"), ("older_than", "2 days"), ("period", "2026-13"), ("seller", "a" * 201),
        ("order", "1\x002"), ("assignee", "\ud800"),
    ],
)  # fmt: skip
def test_what_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        read_choice([(name, text)])
    assert told.value.where == name
    assert told.value.remedy


def test_too_many_values_are_refused_and_equal_ones_count_once() -> None:
    with pytest.raises(ConfigurationError, match="more than 100"):
        read_choice([("seller", str(number)) for number in range(VALUES_MAX + 1)])
    twice = [
        ("currency", "eur"),
        ("currency", "EUR"),
        ("order", "1"),
        ("order", "2"),
        ("rule", " stuck "),
        ("rule", ""),
    ]
    assert read_choice(twice) == Choice(currencies=("EUR",), order_id="2", rules=("stuck",))
    assert read_choice([("min_amount", "12.50")]).min_amount == Decimal("12.50")
