"""The rules about one statement, written by hand: what the compiled spec must agree with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from reconcile.finding import NO_AMOUNTS, Amounts, Direction, Finding, evidence_of
from reconcile.spec.model import Tolerances
from reconcile.statement_view import RunningTotal, line_total, view_statement
from trueup.model.registers import Mark, Register, StatementBooks
from trueup.model.tables import Id, Payout, Statement


class StatementView(NamedTuple):
    """The live rows of one statement, its running totals, and the tolerances."""

    books: StatementBooks
    register: Register[Statement] | None
    statement: Statement | None
    payouts: list[Register[Payout]]
    totals: dict[str, RunningTotal]
    item_count: int
    tolerances: Tolerances


def _finding(
    view: StatementView,
    rule: str,
    entity: tuple[str, Id],
    detail: str,
    evidence: Sequence[tuple[str, Register[Any] | Mark]],
    *,
    due_us: int | None = None,
    direction: Direction = "",
    amounts: Amounts = NO_AMOUNTS,
) -> Finding:
    shop: Id = view.statement.shop_id if view.statement else ""
    if not view.statement and view.payouts and view.payouts[0].row is not None:
        shop = view.payouts[0].row.shop_id
    return Finding(
        rule, entity[0], entity[1], view.books.newest_us if due_us is None else due_us, direction,
        *amounts, shop, view.books.statement_id, detail,
        tuple(evidence_of(table, register) for table, register in evidence),
    )  # fmt: skip


def statement_against_total(view: StatementView) -> Iterator[Finding]:
    """statement-drift: upstream's amount and count against our running total; orphan-statement: items without one."""
    statement, register = view.statement, view.register
    if statement is None or register is None:
        if view.item_count:
            # A partial forgets its newest items when all of them go, while older ones stay.
            newest = max(
                (item.created_us for partial in view.books.partials.values() for item in partial.latest),
                default=view.books.newest_us,
            )
            currency, total = min(view.totals.items())
            yield _finding(
                view, "orphan-statement", ("statement", view.books.statement_id),
                f"{view.item_count} billing items name a statement that does not exist", [],
                due_us=newest + view.tolerances.grace_us, direction="long",
                amounts=Amounts(0, total.amount_minor, currency),
            )  # fmt: skip
        return
    running = view.totals.get(statement.currency, RunningTotal(0, 0))
    if running.amount_minor == statement.amount_minor and view.item_count == statement.item_count:
        return
    yield _finding(
        view, "statement-drift", ("statement", statement.statement_id),
        f"the statement says {statement.item_count} items, its items are {view.item_count}"
        if view.item_count != statement.item_count
        else "the statement's amount is not the sum of its items",
        [("statement", register)],
        amounts=Amounts(running.amount_minor, statement.amount_minor, statement.currency),
    )  # fmt: skip


def late_items(view: StatementView) -> Iterator[Finding]:
    """late-item: a billing item that joined after its statement closed."""
    statement, register = view.statement, view.register
    if statement is None or register is None or statement.closed_us is None:
        return
    for partial in view.books.partials.values():
        for item in partial.latest:
            if item.created_us <= statement.closed_us:
                break
            yield _finding(
                view, "late-item", ("billing_item", item.billing_item_id),
                "the item was billed after its statement had closed", [("statement", register)],
                direction="long", amounts=Amounts(0, item.amount_minor, item.currency),
            )  # fmt: skip


def payout_totals(view: StatementView) -> Iterator[Finding]:
    """wrong-payout-total: a payout against its lines and its statement."""
    for register in view.payouts:
        payout = register.row
        assert payout is not None
        lines = line_total(view.books, payout.payout_id, payout.currency)
        evidence: list[tuple[str, Register[Any] | Mark]] = [("payout", register)]
        expected: int | None = lines.amount_minor
        detail = f"the payout's {lines.count} lines do not add up to its amount"
        if lines.amount_minor == payout.amount_minor:
            if view.statement is None or view.register is None:
                continue
            same_currency = view.statement.currency == payout.currency
            if same_currency and view.statement.amount_minor == payout.amount_minor:
                continue
            # Amounts in two currencies cannot be compared: only the payout's own is told.
            expected = view.statement.amount_minor if same_currency else None
            detail = (
                "the payout's amount is not its statement's"
                if same_currency
                else f"the payout is in {payout.currency}, its statement in {view.statement.currency}"
            )
            evidence.append(("statement", view.register))
        yield _finding(
            view, "wrong-payout-total", ("payout", payout.payout_id), detail, evidence,
            amounts=Amounts(expected, payout.amount_minor, payout.currency),
        )._replace(shop_id=payout.shop_id)  # fmt: skip


def payout_status(view: StatementView) -> Iterator[Finding]:
    """status-mismatch: a paid payout whose statement still has items that wait for payment."""
    waiting = sum(
        total.count
        for partial in view.books.partials.values()
        for (_currency, status), total in partial.items.items()
        if status == "statemented"
    )
    if not waiting:
        return
    for register in view.payouts:
        payout = register.row
        if payout is not None and payout.status == "paid":
            yield _finding(
                view, "status-mismatch", ("payout", payout.payout_id),
                f"the payout is paid but {waiting} items of its statement are not",
                [("payout", register)], due_us=payout.updated_us + view.tolerances.grace_us,
            )._replace(shop_id=payout.shop_id)  # fmt: skip


def illegal_transitions(view: StatementView) -> Iterator[Finding]:
    """illegal-transition: a status step that the state machine does not list."""
    earliest: dict[tuple[str, Id], Mark] = {}
    for mark in sorted(view.books.marks, key=lambda mark: (mark.commit_us, mark.version)):
        if mark.field == "status":
            earliest.setdefault((mark.table, mark.primary_key), mark)
    for (table, identifier), mark in earliest.items():
        yield _finding(
            view, "illegal-transition", (table, identifier), f"{mark.old} -> {mark.new} is no allowed step",
            [(table, mark)],
        )  # fmt: skip


def stuck_rows(view: StatementView) -> Iterator[Finding]:
    """stuck: a statement or payout that stays in a state beyond its time limit."""
    rows: list[tuple[str, Id, str, Register[Any]]] = []
    if view.statement is not None and view.register is not None:
        rows.append(("statement", view.statement.statement_id, view.statement.status, view.register))
    rows += [("payout", held.row.payout_id, held.row.status, held) for held in view.payouts if held.row is not None]
    for table, identifier, status, register in rows:
        limit = view.tolerances.limits_us.get((table, status))
        if limit is not None:
            yield _finding(
                view, "stuck", (table, identifier), f"still {status}", [(table, register)],
                due_us=register.commit_us + limit,
            )  # fmt: skip


def duplicate_ids(view: StatementView) -> Iterator[Finding]:
    """duplicate-id: one primary key that is live in two sources."""
    tables: tuple[tuple[str, dict[Any, Register[Any]]], ...] = (
        ("statement", view.books.statements),
        ("payout", view.books.payouts),
    )
    for table, registers in tables:
        by_key: dict[Id, list[Register[Any]]] = {}
        for register in registers.values():
            if not register.deleted:
                by_key.setdefault(register.primary_key, []).append(register)
        for identifier, held in by_key.items():
            if len(held) > 1:
                sources = ", ".join(sorted(register.source for register in held))
                yield _finding(
                    view, "duplicate-id", (table, identifier), f"the id is live in several sources: {sources}",
                    [(table, register) for register in sorted(held)],
                )  # fmt: skip


STATEMENT_RULES: Final[tuple[Callable[[StatementView], Iterator[Finding]], ...]] = (
    statement_against_total,
    late_items,
    payout_totals,
    payout_status,
    illegal_transitions,
    stuck_rows,
    duplicate_ids,
)


def judge_statement(books: StatementBooks, tolerances: Tolerances) -> list[Finding]:
    """Every finding about the statement, due now or later."""
    view = StatementView(*view_statement(books), tolerances)
    return [finding for rule in STATEMENT_RULES for finding in rule(view)]
