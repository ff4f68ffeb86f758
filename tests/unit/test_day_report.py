"""The report of a day: what a day is in a zone, exact amounts in their own currency, no script, nothing fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weasyprint.urls import FatalURLFetchingError

from clickhouse.query import Query
from dashboards.report.build import Report, build_report, span_of
from dashboards.report.page import AGES, report_html
from dashboards.report.pdf import report_pdf
from dashboards.report.sections import PLANS
from dashboards.web.language import Language, translations
from trueup.model.errors import ConfigurationError

DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=3)
HUGE = Decimal("1234567890123456789012345678901234.5678")
VALUES: dict[str, Any] = {
    "text": "<b>S&1</b>",
    "rule": "missing-billing",
    "class": "one-sided",
    "status": "open",
    "standing": "assigned",
    "count": 1_234,
    "money": HUGE,
    "change": Decimal(-5),
    "time": NOON,
    "hour": NOON,
    "ms": 812.4,
    "age": 2,
    "id": "0123456789abcdef0123456789abcdef",
}


class Books:
    """Answers every query with the same rows, made by the kinds of the columns."""

    database = "trueup"

    def __init__(self, *currencies: str) -> None:
        self._currencies = currencies
        self.asked: list[Query] = []

    def rows(self, query: Query) -> Sequence[Mapping[str, Any]]:
        plan = PLANS[len(self.asked)]
        self.asked.append(query)
        return [
            {column.name: VALUES[column.kind] for column in plan.columns} | {"currency": currency}
            for currency in self._currencies
        ]


def report(*currencies: str, zone: str = "UTC", language: Language = "en", made_at: datetime = LATER) -> Report:
    return build_report(Books(*currencies), DAY, zone, language, made_at=made_at)


def test_amounts_have_the_digits_of_their_currency_and_lose_none() -> None:
    html = report_html(report("JPY", "USD", "KWD"))
    assert "−5<" in html
    assert "−5.00<" in html
    assert "−5.000<" in html
    assert "1,234,567,890,123,456,789,012,345,678,901,234.5678" in html


def test_texts_of_the_books_are_escaped_and_there_is_no_script() -> None:
    html = report_html(report("USD"))
    assert "&lt;b&gt;S&amp;1&lt;/b&gt;" in html
    assert "<b>S" not in html
    assert "<script" not in html
    assert re.findall(r"""(?:src|href)=["'](?!#)[^"']*""", html) == []
    assert re.findall(r"url\((?!#)", html) == []


def test_every_section_shows_its_query_and_whether_history_holds_it() -> None:
    made = report("USD")
    html = report_html(made)
    assert html.count("<pre>") == len(PLANS)
    assert html.count(">from the history<") == sum(plan.is_history for plan in PLANS)
    assert "CAST(&#39;2026-11-20 00:00:00.000000&#39; AS DateTime64(6))" in html
    assert "{" not in "".join(section.query.shown() for section in made.sections)


def test_a_day_without_anything_says_so() -> None:
    html = report_html(report())
    assert html.count("Nothing.") == len(PLANS)
    assert "<svg" not in html


def test_a_day_that_still_runs_is_told() -> None:
    assert "The day is not over" in report_html(report("USD", made_at=NOON))
    assert "The day is not over" not in report_html(report("USD"))


def test_a_day_that_has_not_begun_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has not begun"):
        report("USD", made_at=NOON - timedelta(days=1))


@pytest.mark.parametrize("zone", ["Mars/Phobos", "", "../etc/passwd", "a" * 300])
def test_a_zone_that_does_not_exist_is_refused(zone: str) -> None:
    with pytest.raises(ConfigurationError, match="no time zone"):
        span_of(DAY, zone)


@pytest.mark.parametrize(
    ("day", "zone", "start", "hours"),
    [
        (DAY, "Asia/Shanghai", datetime(2026, 11, 19, 16, tzinfo=UTC), 24),
        (date(2026, 3, 29), "Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
        (date(2026, 10, 25), "Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC), 25),
    ],
)
def test_a_day_is_as_long_as_its_zone_has_it(day: date, zone: str, start: datetime, hours: int) -> None:
    span = span_of(day, zone)
    assert (span.start, span.end - span.start) == (start, timedelta(hours=hours))


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin"]))
def test_days_follow_each_other_without_gap_or_overlap(day: date, zone: str) -> None:
    assert span_of(day, zone).end == span_of(day + timedelta(days=1), zone).start


def test_the_same_figures_give_the_same_bytes() -> None:
    assert report_html(report("USD", "JPY")) == report_html(report("USD", "JPY"))


def test_every_text_is_translated() -> None:
    chinese = translations("zh")
    titles = {plan.title for plan in PLANS} | {column.title for plan in PLANS for column in plan.columns}
    texts = titles | {plan.lead for plan in PLANS} | set(AGES)
    assert {text for text in texts if chinese.gettext(text) == text} == set()


def test_the_pdf_is_made_in_both_languages_without_fetching_anything() -> None:
    for language in ("en", "zh"):
        assert report_pdf(report_html(report("USD", language=language))).startswith(b"%PDF-")


def test_a_document_that_asks_for_an_address_loads_nothing() -> None:
    with pytest.raises(FatalURLFetchingError):
        report_pdf('<link rel="stylesheet" href="file:///etc/hostname"><p>x</p>')
