"""The settlement side of the flow: close, confirm, payout with its lines, funding, release, payment, and its faults."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from trueup.model.money import to_decimal
from trueup.upstream import agreement_faults, faults
from trueup.upstream.orders_flow import NOW, bill_closed, repair_factors, repair_fee
from trueup.upstream.plan import PlannedPayout, PlannedStatement
from trueup.upstream.session import Session, Work

_PAYOUT: Final = f"(%s, %s, %s, %s, %s, %s, 'created', NULL, {NOW})"
_LINE: Final = "(%s, %s, %s, %s, %s, %s)"

FAULTS_OF_CREATION: Final = frozenset(
    {
        faults.MISSING_PAYOUT_LINE,
        faults.WRONG_PAYOUT_AMOUNT,
        faults.ORPHAN_PAYOUT,
        faults.PAYOUT_TOTAL_OFF,
        agreement_faults.HELD_SELLER,
        agreement_faults.BELOW_THRESHOLD,
        agreement_faults.OTHER_PAYMENT_CURRENCY,
    }
)
"""Faults that the transaction which creates the payout plants."""


def settle(session: Session, statements: Sequence[PlannedStatement]) -> Iterator[None]:
    """Settle the statements of a round to the end; yields between transactions, so that other work can go on."""
    due = [statement for statement in statements if statement.payout is not None]
    if not due:
        return
    yield from _close(session, due)
    for statement in due:
        _create_payout(session, statement)
        yield
    yield from _fund(session, due)
    yield from _send(session, due)
    for statement in due:
        if not _has(statement, faults.STUCK_PAYOUT):
            _pay(session, statement)
            yield
    yield from _tamper(session, due)


def _has(statement: PlannedStatement, kind: str) -> bool:
    return statement.fault is not None and statement.fault.kind == kind


def _the_payout(statement: PlannedStatement) -> PlannedPayout:
    assert statement.payout is not None
    return statement.payout


def _close(session: Session, statements: Sequence[PlannedStatement]) -> Iterator[None]:
    with session.transaction(len(statements)) as work:
        _move_statements(work, statements, "open", "closed")
    yield
    for statement in statements:
        bill_closed(session, statement)
        if _has(statement, faults.STATEMENT_AMOUNT_OFF):
            with session.transaction(1) as work:
                work.change(
                    1,
                    f"UPDATE public.statement SET amount = amount + %s, updated_at = {NOW} WHERE statement_id = %s",
                    (to_decimal(statement.wrong_by_minor, statement.shop.currency), statement.statement_id),
                )
                work.plant(statement.fault)
    confirmed = [statement for statement in statements if not _has(statement, faults.ILLEGAL_STATEMENT)]
    with session.transaction(len(confirmed)) as work:
        _move_statements(work, confirmed, "closed", "confirmed")
    yield


def _create_payout(session: Session, statement: PlannedStatement) -> None:
    payout = _the_payout(statement)
    skips = _has(statement, faults.ILLEGAL_STATEMENT)
    with session.transaction(len(payout.lines) + 2) as work:
        _insert_payout(work, statement, payout)
        _move_statements(work, [statement], "closed" if skips else "confirmed", "paying")
        if statement.fault is not None and (skips or statement.fault.kind in FAULTS_OF_CREATION):
            work.plant(statement.fault)


def _insert_payout(work: Work, statement: PlannedStatement, payout: PlannedPayout) -> None:
    shop = statement.shop
    amount = to_decimal(payout.amount_minor, shop.currency)
    head = (payout.payout_id, statement.statement_id, shop.shop_id, shop.payment_method, amount, shop.currency)
    work.insert("payout", _PAYOUT, [head])
    work.insert(
        "payout_item",
        _LINE,
        [
            (
                line.payout_item_id,
                payout.payout_id,
                line.order_id,
                line.billing_item_id,
                to_decimal(line.amount_minor, line.currency),
                line.currency,
            )
            for line in payout.lines
        ],
    )


def _fund(session: Session, statements: Sequence[PlannedStatement]) -> Iterator[None]:
    """Put the money of the payouts into their channels, then release them: one funding and release per channel.

    A released payout names its release as the channel's reference.
    """
    channels: dict[tuple[str, str], list[PlannedStatement]] = defaultdict(list)
    for statement in statements:
        channels[statement.shop.payment_method, statement.shop.currency].append(statement)
    # The statement that comes first gives its number to the funding and the release of its channel.
    ids = [hosts[0].statement_id for hosts in channels.values()]
    with session.transaction(2 * len(channels)) as work:
        for (method, currency), hosts in channels.items():
            total = sum(_the_payout(each).amount_minor for each in hosts)
            funded = to_decimal(total + sum(each.funding_off_minor for each in hosts), currency)
            released = to_decimal(total + sum(each.release_off_minor for each in hosts), currency)
            first = (hosts[0].statement_id, method, currency)
            work.insert("funding", "(%s, %s, %s, %s, 'created')", [(*first, funded)])
            work.insert("release_summary", "(%s, %s, %s, %s, %s, 'created')", [(*first, len(hosts), released)])
    yield
    with session.transaction(2 * len(channels)) as work:
        work.change(len(ids), "UPDATE public.funding SET status = 'funded' WHERE funding_id = ANY(%s)", (ids,))
        work.change(len(ids), "UPDATE public.release_summary SET status = 'funded' WHERE release_id = ANY(%s)", (ids,))
    yield
    with session.transaction(len(channels) + len(statements)) as work:
        work.change(
            len(ids), "UPDATE public.release_summary SET status = 'released' WHERE release_id = ANY(%s)", (ids,)
        )
        for hosts in channels.values():
            work.change(
                len(hosts),
                f"UPDATE public.payout SET channel_ref = %s, updated_at = {NOW} WHERE payout_id = ANY(%s)",
                (f"R{hosts[0].statement_id}", [_the_payout(each).payout_id for each in hosts]),
            )
        work.plant(*(each.fault for each in statements if each.release_off_minor or each.funding_off_minor))
    yield


def _send(session: Session, statements: Sequence[PlannedStatement]) -> Iterator[None]:
    """Send the payouts to their channels; some fail there once and are sent again."""
    sent = [_the_payout(each) for each in statements if not _has(each, faults.ILLEGAL_PAYOUT)]
    with session.transaction(len(sent)) as work:
        _move_payouts(work, sent, "created", "ongoing")
        work.plant(*(each.fault for each in statements if _has(each, faults.STUCK_PAYOUT)))
    yield
    for statement in statements:
        if statement.fails_once:
            payout, items = _the_payout(statement), sum(1 for _ in statement.items())
            with session.transaction(items + 1) as work:
                _move_payouts(work, [payout], "ongoing", "failed")
                _move_items(work, statement, "statemented", "failed")
            yield
            with session.transaction(items + 1) as work:
                _move_payouts(work, [payout], "failed", "created")
                _move_items(work, statement, "failed", "statemented")
            with session.transaction(1) as work:
                _move_payouts(work, [payout], "created", "ongoing")
            yield


def _pay(session: Session, statement: PlannedStatement) -> None:
    """The channel has paid: payout, items and statement follow in one transaction."""
    payout = _the_payout(statement)
    skips = _has(statement, faults.ILLEGAL_PAYOUT)
    with session.transaction(len(payout.lines) + 2) as work:
        _move_payouts(work, [payout], "created" if skips else "ongoing", "paid")
        _move_items(work, statement, "statemented", "paid")
        _move_statements(work, [statement], "paying", "paid")
        work.plant(statement.fault if skips else None)
        work.count("payouts_paid", 1)
        work.count("statements_paid", 1)


def _tamper(session: Session, statements: Sequence[PlannedStatement]) -> Iterator[None]:
    """The faults that happen to what is paid already."""
    for statement in statements:
        if statement.again is not None:
            _pay_again(session, statement, statement.again)
            yield
        if _has(statement, faults.ILLEGAL_ITEM):
            _reopen_item(session, statement)
            yield
        for order in statement.orders:
            if order.fault is not None and order.fault.kind == faults.SILENT_REPAIR:
                repair_fee(session, order)
                yield
            if order.repaired_factors:
                repair_factors(session, order)
                yield


def _pay_again(session: Session, statement: PlannedStatement, again: PlannedPayout) -> None:
    with session.transaction(len(again.lines) + 1) as work:
        _insert_payout(work, statement, again)
        work.plant(statement.fault)
    with session.transaction(1) as work:
        _move_payouts(work, [again], "created", "ongoing")
    with session.transaction(1) as work:
        _move_payouts(work, [again], "ongoing", "paid")
        work.count("payouts_paid", 1)


def _reopen_item(session: Session, statement: PlannedStatement) -> None:
    assert statement.fault is not None
    ((item_id,),) = [(each.entity_id,) for each in statement.fault.expected]
    change = (
        f"UPDATE public.billing_item SET status = %s, updated_at = {NOW} WHERE billing_item_id = %s AND status = %s"
    )
    with session.transaction(1) as work:
        work.change(1, change, ("statemented", item_id, "paid"))
        work.plant(statement.fault)
    with session.transaction(1) as work:
        work.change(1, change, ("paid", item_id, "statemented"))


def _move_statements(work: Work, statements: Sequence[PlannedStatement], old: str, new: str) -> None:
    closed = f"closed_at = {NOW}, " if new == "closed" else ""
    work.change(
        len(statements),
        f"UPDATE public.statement SET status = %s, {closed}updated_at = {NOW} WHERE statement_id = ANY(%s) AND status = %s",
        (new, [statement.statement_id for statement in statements], old),
    )


def _move_payouts(work: Work, payouts: Sequence[PlannedPayout], old: str, new: str) -> None:
    sent = "channel_ref = coalesce(channel_ref, 'CH' || payout_id), " if new == "ongoing" else ""
    work.change(
        len(payouts),
        f"UPDATE public.payout SET status = %s, {sent}updated_at = {NOW} WHERE payout_id = ANY(%s) AND status = %s",
        (new, [payout.payout_id for payout in payouts], old),
    )


def _move_items(work: Work, statement: PlannedStatement, old: str, new: str) -> None:
    work.change(
        sum(1 for _ in statement.items()),
        f"UPDATE public.billing_item SET status = %s, updated_at = {NOW} WHERE statement_id = %s AND status = %s",
        (new, statement.statement_id, old),
    )
