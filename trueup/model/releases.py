"""What is known of one release of a channel's payouts: its rows, and what the payouts that name it add up to."""

from __future__ import annotations

from typing import NamedTuple

from trueup.model.registers import LineTotal, Register, RegisterKey
from trueup.model.tables import Id, Release


class Channel(NamedTuple):
    """A way by which sellers are paid, with money of its own."""

    payment_method: str
    currency: str


ShareKey = tuple[str, int]
"""(source, Kafka partition of the payouts)."""


class ReleaseShare(NamedTuple):
    """What the payouts of one partition of one source's log add to one release; absolute, never a difference.

    `version` is the offset in that log up to which it holds: sums are a function of the log before it. `totals` by the
    channel of the payouts, `newest_us` the newest commit that altered it.
    """

    version: int
    totals: dict[Channel, LineTotal]
    newest_us: int


class ReleaseBooks:
    """All registers of one release, and the shares of its payouts."""

    __slots__ = ("newest_us", "release_id", "releases", "shares")

    def __init__(self, release_id: Id) -> None:
        self.release_id = release_id
        self.releases: dict[RegisterKey, Register[Release]] = {}
        self.shares: dict[ShareKey, ReleaseShare] = {}
        self.newest_us = 0
