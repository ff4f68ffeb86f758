"""The rules about one order, written by hand: what the compiled spec is measured against and must agree with.

A rule is a function from an `OrderView` to findings. `judge_order` runs them all. `docs/rules.md` is their contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from reconcile.finding import NO_AMOUNTS, Amounts, Direction, Finding, evidence_of, id_order
from reconcile.spec.model import Tolerances
from trueup.model.registers import Mark, OrderBooks, Register
from trueup.model.tables import BillingItem, Id, Order, PayoutItem

COMPLETED: Final = frozenset({"completed", "refunded", "partially_refunded"})
REFUNDED: Final = frozenset({"refunded", "partially_refunded"})
Leg = Any
"""The register of a live billing item or payout line; its row is known."""

_AMOUNT_FIELDS: Final = ("gross_amount", "tax_amount", "fee_amount")


class OrderView(NamedTuple):
    """The live rows of one order, as the rules read them."""

    books: OrderBooks
    register: Register[Order] | None
    order: Order | None
    items: list[Leg]
    item_by_id: dict[Id, Leg]
    lines: list[Leg]
    tolerances: Tolerances


Rule = Callable[[OrderView], Iterator[Finding]]


def view_order(books: OrderBooks, tolerances: Tolerances) -> OrderView:
    """The live rows; where two sources hold one order id, the first source by name speaks for it."""
    register: Register[Order] | None = None
    for held in books.orders.values():
        if not held.deleted and (register is None or held.source < register.source):
            register = held
    items: list[Leg] = [held for held in books.items.values() if not held.deleted]
    lines: list[Leg] = [held for held in books.lines.values() if not held.deleted]
    if len(items) > 1:
        items.sort(key=lambda leg: (id_order(leg.row.billing_item_id), leg.source))
    if len(lines) > 1:
        lines.sort(key=lambda leg: (id_order(leg.row.payout_item_id), leg.source))
    by_id = {leg.row.billing_item_id: leg for leg in reversed(items)}
    return OrderView(books, register, register.row if register else None, items, by_id, lines, tolerances)


def net_minor(order: Order) -> int:
    """What the seller is owed for the order: gross − tax − fee."""
    return order.gross_minor - order.tax_minor - order.fee_minor


def counted_items(view: OrderView) -> list[Leg]:
    """The items whose sum must equal net: no refunds, no refund stand-ins, each business key once (lowest id)."""
    if len(view.items) == 1 and view.items[0].row.kind == "sale":
        return view.items
    kinds = {leg.row.kind for leg in view.items}
    stand_in = view.order is not None and view.order.status in REFUNDED and "refund" not in kinds
    counted: dict[tuple[str, str], Leg] = {}
    for leg in view.items:
        if leg.row.kind == "refund" or (stand_in and leg.row.kind == "adjustment"):
            continue
        counted.setdefault((leg.row.kind, leg.row.source_no), leg)
    return list(counted.values())


def net_as_billed_minor(view: OrderView, billed_us: int) -> int:
    """The order's net before the first change of an amount that was committed after `billed_us`."""
    assert view.order is not None
    first_old: dict[str, int] = {}
    for mark in sorted(view.books.marks, key=lambda mark: (mark.commit_us, mark.version)):
        if mark.table == "orders" and mark.field in _AMOUNT_FIELDS and mark.commit_us > billed_us:
            assert isinstance(mark.old, int)
            first_old.setdefault(mark.field, mark.old)
    order = view.order
    return (
        first_old.get("gross_amount", order.gross_minor)
        - first_old.get("tax_amount", order.tax_minor)
        - first_old.get("fee_amount", order.fee_minor)
    )


def _finding(
    view: OrderView,
    rule: str,
    entity: tuple[str, Id],
    detail: str,
    evidence: Sequence[tuple[str, Register[Any] | Mark]],
    *,
    due_us: int | None = None,
    direction: Direction = "",
    amounts: Amounts = NO_AMOUNTS,
) -> Finding:
    item = view.items[0].row if view.items else None
    shop = view.order.shop_id if view.order else item.shop_id if item else ""
    return Finding(
        rule, entity[0], entity[1], view.books.newest_us if due_us is None else due_us, direction,
        *amounts, shop, item.statement_id if item else "", detail,
        tuple(evidence_of(table, register) for table, register in evidence),
    )  # fmt: skip


def order_against_items(view: OrderView) -> Iterator[Finding]:
    """missing-billing, wrong-billing-amount, silent-repair of the order's amounts."""
    order, register = view.order, view.register
    if order is None or register is None:
        return
    sales = [leg for leg in view.items if leg.row.kind == "sale"]
    here = ("orders", register)
    if not sales:
        if order.status in COMPLETED and order.completed_us is not None:
            yield _finding(
                view, "missing-billing", ("order", order.order_id),
                f"the order is {order.status} but has no sale item", [here],
                due_us=order.completed_us + view.tolerances.grace_us, direction="short",
                amounts=Amounts(net_minor(order), 0, order.currency),
            )  # fmt: skip
        return
    counted = counted_items(view)
    if any(leg.row.currency != order.currency for leg in counted):
        return
    net, billed = net_minor(order), sum(leg.row.amount_minor for leg in counted)
    if billed == net:
        return
    billed_us = min(leg.first_us for leg in sales)
    before = net_as_billed_minor(view, billed_us) if view.books.marks else net
    repaired = any(
        mark.table == "orders" and mark.field in _AMOUNT_FIELDS and mark.commit_us > billed_us
        for mark in view.books.marks
    )
    evidence = [here, *(("billing_item", leg) for leg in counted)]
    amounts = Amounts(net, billed, order.currency)
    if repaired:
        yield _finding(
            view, "silent-repair", ("order", order.order_id),
            "gross, tax or fee changed after the order was billed, and the bill was not corrected", evidence, amounts=amounts,
        )  # fmt: skip
    if billed != before:
        yield _finding(
            view, "wrong-billing-amount", ("order", order.order_id),
            "the billing items do not add up to gross - tax - fee", evidence, amounts=amounts,
        )  # fmt: skip


def refund_of_order(view: OrderView) -> Iterator[Finding]:
    """status-mismatch: a refunded order needs a refund item or an adjustment."""
    order = view.order
    if order is None or order.status not in REFUNDED or view.register is None:
        return
    if any(leg.row.kind in {"refund", "adjustment"} for leg in view.items):
        return
    yield _finding(
        view, "status-mismatch", ("order", order.order_id), f"the order is {order.status} but nothing was refunded",
        [("orders", view.register)], due_us=order.updated_us + view.tolerances.grace_us,
    )  # fmt: skip


def items_against_order(view: OrderView) -> Iterator[Finding]:
    """orphan-billing, currency-mismatch and party-mismatch of billing items."""
    order = view.order
    for leg in view.items:
        item: BillingItem = leg.row
        entity = ("billing_item", item.billing_item_id)
        here = ("billing_item", leg)
        if order is None or view.register is None:
            yield _finding(
                view, "orphan-billing", entity, "the billed order does not exist", [here],
                due_us=item.created_us + view.tolerances.grace_us, direction="long",
                amounts=Amounts(0, item.amount_minor, item.currency),
            )._replace(shop_id=item.shop_id, statement_id=item.statement_id)  # fmt: skip
            continue
        if item.currency != order.currency:
            yield _finding(
                view, "currency-mismatch", entity, f"the item is in {item.currency}, its order in {order.currency}",
                [here, ("orders", view.register)], amounts=Amounts(None, None, order.currency),
            )._replace(statement_id=item.statement_id)  # fmt: skip
        if item.shop_id != order.shop_id:
            yield _finding(
                view, "party-mismatch", entity, f"the item pays seller {item.shop_id}, the order is of {order.shop_id}",
                [here, ("orders", view.register)], amounts=Amounts(None, None, item.currency),
            )._replace(statement_id=item.statement_id)  # fmt: skip


def duplicate_items(view: OrderView) -> Iterator[Finding]:
    """duplicate-billing: one business key (order, kind, source_no) under several ids."""
    if len(view.items) < 2:
        return
    first: dict[tuple[str, str], Leg] = {}
    for leg in view.items:
        item: BillingItem = leg.row
        kept: Leg = first.setdefault((item.kind, item.source_no), leg)
        if kept.row.billing_item_id != item.billing_item_id:
            yield _finding(
                view, "duplicate-billing", ("billing_item", item.billing_item_id),
                f"item {kept.row.billing_item_id} already bills {item.kind} {item.source_no}",
                [("billing_item", leg), ("billing_item", kept)],
                direction="long", amounts=Amounts(0, item.amount_minor, item.currency),
            )._replace(statement_id=item.statement_id)  # fmt: skip


def lines_against_items(view: OrderView) -> Iterator[Finding]:
    """orphan-payout, duplicate-payout, wrong-payout-amount and currency-mismatch of payout lines."""
    first: dict[Id, Leg] = {}
    for leg in view.lines:
        line: PayoutItem = leg.row
        entity = ("payout_item", line.payout_item_id)
        here = ("payout_item", leg)
        paid = Amounts(0, line.amount_minor, line.currency)
        kept: Leg = first.setdefault(line.billing_item_id, leg)
        item_leg = view.item_by_id.get(line.billing_item_id)
        duplicate = kept.row.payout_item_id != line.payout_item_id
        if duplicate:
            yield _finding(
                view, "duplicate-payout", entity,
                f"line {kept.row.payout_item_id} already pays billing item {line.billing_item_id}",
                [here, ("payout_item", kept)], direction="long", amounts=paid,
            )  # fmt: skip
        elif item_leg is None:
            yield _finding(
                view, "orphan-payout", entity, f"billing item {line.billing_item_id} does not exist", [here],
                due_us=leg.commit_us + view.tolerances.grace_us, direction="long", amounts=paid,
            )  # fmt: skip
        if item_leg is not None and item_leg.row.currency != line.currency:
            yield _finding(
                view, "currency-mismatch", entity,
                f"the line pays {line.currency}, its item is in {item_leg.row.currency}",
                [here, ("billing_item", item_leg)], amounts=Amounts(None, None, item_leg.row.currency),
            )  # fmt: skip
        elif item_leg is not None and not duplicate and item_leg.row.amount_minor != line.amount_minor:
            yield _finding(
                view, "wrong-payout-amount", entity, "the line does not pay what its billing item says",
                [here, ("billing_item", item_leg)],
                amounts=Amounts(item_leg.row.amount_minor, line.amount_minor, line.currency),
            )._replace(statement_id=item_leg.row.statement_id)  # fmt: skip


def items_without_line(view: OrderView) -> Iterator[Finding]:
    """missing-payout: a paid item that no payout line names."""
    for leg in view.items:
        item: BillingItem = leg.row
        if item.status == "paid" and all(line.row.billing_item_id != item.billing_item_id for line in view.lines):
            yield _finding(
                view, "missing-payout", ("billing_item", item.billing_item_id),
                "the item is paid but no payout line names it", [("billing_item", leg)],
                due_us=item.updated_us + view.tolerances.grace_us, direction="short",
                amounts=Amounts(item.amount_minor, 0, item.currency),
            )._replace(statement_id=item.statement_id)  # fmt: skip


def repaired_items(view: OrderView) -> Iterator[Finding]:
    """silent-repair of a billing item: its amount was changed after it was paid."""
    earliest: dict[tuple[str, Id], Mark] = {}
    for mark in sorted(view.books.marks, key=lambda mark: (mark.commit_us, mark.version)):
        if mark.table == "billing_item" and mark.field == "amount":
            earliest.setdefault((mark.source, mark.primary_key), mark)
    for key, mark in earliest.items():
        register = view.books.items.get(key)
        if register is None or register.deleted or register.row is None or register.row.amount_minor == mark.old:
            continue
        assert isinstance(mark.old, int)
        yield _finding(
            view, "silent-repair", ("billing_item", mark.primary_key), "the item's amount changed after it was paid",
            [("billing_item", register), ("billing_item", mark)],
            amounts=Amounts(mark.old, register.row.amount_minor, register.row.currency),
        )._replace(statement_id=register.row.statement_id)  # fmt: skip


def illegal_transitions(view: OrderView) -> Iterator[Finding]:
    """illegal-transition: a status step that the state machine does not list."""
    earliest: dict[tuple[str, Id], Mark] = {}
    for mark in sorted(view.books.marks, key=lambda mark: (mark.commit_us, mark.version)):
        if mark.field == "status":
            earliest.setdefault((mark.table, mark.primary_key), mark)
    for (table, identifier), mark in earliest.items():
        kind = "order" if table == "orders" else table
        yield _finding(
            view, "illegal-transition", (kind, identifier), f"{mark.old} -> {mark.new} is no allowed step",
            [(table, mark)],
        )  # fmt: skip


def stuck_rows(view: OrderView) -> Iterator[Finding]:
    """stuck: a row that stays in a state beyond its time limit."""
    limits = view.tolerances.limits_us
    if view.order is not None and view.register is not None:
        limit = limits.get(("orders", view.order.status))
        if limit is not None:
            yield _finding(
                view, "stuck", ("order", view.order.order_id), f"still {view.order.status}",
                [("orders", view.register)], due_us=view.register.commit_us + limit,
            )  # fmt: skip
    for leg in view.items:
        limit = limits.get(("billing_item", leg.row.status))
        if limit is not None:
            yield _finding(
                view, "stuck", ("billing_item", leg.row.billing_item_id), f"still {leg.row.status}",
                [("billing_item", leg)], due_us=leg.commit_us + limit,
            )  # fmt: skip


def duplicate_ids(view: OrderView) -> Iterator[Finding]:
    """duplicate-id: one primary key that is live in two sources."""
    books = view.books
    tables: tuple[tuple[str, str, dict[Any, Register[Any]]], ...] = (
        ("orders", "order", books.orders),
        ("billing_item", "billing_item", books.items),
        ("payout_item", "payout_item", books.lines),
    )
    for table, kind, registers in tables:
        if len(registers) < 2:
            continue
        by_key: dict[Id, list[Register[Any]]] = {}
        for register in registers.values():
            if not register.deleted:
                by_key.setdefault(register.primary_key, []).append(register)
        for identifier, held in by_key.items():
            if len(held) > 1:
                sources = ", ".join(sorted(register.source for register in held))
                yield _finding(
                    view, "duplicate-id", (kind, identifier), f"the id is live in several sources: {sources}",
                    [(table, register) for register in sorted(held)],
                )  # fmt: skip


def judge_order(view: OrderView) -> list[Finding]:
    """Every finding about the order, due now or later; rules that cannot apply are not asked."""
    books, order = view.books, view.order
    rules: list[Rule] = []
    if order is not None:
        rules.append(order_against_items)
        if order.status in REFUNDED:
            rules.append(refund_of_order)
    if view.items:
        rules += (items_against_order, items_without_line)
        if len(view.items) > 1:
            rules.append(duplicate_items)
    if view.lines:
        rules.append(lines_against_items)
    if view.tolerances.limits_us:
        rules.append(stuck_rows)
    if len(books.orders) > 1 or len(books.items) > 1 or len(books.lines) > 1:
        rules.append(duplicate_ids)
    if books.marks:
        rules += (repaired_items, illegal_transitions)
    return [finding for rule in rules for finding in rule(view)]
