"""Rules about running totals: a parent against its members, a child against its lines.

They work on the totals that the settlement's stage of statements keeps (`StatementView`); a spec names them and gives
their words, and their arithmetic is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from reconcile.finding import NO_AMOUNTS, Amounts, Direction, Evidence, Finding, evidence_of
from reconcile.spec.declared import (
    ChildTotalRule,
    DeclaredRule,
    LateMemberRule,
    MemberStatusRule,
    ParentPresenceRule,
    ParentTotalRule,
    duration_us,
)
from reconcile.spec.kinds.common import RuleDraft
from reconcile.spec.model import Tolerances
from reconcile.statement_view import RunningTotal, StatementView, line_total
from trueup.model.tables import Id

KINDS: Final = ("parent-presence", "parent-total", "late-member", "child-total", "member-status")
HAVE_TOTALS: Final = ("statement", "payout")
"""The tables whose group comes with running totals."""


def about_totals(at: RuleDraft, rule: DeclaredRule) -> None:
    """Put the rule among those about the whole group: the judge calls its function with the totals."""
    tables = tuple(leg.source_table for leg in at.draft.legs.values())
    if tables != HAVE_TOTALS:
        at.wrong(
            "kind", f"rules of the kind {rule.kind} need the running totals of statements and payouts",
            "compare the legs of a group with a sum rule",
        )  # fmt: skip
        return
    told = at.draft.constant(_FUNCTIONS[rule.kind])
    at.draft.whole.append(f"found.extend({told}({at.draft.constant(rule)}, view, tolerances))")


def _told(
    rule: DeclaredRule,
    view: StatementView,
    entity: tuple[str, Id],
    detail: str,
    evidence: list[Evidence],
    *,
    due_us: int | None = None,
    direction: Direction = "",
    amounts: Amounts = NO_AMOUNTS,
) -> Finding:
    shop: Id = view.statement.shop_id if view.statement else ""
    if not view.statement and view.payouts and view.payouts[0].row is not None:
        shop = view.payouts[0].row.shop_id
    return Finding(
        rule.name, entity[0], entity[1], view.books.newest_us if due_us is None else due_us, direction, *amounts, shop,
        view.books.statement_id, detail, tuple(evidence),
    )  # fmt: skip


def _grace_us(rule: ParentPresenceRule | MemberStatusRule, tolerances: Tolerances) -> int:
    return tolerances.grace_us if rule.grace is None else duration_us(rule.grace)


def parent_presence(rule: ParentPresenceRule, view: StatementView, tolerances: Tolerances) -> Iterator[Finding]:
    """Members that name a parent need one, at once or within the grace after the newest member's business time."""
    if view.register is not None or not view.item_count:
        return
    # A partial forgets its newest items when all of them go, while older ones stay.
    newest = max(
        (item.created_us for partial in view.books.partials.values() for item in partial.latest),
        default=view.books.newest_us,
    )
    currency, total = min(view.totals.items())
    yield _told(
        rule, view, ("statement", view.books.statement_id), rule.detail.format(count=view.item_count), [],
        due_us=newest + _grace_us(rule, tolerances), direction="long", amounts=Amounts(0, total.amount_minor, currency),
    )  # fmt: skip


def parent_total(rule: ParentTotalRule, view: StatementView, _tolerances: Tolerances) -> Iterator[Finding]:
    """The parent's amount and count are the sums over its members: the amount in its currency, the count in all."""
    statement, register = view.statement, view.register
    if statement is None or register is None:
        return
    running = view.totals.get(statement.currency, RunningTotal(0, 0))
    if running.amount_minor == statement.amount_minor and view.item_count == statement.item_count:
        return
    detail = rule.detail
    if view.item_count != statement.item_count:
        detail = rule.detail_count.format(told=statement.item_count, count=view.item_count)
    yield _told(
        rule, view, ("statement", statement.statement_id), detail, [evidence_of("statement", register)],
        amounts=Amounts(running.amount_minor, statement.amount_minor, statement.currency),
    )  # fmt: skip


def late_member(rule: LateMemberRule, view: StatementView, _tolerances: Tolerances) -> Iterator[Finding]:
    """No member is younger than the time at which its parent closed."""
    statement, register = view.statement, view.register
    if statement is None or register is None or statement.closed_us is None:
        return
    for partial in view.books.partials.values():
        for item in partial.latest:
            if item.created_us <= statement.closed_us:
                break
            yield _told(
                rule, view, ("billing_item", item.billing_item_id), rule.detail, [evidence_of("statement", register)],
                direction="long", amounts=Amounts(0, item.amount_minor, item.currency),
            )  # fmt: skip


def child_total(rule: ChildTotalRule, view: StatementView, _tolerances: Tolerances) -> Iterator[Finding]:
    """A child's amount is the sum of its lines in its currency; where that holds, it is its parent's amount too."""
    for register in view.payouts:
        payout = register.row
        assert payout is not None
        lines = line_total(view.books, payout.payout_id, payout.currency)
        evidence = [evidence_of("payout", register)]
        expected: int | None = lines.amount_minor
        detail = rule.detail.format(count=lines.count)
        if lines.amount_minor == payout.amount_minor:
            if view.statement is None or view.register is None:
                continue
            same_currency = view.statement.currency == payout.currency
            if same_currency and view.statement.amount_minor == payout.amount_minor:
                continue
            # Amounts in two currencies cannot be compared: only the payout's own is told.
            expected = view.statement.amount_minor if same_currency else None
            detail = rule.detail_parent
            if not same_currency:
                detail = rule.detail_currency.format(own=payout.currency, parent=view.statement.currency)
            evidence.append(evidence_of("statement", view.register))
        yield _told(
            rule, view, ("payout", payout.payout_id), detail, evidence,
            amounts=Amounts(expected, payout.amount_minor, payout.currency),
        )._replace(shop_id=payout.shop_id)  # fmt: skip


def member_status(rule: MemberStatusRule, view: StatementView, tolerances: Tolerances) -> Iterator[Finding]:
    """While a child has one status, no member of its parent has the other."""
    waiting = sum(
        total.count
        for partial in view.books.partials.values()
        for (_currency, status), total in partial.items.items()
        if status == rule.member_status
    )
    if not waiting:
        return
    for register in view.payouts:
        payout = register.row
        if payout is not None and payout.status == rule.status:
            yield _told(
                rule, view, ("payout", payout.payout_id), rule.detail.format(count=waiting),
                [evidence_of("payout", register)], due_us=payout.updated_us + _grace_us(rule, tolerances),
            )._replace(shop_id=payout.shop_id)  # fmt: skip


_FUNCTIONS: Final[dict[str, Any]] = {
    "parent-presence": parent_presence,
    "parent-total": parent_total,
    "late-member": late_member,
    "child-total": child_total,
    "member-status": member_status,
}
