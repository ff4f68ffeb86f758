"""The report as one HTML file without scripts."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

from dashboards.report.build import Report, Row, Section
from dashboards.report.plots import plot_of
from dashboards.report.sections import Column
from dashboards.web import figures
from dashboards.web.language import Language, term, translator
from dashboards.web.page import render_text

AGES: Final = ("under a day", "1 to 2 days", "3 to 6 days", "7 to 29 days", "30 days and more")
ID_CHARS: Final = 12
RIGHT: Final = frozenset({"count", "money", "change", "ms"})
"""Kinds that stand to the right of their column."""


class Cell:
    """One cell: its text, and whether it stands right."""

    def __init__(self, text: str, *, is_number: bool) -> None:
        self.text = text
        self.is_number = is_number


def report_html(report: Report) -> str:
    """The report as one HTML document that loads nothing."""
    zone = ZoneInfo(report.span.zone)
    return render_text(
        report.language,
        "report.html",
        report=report,
        sections=[
            {
                "plan": section.plan,
                "rows": [[_cell(column, row, report) for column in section.plan.columns] for row in section.rows],
                "right": [column.kind in RIGHT for column in section.plan.columns],
                # Drawn from numbers and names of rules by ourselves, and escaped by the library that draws.
                "plot": Markup(_plot(section, report)),  # noqa: S704
                "sql": section.query.shown(),
            }
            for section in report.sections
        ],
        made_at=_time(report.made_at, zone),
        start=_time(report.span.start, zone),
        end=_time(report.span.end, zone),
    )


def _plot(section: Section, report: Report) -> str:
    span = report.span
    return plot_of(section.plan.key, section.rows, span.start, span.end, span.zone)


def _cell(column: Column, row: Row, report: Report) -> Cell:
    return Cell(_text(column, row, report), is_number=column.kind in RIGHT)


def _text(column: Column, row: Row, report: Report) -> str:  # noqa: PLR0911 - one line for each kind
    value, language = row[column.name], report.language
    match column.kind:
        case "count":
            return figures.count_text(value, language)
        case "money":
            return figures.amount_text(value, row["currency"], language)
        case "change":
            return _change(value, row["currency"], language)
        case "time":
            return _time(value, ZoneInfo(report.span.zone)) if value is not None else figures.NOTHING
        case "hour":
            return f"{value.astimezone(ZoneInfo(report.span.zone)):%H:%M}"
        case "ms":
            return _milliseconds(value, language)
        case "age":
            return translator(language)(AGES[value])
        case "rule":
            return str(value) or translator(language)("all rules")
        case "class" | "status" | "standing":
            return term(language, column.kind, value) if value else figures.NOTHING
        case "id":
            return str(value)[:ID_CHARS]
        case "text":
            return str(value) or figures.NOTHING


def _change(amount: Decimal | None, currency: str, language: Language) -> str:
    text = figures.amount_text(amount, currency, language)
    return f"+{text}" if amount is not None and amount > 0 else text


def _milliseconds(value: float | None, language: Language) -> str:
    """A duration, not an amount: milliseconds below a second, else seconds with one digit."""
    if value is None:
        return figures.NOTHING
    if value < 1000:
        return f"{figures.count_text(round(value), language)} ms"
    return f"{figures.amount_text(Decimal(round(value / 100)) / 10, 'XXX', language).removesuffix('0')} s"


def _time(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
