"""The seller's rule against a naive reading: replay the tables up to the first commit, then look."""

from __future__ import annotations

import calendar
from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconcile.finding import Finding
from reconcile.reference_books import ReferenceBooks
from reconcile.seller_rules import judge_sellers
from streams.merge import merge
from tests.source_log import START_US, SourceLog, changes_of
from trueup.model.money import minor_units
from trueup.model.registers import StatementBooks

EPOCH = date(1970, 1, 1)
AMOUNTS = st.sampled_from(("0", "1", "5", "9", "-1"))
CURRENCIES = st.sampled_from(("USD", "USD", "JPY"))
CYCLES = st.sampled_from(("daily", "weekly", "biweekly", "monthly"))
RULES = st.fixed_dictionaries(
    {
        "rule_id": st.sampled_from((1, 2)), "cycle": CYCLES, "payment_threshold": AMOUNTS,
        "payment_currency": CURRENCIES, "is_hold": st.booleans(),
    }
)  # fmt: skip
ACCOUNTS = st.fixed_dictionaries({"shop_id": st.sampled_from((9, "s")), "rule_id": st.sampled_from((1, 2, 3))})
PAYOUTS = st.fixed_dictionaries({"amount": AMOUNTS, "currency": CURRENCIES, "shop_id": st.sampled_from((9, "s"))})
PERIODS = st.tuples(
    st.sampled_from((date(2024, 2, 1), date(2024, 2, 2), date(2023, 12, 1))), st.sampled_from((1, 7, 14, 29, 31))
)
STATEMENTS = st.tuples(CYCLES, PERIODS).map(
    lambda drawn: {
        "cycle": drawn[0],
        "period_start": (drawn[1][0] - EPOCH).days,
        "period_end": (drawn[1][0] - EPOCH).days + drawn[1][1] - 1,
    }
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rule"), RULES), st.tuples(st.just("account"), ACCOUNTS),
        st.tuples(st.just("payout"), PAYOUTS), st.tuples(st.just("statement"), STATEMENTS),
        st.tuples(st.just("gone"), st.sampled_from((("account", 9), ("rule", 1), ("payout", 1)))),
        st.tuples(st.just("tick"), st.none()),
    ),
    max_size=24,
)  # fmt: skip


def happened(steps: list[tuple[str, Any]]) -> SourceLog:
    log = SourceLog()
    for name, what in steps:
        if name == "tick":
            log.tick()
        elif name == "gone":
            log.delete(*what)
        else:
            log.put(name, **what)
    return log


def rows_at(log: SourceLog, table: str, key: str, at_us: int) -> dict[Any, dict[str, Any]]:
    """The rows of a table as the transactions up to a time left them."""
    rows: dict[Any, dict[str, Any]] = {}
    for event, change in zip(log.events, changes_of(log), strict=True):
        if event.table.name != table or event.commit_us > at_us:
            continue
        named = dict(zip([column.name for column in event.table.columns], change.row or (), strict=False))
        rows.pop(named[key], None)
        if not change.deleted:
            rows[named[key]] = named
    return rows


def days_of(cycle: str, first: date) -> int:
    if cycle == "monthly":
        return calendar.monthrange(first.year, first.month)[1] if first.day == 1 else -1
    return {"daily": 1, "weekly": 7, "biweekly": 14}[cycle]


def violated(log: SourceLog, table: str) -> set[str]:
    """Words that stand for the parts that the row of `table` violates."""
    row = log.rows.get(("settlement", table, 1))
    if row is None:
        return set()
    first_us = min(event.commit_us for event in log.events if event.table.name == table)
    account = rows_at(log, "account", "shop_id", first_us).get(row["shop_id"])
    rule = account and rows_at(log, "rule", "rule_id", first_us).get(account["rule_id"])
    if not rule:
        return set()
    if table == "payout":
        same = row["currency"] == rule["payment_currency"]
        low = same and minor_units(row["amount"], row["currency"]) < rule["payment_threshold"]
        parts = {"held": rule["is_hold"], "pays in": not same, "below": low}
    else:
        first = EPOCH + timedelta(days=row["period_start"])
        length = row["period_end"] - row["period_start"] + 1
        parts = {
            "the rule says": row["cycle"] != rule["cycle"], "the period from": length != days_of(row["cycle"], first)
        }  # fmt: skip
    return {word for word, holds in parts.items() if holds}


def judged(log: SourceLog, order: list[int]) -> list[Finding]:
    books, references = StatementBooks(1), ReferenceBooks()
    changes = changes_of(log)
    for place in order:
        change = changes[place]
        if change.table.name in {"account", "rule"}:
            references.take(change, copied=False)
        else:
            merge(books, change)
    return judge_sellers(books, references)


@given(STEPS, st.data())
def test_every_reading_finds_what_the_naive_one_finds(steps: list[tuple[str, Any]], data: st.DataObject) -> None:
    log = happened(steps)
    places = list(range(len(log.events)))
    again = data.draw(st.lists(st.sampled_from(places), max_size=5)) if places else []
    found = judged(log, data.draw(st.permutations(places + again)))
    words = ("held", "pays in", "below", "the rule says", "the period from")
    for table in ("payout", "statement"):
        details = [finding.detail for finding in found if finding.entity_kind == table]
        parts = violated(log, table)
        assert len(details) == bool(parts)
        assert {word for word in words for detail in details if word in detail} == parts
    assert all(finding.due_us >= START_US for finding in found)
