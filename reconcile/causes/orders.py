"""Likely causes of findings about one order: its row, billing items and payout lines. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from reconcile.causes.amounts import Parts, cause_of_difference
from reconcile.causes.cause import Cause, at, late, money, span
from reconcile.causes.history import (
    AMOUNT_FIELDS,
    FACTORS,
    cause_of_step,
    charged_anew,
    deletion,
    edited,
    in_order,
    live,
)
from reconcile.finding import Evidence, Finding
from trueup.model.money import EXPONENTS
from trueup.model.registers import OrderBooks, Register, RegisterKey
from trueup.model.tables import Id, Order

DELIVERY_WINDOW_US: Final = 60_000_000
"""Equal rows that come within it were delivered or tried twice; later ones were made by a second run."""

_REFUNDING: Final = frozenset({"refund", "adjustment"})
Leg = Any
"""The register of a live billing item or payout line; its row is known."""


class OrderFacts(NamedTuple):
    """The live rows of an order; where two sources hold it, the first source by name speaks for it."""

    books: OrderBooks
    register: Register[Order] | None
    items: list[Leg]
    lines: list[Leg]

    @property
    def order(self) -> Order | None:
        """The order's row."""
        return self.register.row if self.register else None

    @property
    def billed_us(self) -> int:
        """When the order was first billed; 0 while it is not."""
        return min((leg.first_us for leg in self.items if leg.row.kind == "sale"), default=0)


def order_facts(books: OrderBooks) -> OrderFacts:
    """What the causes of one order rest on."""
    orders = sorted(live(books.orders), key=lambda held: held.source)
    return OrderFacts(books, orders[0] if orders else None, live(books.items), live(books.lines))


def cause_in_order(finding: Finding, facts: OrderFacts) -> Cause | None:
    """The cause of an open finding; None where no test of its rule fits."""
    test = _TESTS.get(finding.rule)
    return None if test is None else test(finding, facts)


def arrival_in_order(finding: Finding, facts: OrderFacts) -> Cause | None:
    """`late` if the row that the finding missed has come after its due time; None if it has not, or none was missed."""
    legs = _missed(finding, facts)
    first = min(legs, key=lambda leg: leg.first_us, default=None)
    if first is None or first.first_us <= finding.due_us:
        return None
    return late(f"{_MISSED[finding.rule]} {first.primary_key}", first.first_us, finding.due_us)


_MISSED: Final = {
    "missing-billing": "sale item",
    "orphan-billing": "order",
    "missing-payout": "payout line",
    "orphan-payout": "billing item",
    "status-mismatch": "item",
}
"""What the rules miss."""


def _missed(finding: Finding, facts: OrderFacts) -> list[Leg]:
    rule, entity = finding.rule, finding.entity_id
    if rule == "missing-billing":
        return [leg for leg in facts.items if leg.row.kind == "sale"]
    if rule == "orphan-billing":
        return [facts.register] if facts.register else []
    if rule == "missing-payout":
        return [leg for leg in facts.lines if leg.row.billing_item_id == entity]
    if rule == "orphan-payout":
        named = {leg.row.billing_item_id for leg in facts.lines if leg.primary_key == entity}
        return [leg for leg in facts.items if leg.primary_key in named]
    if rule == "status-mismatch":
        return [leg for leg in facts.items if leg.row.kind in _REFUNDING]
    return []


def _missing_billing(_: Finding, facts: OrderFacts) -> Cause | None:
    if facts.register is None or facts.order is None:
        return None
    completed_us = facts.order.completed_us or facts.register.commit_us
    followers = [("payout line", leg) for leg in facts.lines] + [
        (f"{leg.row.kind} item", leg) for leg in facts.items if leg.first_us > completed_us
    ]
    return deletion("sale item", facts.books.items, lambda held: held.row is not None and held.row.kind == "sale") or (
        _follows(followers, "the sale item comes before it")
        or Cause(
            "late", f"nothing of the order has come since {at(facts.register.commit_us)}: on its way, or never billed"
        )
    )


def _orphan_billing(finding: Finding, facts: OrderFacts) -> Cause | None:
    others = [("billing item", leg) for leg in facts.items if leg.primary_key != finding.entity_id]
    others += [("payout line", leg) for leg in facts.lines]
    return deletion("order", dict(facts.books.orders), lambda _: True) or (
        _follows(others, "the order comes before it")
        or Cause("unknown", "nothing else of the order was ever seen: its change is missing, or the id is wrong")
    )


def _missing_payout(finding: Finding, facts: OrderFacts) -> Cause | None:
    paid = _held(finding.evidence[0], facts)
    gone = deletion(
        "payout line", facts.books.lines,
        lambda held: held.row is not None and held.row.billing_item_id == finding.entity_id,
    )  # fmt: skip
    if gone or paid is None:
        return gone
    return Cause(
        "lost-message",
        f"the item is paid since {at(paid.commit_us)}, and its line comes before that: lost, or never written",
    )


def _orphan_payout(finding: Finding, facts: OrderFacts) -> Cause | None:
    line = _held(finding.evidence[0], facts)
    if line is None or line.row is None:
        return None
    named = line.row.billing_item_id
    gone = deletion("billing item", facts.books.items, lambda held: held.primary_key == named)
    if gone:
        return gone
    if facts.register is None and not facts.items:
        return Cause(
            "unknown", f"neither the order nor item {named} was ever seen: their changes are missing, or an id is wrong"
        )
    return Cause(
        "lost-message", f"the order is here, and line {line.primary_key} comes after item {named}, which never came"
    )


def _refund_missing(_: Finding, facts: OrderFacts) -> Cause | None:
    if facts.register is None:
        return None
    refunded_us = facts.register.commit_us
    later = [("row", leg) for leg in (*facts.items, *facts.lines) if leg.first_us > refunded_us]
    return deletion("item", facts.books.items, lambda held: held.row is not None and held.row.kind in _REFUNDING) or (
        _follows(later, "and it is newer than the refund")
        or Cause("late", f"no row of the order was made since {at(refunded_us)}: on its way, or never refunded")
    )


def _wrong_billing(finding: Finding, facts: OrderFacts) -> Cause | None:
    return charged_anew(facts.books.marks, facts.billed_us) or _difference(finding, facts)


def _wrong_charge(finding: Finding, facts: OrderFacts) -> Cause | None:
    return _order_edited(finding, facts, AMOUNT_FIELDS | FACTORS) or _difference(finding, facts)


def _silent_repair(finding: Finding, facts: OrderFacts) -> Cause | None:
    if finding.entity_kind == "billing_item":
        return edited(
            facts.books.marks,
            lambda mark: (mark.table, mark.field, mark.primary_key) == ("billing_item", "amount", finding.entity_id),
            0,
            finding.currency,
        )
    order = facts.order
    is_charge = order is not None and finding.expected_minor != order.gross_minor - order.tax_minor - order.fee_minor
    edits = None if is_charge else _order_edited(finding, facts, AMOUNT_FIELDS)
    return edits or _order_edited(finding, facts, FACTORS)


def _order_edited(finding: Finding, facts: OrderFacts, fields: frozenset[str]) -> Cause | None:
    billed_us = facts.billed_us
    return charged_anew(facts.books.marks, billed_us) or edited(
        facts.books.marks,
        lambda mark: mark.table == "orders" and mark.field in fields and mark.commit_us > billed_us,
        billed_us,
        finding.currency,
    )


def _wrong_line(finding: Finding, facts: OrderFacts) -> Cause | None:
    item = _held(finding.evidence[1], facts)
    return edited(
        facts.books.marks,
        lambda mark: (
            item is not None
            and (mark.table, mark.field, mark.primary_key) == ("billing_item", "amount", item.primary_key)
            and mark.old == finding.actual_minor
        ),
        0,
        finding.currency,
    ) or _difference(finding, facts)


def _difference(finding: Finding, facts: OrderFacts) -> Cause | None:
    """By the amounts; the order's fee and tax count where it has the finding's currency."""
    if finding.expected_minor is None or finding.actual_minor is None:
        return None
    order = facts.order
    rows = max(1, sum(leg.table == "billing_item" for leg in finding.evidence))
    parts = Parts(rows=rows)
    if order is not None and order.currency == finding.currency:
        parts = Parts(order.fee_minor, order.tax_minor, rows)
    found = cause_of_difference(finding.expected_minor, finding.actual_minor, finding.currency, parts)
    if found or finding.entity_kind != "order":
        return found
    left_out = (finding.expected_minor - finding.actual_minor, finding.currency)
    gone = deletion(
        "item",
        facts.books.items,
        lambda held: held.row is not None and (held.row.amount_minor, held.row.currency) == left_out,
    )
    return gone and gone._replace(detail=f"{gone.detail}, and is just the {money(*left_out)} that is short")


def _other_currency(finding: Finding, facts: OrderFacts) -> Cause | None:
    leg, counterpart = _held(finding.evidence[0], facts), _held(finding.evidence[1], facts)
    if leg is None or counterpart is None or leg.row is None or counterpart.row is None:
        return None
    edit = edited(
        facts.books.marks,
        lambda mark: mark.table == "billing_item" and mark.field == "currency"
        and mark.primary_key in {leg.primary_key, counterpart.primary_key},
        0, "",
    )  # fmt: skip
    row, other = leg.row, counterpart.row
    amount_minor = (
        other.gross_minor - other.tax_minor - other.fee_minor if isinstance(other, Order) else other.amount_minor
    )
    digits, other_digits = EXPONENTS[row.currency], EXPONENTS[other.currency]
    shown = f"{money(row.amount_minor, row.currency)} against {money(amount_minor, other.currency)}"
    if edit or not row.amount_minor:
        return edit
    if digits != other_digits and row.amount_minor == amount_minor:
        return Cause(
            "currency-exponent", f"{shown}: the same minor units, read with {digits} digits instead of {other_digits}"
        )
    if abs(row.amount_minor) // 10**digits == abs(amount_minor) // 10**other_digits:
        return Cause("currency-relabelled", f"{shown}: the same whole units under another code")
    return None


def _other_party(finding: Finding, facts: OrderFacts) -> Cause | None:
    return edited(
        facts.books.marks,
        lambda mark: (mark.table, mark.field, mark.primary_key) == ("billing_item", "shop_id", finding.entity_id),
        0,
        "",
    )


def _duplicate(finding: Finding, facts: OrderFacts) -> Cause | None:
    again, first = (_held(leg, facts) for leg in finding.evidence[:2])
    if again is None or first is None or again.row is None or first.row is None:
        return None
    amounts = [(held.row.amount_minor, held.row.currency) for held in (again, first)]
    if amounts[0] != amounts[1]:
        return Cause("unknown", f"another amount than the first: {money(*amounts[0])} after {money(*amounts[1])}")
    moments = [getattr(held.row, "created_us", held.first_us) for held in (again, first)]
    apart_us = abs(moments[0] - moments[1])
    shown = f"{money(*amounts[0])} again {span(apart_us)} after {finding.entity_kind} {first.primary_key}"
    return Cause("duplicate-delivery" if apart_us <= DELIVERY_WINDOW_US else "run-twice", shown)


def _duplicate_id(finding: Finding, facts: OrderFacts) -> Cause | None:
    return cause_of_shared_id([_held(leg, facts) for leg in finding.evidence])


def cause_of_shared_id(held: list[Leg | None]) -> Cause | None:
    """One id in several sources: the same row delivered by each, or an id given twice."""
    rows = [register.row for register in held if register is not None]
    if len(rows) < 2:
        return None
    if all(row == rows[0] for row in rows):
        return Cause("duplicate-delivery", f"{len(rows)} sources hold the very same row")
    return Cause("id-clash", f"the rows of {len(rows)} sources differ, so the id was given twice")


def _stuck(finding: Finding, facts: OrderFacts) -> Cause | None:
    held = _held(finding.evidence[0], facts)
    if held is None:
        return None
    if finding.entity_kind == "order":
        found = _follows([("row", leg) for leg in (*facts.items, *facts.lines)], "and follows the order's completion")
        if found:
            return found
    return Cause("late", f"it has not moved since {at(held.commit_us)}")


def _illegal_step(finding: Finding, facts: OrderFacts) -> Cause | None:
    return cause_of_step(finding, facts.books.marks)


def _follows(legs: list[tuple[str, Leg]], why: str) -> Cause | None:
    """A lost message: the newest of the legs shows that what comes before it was made."""
    if not legs:
        return None
    newest = max(leg.commit_us for _, leg in legs)
    first = in_order(leg for _, leg in legs if leg.commit_us == newest)[0]
    what = next(what for what, leg in legs if leg is first)
    return Cause("lost-message", f"{what} {first.primary_key} came at {at(first.commit_us)}, {why}")


def _held(evidence: Evidence, facts: OrderFacts) -> Leg | None:
    books = facts.books
    tables: dict[str, dict[RegisterKey, Any]] = {
        "orders": dict(books.orders), "billing_item": dict(books.items), "payout_item": dict(books.lines),
    }  # fmt: skip
    key: tuple[str, Id] = (evidence.source, evidence.primary_key)
    return tables.get(evidence.table, {}).get(key)


_TESTS: Final[dict[str, Callable[[Finding, OrderFacts], Cause | None]]] = {
    "missing-billing": _missing_billing,
    "orphan-billing": _orphan_billing,
    "missing-payout": _missing_payout,
    "orphan-payout": _orphan_payout,
    "wrong-billing-amount": _wrong_billing,
    "wrong-payout-amount": _wrong_line,
    "wrong-charge": _wrong_charge,
    "silent-repair": _silent_repair,
    "currency-mismatch": _other_currency,
    "party-mismatch": _other_party,
    "duplicate-billing": _duplicate,
    "duplicate-payout": _duplicate,
    "duplicate-id": _duplicate_id,
    "status-mismatch": _refund_missing,
    "illegal-transition": _illegal_step,
    "stuck": _stuck,
}
