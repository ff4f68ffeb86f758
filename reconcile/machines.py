"""State machines of the settlement domain: the steps that the settlement spec allows."""

from __future__ import annotations

from functools import cache

from reconcile.settlement import shipped_settlement
from reconcile.spec.model import Steps


@cache
def transitions() -> dict[str, Steps]:
    """Table → allowed (from, to); everything else is an illegal transition."""
    legs = [leg for group in shipped_settlement().groups for leg in group.legs]
    return {leg.table.name: leg.steps for leg in legs if leg.steps is not None}


def is_legal(table: str, old: object, new: object) -> bool:
    """Whether the state machine of `table` allows the step; tables without one allow every step."""
    allowed = transitions().get(table)
    return allowed is None or (old, new) in allowed
