"""What the payouts of one stage-2 partition add to releases: absolute sums, kept up by new row − old row. No I/O of its own.

A share is a function of the payouts' log before its version, applied change by change, so a replay sums up the same and
sends the same again; a share of an older offset never replaces a newer one. Versions are even, twice an offset; once a
truncation has been carried out, all shares are sent again under the odd one behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from reconcile.channel_rules import release_of
from streams.codec import dumps, loads
from streams.output import Output
from streams.release_messages import SHARES_TOPIC, ShareMessage, decode_share, encode_share, encode_share_message
from streams.store import SHARE, PartitionStore
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
        store: of the partition.
        read: a value of the store, or of the windows before it.
        put: writes a value with the present window.
    """

    def __init__(
        self,
        number: int,
        store: PartitionStore,
        read: Callable[[bytes], bytes | None],
        put: Callable[[bytes, bytes], None],
    ) -> None:
        self._number = number
        self._store = store
        self._read = read
        self._put = put
        self._kept: dict[ReleaseKey, ReleaseShare] = {}
        self._changed: dict[ReleaseKey, None] = {}
        self._unsent: dict[ReleaseKey, None] = {}

    def moved(self, before: Register[Payout] | None, after: Register[Payout]) -> None:
        """A payout's register changed: take its old row out, and its new one in."""
        for register, sign in ((before, -1), (after, 1)):
            named = None if register is None else named_release(register)
            if register is None or named is None or register.row is None:
                continue
            key = (register.source, named)
            self._kept[key] = added(self._share(key), register.row, sign, after.commit_us)
            self._changed[key] = None

    def publish(self, output: Output, end_of: Callable[[str], int]) -> None:
        """Send what changed, as of the offset (by source, the next one of its payouts' log) that was processed."""
        for key in self._changed:
            self._send(output, key, 2 * end_of(key[0]))
        self._changed.clear()
        self._bound()

    def publish_all(self, output: Output, end_of: Callable[[str], int]) -> None:
        """Send every share after a truncation: it changed them between two offsets, and what was told of the first may stand."""
        after, last = b"", False
        keys = dict(self._unsent) | dict(self._changed)
        while not last:
            stored = self._store.keys_after(after, SHARE, SHARES_KEPT_MAX)
            keys |= {_release_key(key): None for key in stored}
            last = len(stored) < SHARES_KEPT_MAX
            after = after if last else stored[-1]
        for key in keys:
            self._send(output, key, 2 * end_of(key[0]) + 1)
            self._changed.pop(key, None)
            self._bound()
        self._unsent.clear()

    def keep(self) -> None:
        """Write what has changed with the present window though it is not sent yet: the payouts' states are written as well."""
        for key in self._changed:
            self._put(share_key(key), dumps(encode_share(self._kept[key])))
            self._unsent[key] = None
        self._changed.clear()
        self._bound()

    def _send(self, output: Output, key: ReleaseKey, version: int) -> None:
        source, release_id = key
        share = self._kept[key] = self._share(key)._replace(version=version)
        self._put(share_key(key), dumps(encode_share(share)))
        output.send(SHARES_TOPIC, *encode_share_message(ShareMessage(release_id, source, self._number, share)))

    def _bound(self) -> None:
        if len(self._kept) > SHARES_KEPT_MAX and not self._changed:
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


def _release_key(stored: bytes) -> ReleaseKey:
    source, release_id = loads(stored[len(SHARE) :])
    return source, release_id


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
