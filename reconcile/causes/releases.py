"""Likely causes of findings about one release of a channel's payouts. Pure."""

from __future__ import annotations

from reconcile.causes.amounts import Parts, cause_of_difference
from reconcile.causes.cause import Cause, money
from reconcile.channel_rules import live_release, named_totals
from reconcile.finding import Finding
from trueup.model.releases import ReleaseBooks


def cause_in_release(finding: Finding, books: ReleaseBooks) -> Cause | None:
    """Of a release-mismatch: counts before amounts; None where neither tells, or for another rule."""
    register = live_release(books)
    if finding.rule != "release-mismatch" or register is None or register.row is None:
        return None
    expected_minor, actual_minor = finding.expected_minor, finding.actual_minor
    if expected_minor is None or actual_minor is None:
        return None
    named = sum(total.count for total in named_totals(books, register.source).values())
    said = register.row.payout_count
    difference = money(actual_minor - expected_minor, finding.currency)
    if named > said:
        return Cause("items-left-out", f"{named} payouts name the release, it counts {said}: {difference} off")
    if named < said:
        return Cause(
            "lost-message", f"the release counts {said} payouts, {named} name it: the rest never came or left it"
        )
    return cause_of_difference(expected_minor, actual_minor, finding.currency, Parts(rows=max(1, named)))
