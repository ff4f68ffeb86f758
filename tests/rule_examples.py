"""For every rule, source rows that break it and the entity it is then told about: what the pages' queries are tried on."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.source_log import SECOND_US, START_US, SourceLog
from trueup.model.tables import Id


class RuleExample(NamedTuple):
    """Rows that break a rule, and the id of an entity for each query of its page, in their order."""

    log: SourceLog
    entity_ids: tuple[Id, ...] = (1,)


def billed(**item: Any) -> SourceLog:
    """A completed order and its sale item."""
    return SourceLog().put("orders").put("billing_item", **item)


def paid() -> SourceLog:
    """The same, paid out."""
    return billed().put("payout_item").put("payout").put("billing_item", status="paid")


def rule_examples() -> dict[str, RuleExample]:
    """Rule → rows that break it, as the pages of docs/rules describe them."""
    late_us = START_US + 60 * SECOND_US
    settled = billed().put("statement").put("payout").put("payout_item")
    return {
        "missing-billing": RuleExample(SourceLog().put("orders")),
        "orphan-billing": RuleExample(SourceLog().put("billing_item")),
        "wrong-billing-amount": RuleExample(billed(amount="9.00")),
        "wrong-charge": RuleExample(SourceLog().put("orders", factors='{"km": "12"}').put("billing_item", amount="7.50")),
        "duplicate-billing": RuleExample(billed().put("billing_item", billing_item_id=2), (2,)),
        "silent-repair": RuleExample(billed().tick().put("orders", fee_amount="3.00")),
        "late-item": RuleExample(
            SourceLog().put("statement", status="closed", closed_at=START_US).put("billing_item", created_at=late_us)
        ),
        "missing-payout": RuleExample(billed().put("billing_item", status="paid")),
        "orphan-payout": RuleExample(SourceLog().put("payout").put("payout_item", amount="12.00")),
        "wrong-payout-amount": RuleExample(billed().put("payout_item", amount="8.01")),
        "wrong-payout-total": RuleExample(
            SourceLog().put("statement").put("payout", amount="8.01").put("payout_item", amount="5.00")
            .put("payout_item", payout_item_id=2, amount="3.00")
        ),
        "duplicate-payout": RuleExample(paid().put("payout", payout_id=2).put("payout_item", payout_item_id=2, payout_id=2), (2,)),
        "statement-drift": RuleExample(
            SourceLog().put("billing_item", amount="5.00").put("billing_item", billing_item_id=2, amount="3.00")
            .put("statement", item_count=2, amount="7.00")
        ),
        "orphan-statement": RuleExample(SourceLog().put("billing_item")),
        "rule-violation": RuleExample(settled.put("account").put("rule", payment_threshold="50.00")),
        "funding-short": RuleExample(
            SourceLog().put("funding", amount="100.00").put("release_summary", amount="108.00")
        ),
        "release-mismatch": RuleExample(SourceLog().put("release_summary", amount="90.00").put("payout", amount="100.00", channel_ref="R1")),
        "currency-mismatch": RuleExample(billed(currency="EUR").put("payout_item"), (1, 1)),
        "party-mismatch": RuleExample(billed(shop_id=8)),
        "status-mismatch": RuleExample(
            billed().put("orders", status="refunded").put("statement").put("payout", status="paid"), (1, 1)
        ),
        "duplicate-id": RuleExample(billed().put("billing_item", source="site-b")),
        "illegal-transition": RuleExample(SourceLog().put("orders", status="created").tick().put("orders")),
        "stuck": RuleExample(SourceLog().put("payout", status="ongoing")),
    }  # fmt: skip
