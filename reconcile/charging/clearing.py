"""Clearing: fees split by party and type, receivable and payable netted by party and currency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from reconcile.charging.model import Clearing, FeeItem, Net, Share


def clear(fees: Iterable[FeeItem]) -> Clearing:
    """Who is owed what by these fees; the order of the fees makes no difference."""
    shares: Counter[tuple[str, str, str, str]] = Counter()
    sides: dict[tuple[str, str], dict[str, int]] = {}
    for fee in fees:
        shares[fee.party, fee.type, fee.direction, fee.currency] += fee.amount_minor
        side = sides.setdefault((fee.party, fee.currency), {"payable": 0, "receivable": 0})
        side[fee.direction] += fee.amount_minor
    return Clearing(
        shares=tuple(Share._make((*key, amount_minor)) for key, amount_minor in sorted(shares.items())),
        nets=tuple(
            Net(party, currency, side["payable"], side["receivable"], side["payable"] - side["receivable"])
            for (party, currency), side in sorted(sides.items())
        ),
    )
