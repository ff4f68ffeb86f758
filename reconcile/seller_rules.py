"""The rule about what was agreed with the seller: threshold, currency, hold and cycle. Pure; `docs/rules.md` is its contract."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, Final

from reconcile.finding import NO_AMOUNTS, Finding, evidence_of, id_order
from reconcile.reference_books import ReferenceBooks, Terms
from trueup.model.money import to_text
from trueup.model.registers import Register, StatementBooks
from trueup.model.tables import Payout, PayoutRule, Statement

CYCLE_DAYS: Final = {"daily": 1, "weekly": 7, "biweekly": 14}
"""Days of a period by cycle; a monthly one is a calendar month."""

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


def judge_sellers(books: StatementBooks, references: ReferenceBooks) -> list[Finding]:
    """rule-violation of the statement and of each of its payouts, by the terms at their first commit."""
    findings: list[Finding] = []
    live = [held for held in books.statements.values() if not held.deleted]
    if live:
        register = min(live, key=lambda held: held.source)
        findings += _judged(books, references, "statement", register)
    payouts = [held for held in books.payouts.values() if not held.deleted]
    for payout in sorted(payouts, key=lambda held: (id_order(held.primary_key), held.source)):
        findings += _judged(books, references, "payout", payout)
    return findings


def _judged(
    books: StatementBooks, references: ReferenceBooks, table: str, register: Register[Any]
) -> Iterator[Finding]:
    row = register.row
    terms = None if row is None else references.terms(register.source, row.shop_id, register.first_us)
    if row is None or terms is None:
        return
    violated = list(cycle_parts(row, terms) if table == "statement" else payout_parts(row, terms))
    if violated:
        yield Finding(
            "rule-violation", table, register.primary_key, books.newest_us, "", *NO_AMOUNTS, row.shop_id,
            books.statement_id, "; ".join(violated),
            (evidence_of(table, register), evidence_of("account", terms.account), evidence_of("rule", terms.rule)),
        )  # fmt: skip


def payout_parts(payout: Payout, terms: Terms) -> Iterator[str]:
    """What a payout violates, in words; amounts in two currencies are not compared."""
    rule = _agreed(terms)
    if rule.is_hold:
        yield f"the payout was made while rule {rule.rule_id} held payments back"
    if payout.currency != rule.payment_currency:
        yield f"the payout is in {payout.currency}, the rule pays in {rule.payment_currency}"
    elif payout.amount_minor < rule.threshold_minor:
        yield (
            f"the payout of {to_text(payout.amount_minor, payout.currency)} {payout.currency} is below the threshold of "
            f"{to_text(rule.threshold_minor, rule.payment_currency)}"
        )


def cycle_parts(statement: Statement, terms: Terms) -> Iterator[str]:
    """What a statement violates, in words: the rule's cycle, and the length that its own cycle gives its period."""
    rule = _agreed(terms)
    if statement.cycle != rule.cycle:
        yield f"the statement is {statement.cycle}, the rule says {rule.cycle}"
    if not fits_cycle(statement.cycle, statement.period_start, statement.period_end):
        first, last = _day(statement.period_start), _day(statement.period_end)
        yield f"the period from {first} to {last} is not {statement.cycle}"


def fits_cycle(cycle: str, first_day: int, last_day: int) -> bool:
    """Whether a period (days since the epoch, both included) is as long as its cycle; any length fits an unknown cycle."""
    days = CYCLE_DAYS.get(cycle)
    if days is not None:
        return last_day - first_day + 1 == days
    if cycle != "monthly":
        return True
    first, after = _day(first_day), _day(last_day + 1)
    return first.day == 1 and after.day == 1 and (after.year * 12 + after.month) - (first.year * 12 + first.month) == 1


def _agreed(terms: Terms) -> PayoutRule:
    rule = terms.rule.row
    assert rule is not None, "terms are made of live rows"
    return rule


def _day(days: int) -> date:
    return date.fromordinal(_EPOCH_ORDINAL + days)
