"""What the overview and the list make of rows and choices: no minute and no bar left out, and rows only where they belong."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from clickhouse.board_reader import FLOW_MINUTES, LATENCY_BOUNDS_MS
from clickhouse.case_reader import UNSETTLED
from dashboards.pages.case_view import View, difference, read_view
from dashboards.pages.discrepancies import live_when
from dashboards.pages.overview import bar_name, flow_points, histogram_bars, risk_by_currency
from dashboards.web.rule_pages import rule_page
from reconcile.settlement import rule_classes
from trueup.case_choice import STANDINGS, Choice
from trueup.model.errors import ConfigurationError

NOW = datetime(2026, 11, 21, 12, 30, 45, tzinfo=UTC)


def test_every_minute_of_the_hour_is_there() -> None:
    told = {"minute": NOW.replace(second=0) - timedelta(minutes=2), "opened": 3, "resolved": 1}
    points = flow_points([told, {**told, "minute": NOW - timedelta(hours=3)}], NOW)
    assert len(points) == FLOW_MINUTES
    assert points[-1]["minute"] == NOW.replace(second=0)
    assert [point for point in points if point["opened"]] == [told]


def test_every_bar_of_the_histogram_is_there() -> None:
    bars = histogram_bars([{"bar": 0, "findings": 2}, {"bar": len(LATENCY_BOUNDS_MS), "findings": 1}])
    assert len(bars) == len(LATENCY_BOUNDS_MS) + 1
    assert (bars[0], bars[-1]) == ({"upto_ms": 10, "findings": 2}, {"upto_ms": None, "findings": 1})
    assert (bar_name(250), bar_name(2_500), bar_name(None)) == ("≤ 250 ms", "≤ 2.5 s", "> 60 s")


def test_money_is_added_up_by_currency_and_never_across() -> None:
    rows = [
        {"currency": "EUR", "severity": "low", "cases": 1, "amount": Decimal("0.1000")},
        {"currency": "JPY", "severity": "low", "cases": 9, "amount": Decimal("7.0000")},
        {"currency": "EUR", "severity": "high", "cases": 2, "amount": Decimal("0.2000")},
        {"currency": "KWD", "severity": "high", "cases": 1, "amount": None},
    ]
    found = risk_by_currency(rows)
    assert [(entry["currency"], entry["cases"], entry["amount"]) for entry in found] == [
        ("JPY", 9, Decimal(7)), ("EUR", 3, Decimal("0.3")), ("KWD", 1, Decimal(0)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "actual", "told"),
    [
        (None, None, None), ("8.0000", None, "-8"), (None, "8.5000", "8.5"), ("8.0000", "8.5000", "0.5"),
        ("99999999999999999999999999999999.9999", None, "-99999999999999999999999999999999.9999"),
    ],
)  # fmt: skip
def test_a_missing_side_counts_as_nothing(expected: str | None, actual: str | None, told: str | None) -> None:
    case: dict[str, Any] = {
        "currency": "CLF",
        "expected": None if expected is None else Decimal(expected),
        "actual": None if actual is None else Decimal(actual),
    }
    assert difference(case) == (None if told is None else Decimal(told))


def test_a_view_keeps_what_it_says_in_its_address() -> None:
    view = View(Choice(rules=("stuck", "late-item"), sellers=("a b&c",), period=date(2026, 11, 1)), "amount", after="x")
    assert view.address().startswith("/discrepancies?rule=stuck&rule=late-item&seller=a+b%26c")
    assert view.turned_to(before="y").endswith("sort=amount&before=y")
    assert "after" not in view.choosing(standings=("open",))
    assert view.without("rule", "stuck").startswith("/discrepancies?rule=late-item&")
    assert View().address() == "/discrepancies"
    with pytest.raises(ConfigurationError, match="none of its words"):
        read_view([("sort", "colour")])


@pytest.mark.parametrize(
    "view",
    [
        View(Choice(), "amount"), View(Choice(), after="opened~1~x"), View(Choice(min_amount=Decimal(1))),
        View(Choice(severities=("high",))), View(Choice(assignee="bob")), View(Choice(older_than="1d")),
        View(Choice(period=date(2026, 11, 1))),
    ],
)  # fmt: skip
def test_no_row_comes_first_where_the_browser_cannot_tell(view: View) -> None:
    assert live_when(view) == {"status": []}


def test_rows_come_first_where_they_fit() -> None:
    assert live_when(View()) == {"status": ["open", "regressed"]}
    chosen = View(Choice(rules=("stuck",), sellers=("1",), order_id="7", standings=("auto-resolved", "waived")))
    assert live_when(chosen) == {"rule": ["stuck"], "shop_id": ["1"], "order_id": ["7"], "status": ["auto-resolved"]}
    assert live_when(View(Choice(standings=("all",))))["status"] == ["open", "regressed", "auto-resolved"]
    assert set(UNSETTLED) < set(STANDINGS)


@pytest.mark.parametrize("rule", sorted(rule_classes()))
def test_every_rule_has_a_page_with_queries(rule: str) -> None:
    page = rule_page(rule)
    assert page is not None
    assert f"<h1>{rule}</h1>" in page.html
    assert ".md" not in page.html
    for query in page.queries("books", "O'Neil"):
        shown = query.shown()
        assert "books.v_" in shown
        assert "trueup.v_" not in shown
        assert r"'O\'Neil'" in shown


@pytest.mark.parametrize("rule", ["README", "../rules", "no-such-rule", ""])
def test_other_files_are_no_rule_pages(rule: str) -> None:
    assert rule_page(rule) is None
