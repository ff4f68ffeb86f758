"""State machines of the settlement domain: the transitions that the books allow."""

from __future__ import annotations

from typing import Final

TRANSITIONS: Final[dict[str, frozenset[tuple[object, object]]]] = {
    "orders": frozenset(
        {
            ("created", "paid"),
            ("created", "cancelled"),
            ("paid", "completed"),
            ("completed", "refunded"),
            ("completed", "partially_refunded"),
        }
    ),
    "billing_item": frozenset({("statemented", "paid"), ("statemented", "failed"), ("failed", "statemented")}),
    "statement": frozenset(
        {("open", "closed"), ("closed", "confirmed"), ("confirmed", "paying"), ("paying", "paid"), ("paying", "failed")}
    ),
    "payout": frozenset(
        {
            ("created", "ongoing"),
            ("ongoing", "paid"),
            ("ongoing", "failed"),
            ("ongoing", "failed_no_retry"),
            ("failed", "created"),
        }
    ),
}
"""Table → allowed (from, to); everything else is an illegal transition."""


def is_legal(table: str, old: object, new: object) -> bool:
    """Whether the state machine of `table` allows the step; tables without one allow every step."""
    allowed = TRANSITIONS.get(table)
    return allowed is None or (old, new) in allowed
