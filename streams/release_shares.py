"""What the payouts of one stage-2 partition add to releases: absolute sums, kept up by new row − old row. No I/O of its own.

A share is a function of the payouts' log before its version, applied change by change, so a replay sums up the same and
sends the same again; a share of an older offset never replaces a newer one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from reconcile.channel_rules import release_of
from streams.codec import dumps, loads
from streams.output import Output
from streams.release_messages import SHARES_TOPIC, ShareMessage, decode_share, encode_share, encode_share_message
from streams.store import SHARE
from trueup.model.registers import LineTotal, Register
from trueup.model.releases import Channel, ReleaseShare
from trueup.model.tables import Id, Payout

SHARES_KEPT_MAX: Final = 1_000
"""Shares kept decoded per partition; the rest are read from the store when they change."""

NO_SHARE: Final = ReleaseShare(0, {}, 0)

ReleaseKey = tuple[str, Id]
"""(source, release id)."""


class ReleaseShares:
    """The shares of one partition.

    Args:
        number: of the partition.
        read: a value of the store, or of the windows before it.
        put: writes a value with the present window.
    """

    def __init__(self, number: int, read: Callable[[bytes], bytes | None], put: Callable[[bytes, bytes], None]) -> None:
        self._number = number
        self._read = read
        self._put = put
        self._kept: dict[ReleaseKey, ReleaseShare] = {}
        self._changed: dict[ReleaseKey, None] = {}

    def moved(self, before: Register[Payout] | None, after: Register[Payout]) -> None:
        """A payout's register changed: take its old row out, and its new one in."""
        for register, sign in ((before, -1), (after, 1)):
            named = None if register is None else named_release(register)
            if register is None or named is None or register.row is None:
                continue
            key = (register.source, named)
            self._kept[key] = added(self._share(key), register.row, sign, after.commit_us)
            self._changed[key] = None

    def publish(self, output: Output, ends: Mapping[str, int]) -> None:
        """Send what changed, as of the offsets (source → next offset of its payouts' log) that were processed."""
        for key in self._changed:
            source, release_id = key
            share = self._kept[key] = self._kept[key]._replace(version=ends[source])
            self._put(share_key(key), dumps(encode_share(share)))
            message = ShareMessage(release_id, source, self._number, share)
            output.send(SHARES_TOPIC, *encode_share_message(message))
        self._changed.clear()
        if len(self._kept) > SHARES_KEPT_MAX:
            self._kept.clear()

    def _share(self, key: ReleaseKey) -> ReleaseShare:
        held = self._kept.get(key)
        if held is None:
            value = self._read(share_key(key))
            held = NO_SHARE if value is None else decode_share(loads(value))
        return held


def named_release(register: Register[Payout]) -> Id | None:
    """The release that a live payout names."""
    return None if register.deleted or register.row is None else release_of(register.row)


def share_key(key: ReleaseKey) -> bytes:
    """Where the store keeps the share."""
    return SHARE + dumps(key)


def added(share: ReleaseShare, payout: Payout, sign: int, commit_us: int) -> ReleaseShare:
    """The share with a payout more (sign 1) or less (−1), by a change that was committed at `commit_us`."""
    channel = Channel(payout.payment_method, payout.currency)
    count, amount_minor = share.totals.get(channel, (0, 0))
    totals: dict[Channel, Any] = {
        **share.totals,
        channel: LineTotal(count + sign, amount_minor + sign * payout.amount_minor),
    }
    if totals[channel] == (0, 0):
        del totals[channel]
    return ReleaseShare(share.version, totals, max(share.newest_us, commit_us))
