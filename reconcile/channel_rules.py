"""The rules about the money of a channel: what was released against its payouts and its funding. Pure.

`docs/rules.md` is their contract.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reconcile.finding import Amounts, Direction, Finding, evidence_of
from reconcile.reference_books import ReferenceBooks
from trueup.model.registers import LineTotal, Register
from trueup.model.releases import Channel, ReleaseBooks
from trueup.model.tables import Id, Payout, Release

RELEASED: Final = "released"
FUNDED: Final = "funded"

_REFERENCE: Final = re.compile(r"R(0|[1-9][0-9]{0,17})")
"""How a payout names its release: numbers of up to 18 digits fit 64 bits."""


def release_of(payout: Payout) -> Id | None:
    """The release that a payout was sent with: `R` and its number as the channel's reference. None for any other one."""
    match = _REFERENCE.fullmatch(payout.channel_ref or "")
    return None if match is None else int(match[1])


def live_release(books: ReleaseBooks) -> Register[Release] | None:
    """The release's row; where two sources hold one id, the first source by name speaks for it."""
    live = [held for held in books.releases.values() if not held.deleted]
    return min(live, key=lambda held: held.source) if live else None


def named_totals(books: ReleaseBooks, source: str) -> dict[Channel, LineTotal]:
    """Count and Σ of a source's live payouts that name the release, by their channel."""
    totals: dict[Channel, LineTotal] = {}
    for (origin, _partition), share in books.shares.items():
        for channel, total in share.totals.items() if origin == source else ():
            held = totals.get(channel, LineTotal(0, 0))
            totals[channel] = LineTotal(held.count + total.count, held.amount_minor + total.amount_minor)
    return totals


def judge_release(books: ReleaseBooks, references: ReferenceBooks, grace_us: int) -> list[Finding]:
    """Every finding about the release, due now or later."""
    register = live_release(books)
    release = register.row if register is not None else None
    if register is None or release is None:
        return []
    findings: list[Finding] = []
    if release.status == RELEASED:
        findings += release_against_payouts(books, register, release, grace_us)
    findings += release_against_funding(books, register, references)
    return findings


def release_against_payouts(
    books: ReleaseBooks, register: Register[Release], release: Release, grace_us: int
) -> Iterator[Finding]:
    """release-mismatch: a released release against the payouts that name it."""
    totals = named_totals(books, register.source)
    named = totals.get(Channel(release.payment_method, release.currency), LineTotal(0, 0))
    count = sum(total.count for total in totals.values())
    if named.amount_minor == release.amount_minor and count == release.payout_count:
        return
    yield _finding(
        books, register, "release-mismatch",
        f"the release says {release.payout_count} payouts, {count} name it"
        if count != release.payout_count
        else f"the release's amount is not the sum of its {count} payouts",
        Amounts(named.amount_minor, release.amount_minor, release.currency), due_us=register.commit_us + grace_us,
    )  # fmt: skip


def release_against_funding(
    books: ReleaseBooks, register: Register[Release], references: ReferenceBooks
) -> Iterator[Finding]:
    """funding-short: more was released from a channel than had been put into it at that moment.

    Nothing is said of a release that a first copy of the source brought as released: nobody knows when that was.
    """
    first: Register[Release] | None = references.first_in(
        "release_summary", register.source, register.primary_key, RELEASED
    )
    # The reference tables may be ahead: what is not in the books yet is judged when it is.
    if first is None or first.row is None or first.commit_us > books.newest_us or references.is_copied(first):
        return
    channel = Channel(first.row.payment_method, first.row.currency)
    released = references.amount_minor("release_summary", channel, RELEASED, first)
    funded = references.amount_minor("funding", channel, FUNDED, first)
    if funded < released:
        yield _finding(
            books, first, "funding-short",
            f"when it was released, the channel {channel.payment_method} had been given less than was taken from it",
            Amounts(released, funded, channel.currency), due_us=books.newest_us, direction="short",
        )  # fmt: skip


def _finding(
    books: ReleaseBooks,
    register: Register[Release],
    rule: str,
    detail: str,
    amounts: Amounts,
    *,
    due_us: int,
    direction: Direction = "",
) -> Finding:
    evidence = (evidence_of("release_summary", register),)
    return Finding(rule, "release_summary", books.release_id, due_us, direction, *amounts, "", "", detail, evidence)
