"""Whether one status can follow another in several steps. Pure."""

from __future__ import annotations

from reconcile.spec.model import Steps


def leads_to(steps: Steps, old: object, new: object) -> bool:
    """Whether a chain of allowed steps leads from the one status to the other."""
    reached: set[object] = {old}
    while True:
        further = {to for origin, to in steps if origin in reached} - reached
        if new in further:
            return True
        if not further:
            return False
        reached |= further
