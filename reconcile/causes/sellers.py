"""Likely causes of payouts and statements that do not keep the seller's rule: another version of it. Pure."""

from __future__ import annotations

from typing import Any

from reconcile.causes.cause import Cause, at
from reconcile.finding import Finding
from reconcile.reference_books import ReferenceBooks, Terms
from reconcile.seller_rules import cycle_parts, payout_parts
from trueup.model.registers import Register, RegisterKey, StatementBooks


def cause_of_violation(finding: Finding, books: StatementBooks, references: ReferenceBooks) -> Cause | None:
    """Another version of the rule that allows the row: the newest before its first commit, else the oldest after it.

    Versions later than the statement's newest change do not count: how many of them are known depends on the moment.
    """
    held: dict[RegisterKey, Register[Any]] = {
        **(books.payouts if finding.entity_kind == "payout" else books.statements)
    }
    leg = finding.evidence[0]
    register = held.get((leg.source, leg.primary_key))
    row = None if register is None else register.row
    if register is None or row is None:
        return None
    terms = references.terms(register.source, row.shop_id, register.first_us)
    if terms is None:
        return None
    parts = payout_parts if finding.entity_kind == "payout" else cycle_parts
    versions = references.versions("rule", register.source, terms.rule.primary_key)
    allowing = [
        version
        for version in versions
        if version.version != terms.rule.version
        and version.commit_us <= books.newest_us
        and not any(parts(row, Terms(terms.account, version)))
    ]
    before = [version for version in allowing if version.version < terms.rule.version]
    if before:
        detail = f"its version of {at(before[-1].commit_us)} did, the one of {at(terms.rule.commit_us)} was in force"
    elif allowing:
        detail = f"its version of {at(allowing[0].commit_us)} does, which was not in force yet"
    else:
        return Cause("unknown", f"no other known version of rule {terms.rule.primary_key} allows it")
    return Cause("wrong-rule-version", f"rule {terms.rule.primary_key} as it stood does not allow it: {detail}")
