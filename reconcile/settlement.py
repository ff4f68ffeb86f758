"""The settlement spec as its two stages use it: orders judged from their books, statements with their running totals."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from reconcile.finding import CODED_CLASSES, DiscrepancyClass, Finding
from reconcile.spec.legs import DEFAULT_SPEC
from reconcile.spec.load import load_spec
from reconcile.spec.model import Judge, Spec, Tolerances
from reconcile.statement_view import StatementView
from trueup.model.registers import OrderBooks


class SettlementRules(NamedTuple):
    """The compiled rules with their tolerances."""

    order_judge: Judge
    statement_judge: Judge
    tolerances: Tolerances

    def judge_order(self, books: OrderBooks) -> list[Finding]:
        """Every finding about the order, due now or later."""
        return self.order_judge(
            (books.order_id,), books.orders, books.items, books.lines, books.marks, books.newest_us, self.tolerances
        )

    def judge_statement(self, view: StatementView) -> list[Finding]:
        """Every finding about the statement, due now or later."""
        books = view.books
        return self.statement_judge(
            (books.statement_id,), books.statements, books.payouts, books.marks, books.newest_us, self.tolerances, view
        )


def settlement_rules(spec: Spec, tolerances: Tolerances) -> SettlementRules:
    """The rules of a spec that has the settlement's two groups."""
    orders, statements = spec.group("orders"), spec.group("statements")
    return SettlementRules(orders.judge_legs, statements.judge_legs, tolerances)


@cache
def shipped_settlement() -> Spec:
    """The settlement spec that comes with trueup, read once."""
    return load_spec(DEFAULT_SPEC)


@cache
def rule_classes() -> dict[str, DiscrepancyClass]:
    """Rule → class of every rule about the settlement, in the spec or in code."""
    return {**shipped_settlement().classes, **CODED_CLASSES}
