"""Storms: when a channel goes over to digests, when the next digest is due, and when the storm is over. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

FIRST_DIGEST_US: Final = 5_000_000
"""Gathered for so long before the first digest: who waits for news should not wait for a whole interval."""


class Storm(NamedTuple):
    """A channel in a storm: since when, and when its next digest is due. µs since the epoch."""

    since_us: int
    digest_us: int


class Turn(NamedTuple):
    """How a channel goes on: its storm (None: single alerts), and whether a digest of what waits is due now."""

    storm: Storm | None
    digest_now: bool


def turn_of(storm: Storm | None, recent: int, above: int, every_us: int, now_us: int) -> Turn:
    """What a channel does now.

    A storm begins when more than `above` messages have come up within the channel's span, and ends with the first digest
    that finds no more than that.

    Args:
        storm: as it was.
        recent: messages that came up within the span before now, sent or not.
        above: how many are still told one by one.
        every_us: distance of the digests.
        now_us: the time.
    """
    if storm is None:
        if recent <= above:
            return Turn(None, digest_now=False)
        return Turn(Storm(now_us, now_us + min(FIRST_DIGEST_US, every_us)), digest_now=False)
    if now_us < storm.digest_us:
        return Turn(storm, digest_now=False)
    if recent <= above:
        return Turn(None, digest_now=True)
    return Turn(storm._replace(digest_us=now_us + every_us), digest_now=True)
