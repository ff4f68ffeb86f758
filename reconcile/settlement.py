"""The settlement spec as its two stages use it: orders judged from their books, statements with their running totals."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from types import MappingProxyType
from typing import Final, NamedTuple

from reconcile.finding import CODED_CLASSES, DiscrepancyClass, Finding
from reconcile.spec.legs import DEFAULT_SPEC
from reconcile.spec.load import load_spec
from reconcile.spec.model import Judge, Spec, Tolerances
from reconcile.statement_view import StatementView
from trueup.model.registers import OrderBooks

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class SettlementRules(NamedTuple):
    """The compiled rules with their tolerances.

    `version` is the spec's. `classes` has every rule of the spec and of code, and those that earlier versions had: what
    they found must be told in the same class when it resolves. `fingerprint` changes with anything in spec or settings
    that may change a verdict.
    """

    order_judge: Judge
    statement_judge: Judge
    tolerances: Tolerances
    version: int
    classes: Mapping[str, str]
    fingerprint: str

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


def settlement_rules(spec: Spec, tolerances: Tolerances, former: Mapping[str, str] = _NONE) -> SettlementRules:
    """The rules of a spec that has the settlement's two groups; `former` are the classes of rules that it may lack by now."""
    orders, statements = spec.group("orders"), spec.group("statements")
    return SettlementRules(
        orders.judge_legs,
        statements.judge_legs,
        tolerances,
        spec.version,
        {**former, **CODED_CLASSES, **spec.classes},
        _fingerprint(spec, tolerances),
    )


def _fingerprint(spec: Spec, tolerances: Tolerances) -> str:
    charging = tolerances.charging
    content = (
        *(spec.name, spec.version, [group.source_text for group in spec.groups]),
        *(tolerances.grace_us, sorted(tolerances.limits_us.items())),
        (charging.name, charging.version) if charging is not None else None,
    )
    return sha256(repr(content).encode()).hexdigest()[:16]


@cache
def shipped_settlement() -> Spec:
    """The settlement spec that comes with trueup, read once."""
    return load_spec(DEFAULT_SPEC)


@cache
def rule_classes() -> dict[str, DiscrepancyClass]:
    """Rule → class of every rule about the settlement, in the spec or in code."""
    return {**shipped_settlement().classes, **CODED_CLASSES}
