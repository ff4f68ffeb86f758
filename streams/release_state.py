"""The state of one release: its registers, the shares of its payouts, and its cases. Pure."""

from __future__ import annotations

from typing import Final

from reconcile.channel_rules import live_release, named_totals
from reconcile.lifecycle import Case, CaseKey, decode_case, encode_case
from streams.codec import dumps, loads
from streams.order_state import decode_registers
from streams.release_messages import decode_share, encode_share
from streams.wide_rows import verdict_of
from trueup.model.money import scaled
from trueup.model.registers import LineTotal
from trueup.model.releases import Channel, ReleaseBooks
from trueup.model.tables import Id, Release

_FORMAT: Final = 1


class ReleaseState:
    """Everything kept for one release; fields as in `OrderState`."""

    __slots__ = ("books", "cases", "due_us", "judged", "month_days", "stored_due_us")

    def __init__(self, release_id: Id) -> None:
        self.books = ReleaseBooks(release_id)
        self.cases: dict[CaseKey, Case] = {}
        self.month_days: int | None = None
        self.due_us: int | None = None
        self.stored_due_us: int | None = None
        self.judged = False

    def encode(self) -> bytes:
        """JSON bytes; `decode_release_state` reads them."""
        books = self.books
        return dumps(
            (
                _FORMAT,
                books.release_id,
                self.month_days,
                self.due_us,
                self.judged,
                books.newest_us,
                list(books.releases.values()),
                [(*key, encode_share(share)) for key, share in books.shares.items()],
                [encode_case(case) for case in self.cases.values()],
            )
        )


def decode_release_state(data: bytes) -> ReleaseState:
    """The inverse of `ReleaseState.encode`."""
    _format, release_id, month_days, due_us, judged, newest_us, releases, shares, cases = loads(data)
    state = ReleaseState(release_id)
    state.month_days, state.due_us, state.stored_due_us, state.judged = month_days, due_us, due_us, judged
    books = state.books
    books.newest_us = newest_us
    books.releases = decode_registers(releases, Release._make)
    books.shares = {(source, partition): decode_share(share) for source, partition, share in shares}
    for encoded in cases:
        case = decode_case(encoded)
        state.cases[case.key] = case
    return state


def release_wide_row(state: ReleaseState, encoded: bytes, partition: int, version: int) -> tuple[object, ...]:
    """One row of `release_wide`; `encoded` is the encoded state."""
    books, register = state.books, live_release(state.books)
    release = None if register is None else register.row
    totals = {} if register is None else named_totals(books, register.source)
    channel = Channel(release.payment_method, release.currency) if release else Channel("", "")
    named = totals.get(channel, LineTotal(0, 0))
    open_rules = sorted({case.finding.rule for case in state.cases.values() if case.is_open})
    return (
        books.release_id, partition, state.month_days, version, *channel, release.status if release else "",
        release.payout_count if release else None,
        scaled(release.amount_minor, release.currency) if release else None,
        sum(total.count for total in totals.values()),
        scaled(named.amount_minor, channel.currency) if named.amount_minor else 0,
        verdict_of(judged=state.judged, open_rules=open_rules, due_us=state.due_us), open_rules, state.due_us,
        books.newest_us, encoded.decode(),
    )  # fmt: skip
