"""The figures of the overview, made of what ClickHouse gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from dashboards.pages.overview import bar_name, flow_points, risk_by_currency, source_lag_ms

NOON = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)


def test_only_stages_that_judge_tell_the_lag() -> None:
    marks = [
        {"stage": "orders", "lag_ms": 700},
        {"stage": "statements", "lag_ms": 900},
        {"stage": "mirrors", "lag_ms": 73_000},
        {"stage": "cases", "lag_ms": 80_000},
    ]
    assert source_lag_ms(marks) == 900
    assert source_lag_ms(marks[2:]) is None


def test_every_minute_of_the_last_hour_has_a_point() -> None:
    minute = NOON.replace(second=0) - timedelta(minutes=3)
    points = flow_points([{"minute": minute, "opened": 4, "resolved": 1}], NOON)
    assert len(points) == 60
    assert [point for point in points if point["opened"]] == [{"minute": minute, "opened": 4, "resolved": 1}]
    assert points[-1]["minute"] == NOON.replace(second=0)


def test_the_currency_with_most_cases_comes_first() -> None:
    rows = [
        {"currency": "EUR", "severity": "low", "cases": 2, "amount": Decimal("1.50")},
        {"currency": "JPY", "severity": "low", "cases": 3, "amount": None},
        {"currency": "EUR", "severity": "high", "cases": 2, "amount": Decimal(2_000)},
    ]
    first, second = risk_by_currency(rows)
    assert (first["currency"], first["cases"], first["amount"]) == ("EUR", 4, Decimal("2001.50"))
    assert (second["currency"], second["amount"]) == ("JPY", 0)


def test_bars_are_named_by_their_bound() -> None:
    assert [bar_name(bound) for bound in (250, 1_000, None)] == ["≤ 250 ms", "≤ 1 s", "> 60 s"]
