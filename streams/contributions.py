"""What an order contributes to statement totals, and the arithmetic of partial totals. Pure.

A partial is updated by new contribution − old contribution, both functions of registers, never by an event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from reconcile.finding import id_order
from trueup.model.registers import ItemTotal, LatestItem, LineTotal, OrderBooks, Partial, PartialVersion
from trueup.model.tables import Id

LATEST_MAX: Final = 8
"""Newest items kept per statement and partition; they are what can have joined after the close."""

NO_PARTIAL: Final = Partial(PartialVersion(0, 0), {}, {}, (), 0)


class Contribution(NamedTuple):
    """One live billing item (`payout_id` None) or payout line as it counts in the totals of a statement.

    `statement_id` is None for a stray: a line whose billing item is not known. `item_id` is the billing item's id, or the
    line's own.
    """

    statement_id: Id | None
    payout_id: Id | None
    currency: str
    status: str
    amount_minor: int
    created_us: int
    item_id: Id
    order_id: Id


def contributions_of(books: OrderBooks) -> list[Contribution]:
    """All contributions of the order's live items and lines."""
    result = []
    statement_of: dict[Id, tuple[str, Id]] = {}
    for register in books.items.values():
        item = register.row
        if register.deleted or item is None:
            continue
        # Where two sources hold one item, the first source by name speaks for it, as in the rules.
        named = register.source, item.statement_id
        held = statement_of.setdefault(item.billing_item_id, named)
        if register.source < held[0]:
            statement_of[item.billing_item_id] = named
        result.append(
            Contribution(
                item.statement_id,
                None,
                item.currency,
                item.status,
                item.amount_minor,
                item.created_us,
                item.billing_item_id,
                item.order_id,
            )
        )
    for line_register in books.lines.values():
        line = line_register.row
        if line_register.deleted or line is None:
            continue
        owner = statement_of.get(line.billing_item_id)
        result.append(
            Contribution(
                None if owner is None else owner[1],
                line.payout_id,
                line.currency,
                "",
                line.amount_minor,
                0,
                line.payout_item_id,
                line.order_id,
            )
        )
    return result


TotalKey = tuple[Id | None, Id | None]
"""(statement id, None) for a statement's partial; (None, payout id) for the stray lines of a payout."""


def total_key(contribution: Contribution) -> TotalKey:
    """The partial that the contribution belongs to."""
    if contribution.statement_id is None:
        return None, contribution.payout_id
    return contribution.statement_id, None


def changed_by_key(
    old: Iterable[Contribution], new: Iterable[Contribution]
) -> dict[TotalKey, tuple[list[Contribution], list[Contribution]]]:
    """Per partial: the contributions to take away and to add; unchanged ones cancel out.

    Equal contributions (one row that two sources hold alike) count as often as they occur.
    """
    result: dict[TotalKey, tuple[list[Contribution], list[Contribution]]] = {}
    if not old:
        for contribution in new:
            result.setdefault(total_key(contribution), ([], []))[1].append(contribution)
        return result
    difference = Counter(new)
    difference.subtract(old)
    for contribution, times in difference.items():
        if times:
            gone, come = result.setdefault(total_key(contribution), ([], []))
            (come if times > 0 else gone).extend([contribution] * abs(times))
    return result


class PartialSum:
    """A partial that is being kept up; `version` is that of its last change."""

    __slots__ = ("items", "latest", "lines", "newest_us", "version")

    def __init__(self, partial: Partial = NO_PARTIAL) -> None:
        self.version = partial.version
        self.items = dict(partial.items)
        self.lines = dict(partial.lines)
        self.latest = list(partial.latest)
        self.newest_us = partial.newest_us

    def apply(
        self, gone: Iterable[Contribution], come: Iterable[Contribution], newest_us: int, version: PartialVersion
    ) -> None:
        """Take contributions away and add others; entries whose count is zero disappear."""
        self.version = version
        for contribution in gone:
            self._add(contribution, -1)
            if contribution.payout_id is None and (item := _latest_item(contribution)) in self.latest:
                self.latest.remove(item)
        for contribution in come:
            self._add(contribution, 1)
            if contribution.payout_id is None:
                self._remember(contribution)
        self.newest_us = max(self.newest_us, newest_us)

    def _add(self, contribution: Contribution, sign: int) -> None:
        amount = sign * contribution.amount_minor
        if contribution.payout_id is None:
            key = (contribution.currency, contribution.status)
            count, held = self.items.get(key, (0, 0))
            if count + sign or held + amount:
                self.items[key] = ItemTotal(count + sign, held + amount)
            else:
                self.items.pop(key, None)
        else:
            line_key = (contribution.payout_id, contribution.currency)
            count, held = self.lines.get(line_key, (0, 0))
            if count + sign or held + amount:
                self.lines[line_key] = LineTotal(count + sign, held + amount)
            else:
                self.lines.pop(line_key, None)

    def _remember(self, contribution: Contribution) -> None:
        item, latest = _latest_item(contribution), self.latest
        if not latest or item.created_us > latest[0].created_us:
            # As they nearly always come.
            latest.insert(0, item)
        elif len(latest) < LATEST_MAX or _recency(item) > _recency(latest[-1]):
            latest.append(item)
            latest.sort(key=_recency, reverse=True)
        del latest[LATEST_MAX:]

    def frozen(self) -> Partial:
        """The partial as it is now."""
        return Partial(self.version, dict(self.items), dict(self.lines), tuple(self.latest), self.newest_us)


def _latest_item(contribution: Contribution) -> LatestItem:
    return LatestItem(
        contribution.created_us, contribution.item_id, contribution.order_id, contribution.amount_minor,
        contribution.currency,
    )  # fmt: skip


def _recency(item: LatestItem) -> tuple[int, tuple[bool, int, str]]:
    """Newest first; a tie goes to the higher id, numbers by value, as the rebuild's SQL has it."""
    is_text, number, text = id_order(item.billing_item_id)
    return item.created_us, (not is_text, number, text)
