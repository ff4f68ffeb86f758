"""State machines of the settlement domain: the steps that the settlement spec allows."""

from __future__ import annotations

from functools import cache

from reconcile.settlement import shipped_settlement
from reconcile.spec.model import Steps
from reconcile.steps import leads_to


@cache
def transitions() -> dict[str, Steps]:
    """Table → allowed (from, to); everything else is an illegal transition."""
    legs = [leg for group in shipped_settlement().groups for leg in group.legs]
    return {leg.table.name: leg.steps for leg in legs if leg.steps is not None}


def is_legal(table: str, old: object, new: object) -> bool:
    """Whether the state machine of `table` allows the step; tables without one allow every step."""
    allowed = transitions().get(table)
    return allowed is None or (old, new) in allowed


def can_become(table: str, old: object, new: object) -> bool:
    """Whether the state machine of `table` allows to get from one status to the other in any number of steps."""
    allowed = transitions().get(table)
    return allowed is None or leads_to(allowed, old, new)
