"""What the report of a day consists of: its sections, their columns, and the query behind each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Final, Literal, NamedTuple

from clickhouse import report_queries as asked
from clickhouse.query import Query

Kind = Literal[
    "text", "rule", "class", "status", "standing", "count", "money", "change", "time", "hour", "ms", "age", "id"
]


class Column(NamedTuple):
    """A column of a section: the name in the row, its English title, and how its values are written."""

    name: str
    title: str
    kind: Kind = "text"


class Span(NamedTuple):
    """The day as instants: `start` is its first, `end` its first no more; `zone` is the IANA zone it is a day of."""

    day: date
    start: datetime
    end: datetime
    zone: str


class SectionPlan(NamedTuple):
    """One section before its rows are read; `is_history` where a later report of the same day says the same."""

    key: str
    title: str
    lead: str
    columns: tuple[Column, ...]
    query: Callable[[str, Span], Query]
    is_history: bool


_RULE: Final = Column("rule", "Rule", "rule")
_CURRENCY: Final = Column("currency", "Currency")
_CASES: Final = Column("cases", "Cases", "count")
_AT_RISK: Final = Column("at_risk", "At risk", "money")

PLANS: Final = (
    SectionPlan(
        "risk",
        "Money at risk",
        "What was in question at the end of the day, |actual − expected| of everything open, beside the day before.",
        (
            _CURRENCY,
            Column("cases_before", "Cases the day before", "count"),
            Column("at_risk_before", "At risk the day before", "money"),
            _CASES,
            _AT_RISK,
            Column("change", "Change since", "change"),
        ),
        lambda database, span: asked.risk(database, span.start, span.end),
        True,
    ),
    SectionPlan(
        "turns",
        "Raised and resolved",
        "By rule. A case that was raised again counts again; one whose amounts changed does not.",
        (
            _RULE,
            Column("class", "Class", "class"),
            _CURRENCY,
            Column("raised", "Newly raised", "count"),
            Column("raised_amount", "Amount raised", "money"),
            Column("resolved", "Newly resolved", "count"),
            Column("resolved_amount", "Amount resolved", "money"),
        ),
        lambda database, span: asked.turns(database, span.start, span.end),
        True,
    ),
    SectionPlan(
        "hours",
        "Hour by hour",
        "Cases raised and resolved in each hour of the day.",
        (
            Column("hour", "Hour", "hour"),
            Column("raised", "Newly raised", "count"),
            Column("resolved", "Newly resolved", "count"),
        ),
        lambda database, span: asked.hours(database, span.start, span.end, span.zone),
        True,
    ),
    SectionPlan(
        "open",
        "Open at the end of the day",
        "What the judges found and the books had not settled by then, whatever people decided about it.",
        (_RULE, _CURRENCY, _CASES, _AT_RISK),
        lambda database, span: asked.open_by_rule(database, span.end),
        True,
    ),
    SectionPlan(
        "ageing",
        "Age of what was open",
        "From the raise to the end of the day.",
        (Column("age", "Age", "age"), _CURRENCY, _CASES, _AT_RISK),
        lambda database, span: asked.ageing(database, span.end),
        True,
    ),
    SectionPlan(
        "largest",
        "Largest open cases",
        "The five largest of each currency at the end of the day. Standing and seller are those of now.",
        (
            Column("discrepancy_id", "Case", "id"),
            _RULE,
            Column("entity", "About"),
            Column("shop_id", "Seller"),
            _CURRENCY,
            Column("stake", "In question", "money"),
            Column("raised_at", "Raised", "time"),
            Column("standing", "Standing", "standing"),
        ),
        lambda database, span: asked.largest(database, span.end),
        True,
    ),
    SectionPlan(
        "latency",
        "Time to detection",
        "From the commit in the source to the finding, for what was raised on the day. A case that was raised again since counts there.",
        (
            _RULE,
            Column("found", "Found", "count"),
            Column("p50_ms", "Half within", "ms"),
            Column("p99_ms", "99 of 100 within", "ms"),
        ),
        lambda database, span: asked.latency(database, span.start, span.end),
        False,
    ),
    SectionPlan(
        "orders",
        "Orders of the day",
        "Orders that were first seen on the day, by their verdict now.",
        (Column("verdict", "Verdict", "status"), Column("orders", "Orders", "count")),
        lambda database, span: asked.orders(database, span.start, span.end),
        False,
    ),
    SectionPlan(
        "statuses",
        "All discrepancies",
        "Everything that was ever raised, by what the judges say now.",
        (Column("status", "Status", "status"), _CASES),
        lambda database, _: asked.statuses(database),
        False,
    ),
    SectionPlan(
        "decisions",
        "Decisions of people",
        "Commands of the day, from the audit log.",
        (
            Column("kind", "Command"),
            Column("outcome", "Outcome"),
            Column("commands", "Commands", "count"),
            Column("people", "People", "count"),
        ),
        lambda database, span: asked.decisions(database, span.start, span.end),
        True,
    ),
    SectionPlan(
        "statements",
        "Statements closed",
        "Statements that were closed on the day, by their verdict now.",
        (
            Column("verdict", "Verdict", "status"),
            _CURRENCY,
            Column("statements", "Statements", "count"),
            Column("upstream_amount", "Upstream's total", "money"),
            Column("running_amount", "Running total", "money"),
            Column("delta_amount", "Difference", "change"),
        ),
        lambda database, span: asked.statements(database, span.start, span.end),
        False,
    ),
    SectionPlan(
        "discrepant_statements",
        "Statements that disagree",
        "Of these, the fifty with the largest differences.",
        (
            Column("statement_id", "Statement"),
            Column("shop_id", "Seller"),
            _CURRENCY,
            Column("upstream_amount", "Upstream's total", "money"),
            Column("running_amount", "Running total", "money"),
            Column("delta_amount", "Difference", "change"),
            Column("rules", "Rules"),
        ),
        lambda database, span: asked.discrepant_statements(database, span.start, span.end),
        False,
    ),
    SectionPlan(
        "period",
        "Accounting period",
        "The calendar month of the day, in UTC, as it stands now.",
        (
            Column("class", "Class", "class"),
            _CURRENCY,
            Column("raised", "Newly raised", "count"),
            Column("raised_amount", "Amount raised", "money"),
            Column("resolved_within", "Resolved within", "count"),
            Column("resolved_within_amount", "Amount resolved within", "money"),
            Column("open_at_end", "Open at its end", "count"),
            Column("open_at_end_amount", "Amount open at its end", "money"),
        ),
        lambda database, span: asked.period(database, span.day.replace(day=1)),
        False,
    ),
    SectionPlan(
        "quarantine",
        "Messages refused",
        "What could not be read or applied and was put aside on the day.",
        (
            Column("stage", "Stage"),
            Column("code", "Reason"),
            Column("messages", "Messages", "count"),
            Column("topics", "Topics"),
        ),
        lambda database, span: asked.quarantine(database, span.start, span.end),
        True,
    ),
)
"""The sections in their order."""
