"""Messages on the topic of release shares: what payouts add to releases, and how far that goes. Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from streams.codec import dumps, loads
from trueup.model.errors import InvalidRecord
from trueup.model.registers import LineTotal
from trueup.model.releases import Channel, ReleaseShare
from trueup.model.tables import Id

SHARES_TOPIC: Final = "trueup.release-shares"


class ShareMessage(NamedTuple):
    """A share, the release it belongs to, and the log it was summed up from."""

    release_id: Id
    source: str
    partition: int
    share: ReleaseShare


def encode_share_message(message: ShareMessage) -> tuple[bytes, bytes]:
    """(key, value); the key is that of the release's own row, so that both come to one partition."""
    key = orjson.dumps({"release_id": message.release_id})
    return key, dumps([message.release_id, message.source, message.partition, encode_share(message.share)])


def encode_reached(reached_us: dict[int, int]) -> bytes:
    """Markers: shares of every payout committed up to a time stand before them, by Kafka partition of the payouts."""
    return orjson.dumps({"reached": {str(partition): time_us for partition, time_us in reached_us.items()}})


def decode_shares_topic(value: bytes | None) -> ShareMessage | dict[int, int]:
    """A share, or markers. Errors: InvalidRecord `malformed-share`."""
    try:
        decoded = loads(value or b"null")
        if isinstance(decoded, dict):
            return {int(partition): int(time_us) for partition, time_us in decoded["reached"].items()}
        release_id, source, partition, share = decoded
        if type(release_id) not in {int, str} or type(source) is not str or type(partition) is not int:
            raise ValueError("an id, the source or the partition is of another type")
        return ShareMessage(release_id, source, partition, decode_share(share))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidRecord("malformed-share", f"not a share of a release: {error}") from None


def encode_share(share: ReleaseShare) -> list[object]:
    """The share as JSON-ready lists: [version, totals, newest_us]."""
    return [share.version, [[*channel, *total] for channel, total in share.totals.items()], share.newest_us]


def decode_share(encoded: list[Any]) -> ReleaseShare:
    """The inverse of `encode_share`; ValueError or TypeError when the lists have another shape."""
    version, totals, newest_us = encoded
    return ReleaseShare(
        int(version),
        {Channel(method, currency): LineTotal(count, amount) for method, currency, count, amount in totals},
        int(newest_us),
    )
