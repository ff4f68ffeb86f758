"""Replays of quarantined messages: how a person's request travels, and the row that keeps it. Pure.

A request holds the bytes to be put back. The case stage puts them on their topic and writes the row, in one durable window:
after a crash both happen again, and the registers know a change that they have seen.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import Any, Final, NamedTuple

import orjson

from trueup.model.errors import InvalidRecord

REPLAYS_TOPIC: Final = "trueup.quarantine-replays"
REPLAY_HEADER: Final = "trueup-replay"
"""On a message that was put back: the id of the replay; beside it come the origin, the person and the mapping."""

_TEXTS: Final = ("replay_id", "topic", "actor", "note")
_NUMBERS: Final = ("partition", "offset", "at_us")


class Origin(NamedTuple):
    """Where the refused message stands."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


class Replay(NamedTuple):
    """A message to be put on its topic again.

    Args:
        replay_id: names it; the same request always has the same one.
        origin: the message that was refused.
        actor: who asks for it.
        at_us: when, µs since the epoch.
        mapping: JSON of the corrections, `[]` for none.
        note: why, in the person's words.
        to_partition: where it goes; None where its key decides.
        key: of the message.
        value: its corrected bytes.
    """

    replay_id: str
    origin: Origin
    actor: str
    at_us: int
    mapping: str
    note: str
    to_partition: int | None
    key: bytes
    value: bytes


class Targets(NamedTuple):
    """Where messages may be put back: topics of source tables, and how many partitions these have."""

    topics: Collection[str]
    partitions: int

    def refusal(self, replay: Replay) -> str:
        """Why a replay is not carried out, or ""."""
        if replay.origin.topic not in self.topics:
            return f"{replay.origin.topic} is no topic of a source table"
        if replay.to_partition is not None and not 0 <= replay.to_partition < self.partitions:
            return f"the topic has no partition {replay.to_partition}"
        return ""


def encode_replay(replay: Replay) -> tuple[bytes, bytes]:
    """Key and value of a message of `trueup.quarantine-replays`."""
    origin = replay.origin
    document = {
        "replay_id": replay.replay_id, "topic": origin.topic, "partition": origin.partition, "offset": origin.offset,
        "actor": replay.actor, "at_us": replay.at_us, "mapping": orjson.loads(replay.mapping), "note": replay.note,
        "to_partition": replay.to_partition, "key": _text(replay.key), "value": _text(replay.value),
    }  # fmt: skip
    return str(origin).encode(), orjson.dumps(document)


def decode_replay(value: bytes | None) -> Replay:
    """The request in a message. Errors: InvalidRecord `malformed-replay`."""
    try:
        document: dict[str, Any] = orjson.loads(value or b"null")
        texts = [document[name] for name in _TEXTS]
        numbers = [document[name] for name in _NUMBERS]
        to_partition = document["to_partition"]
        if not all(type(text) is str for text in texts) or not all(_is_count(number) for number in numbers):
            raise TypeError("a field of the wrong kind")
        if to_partition is not None and not _is_count(to_partition):
            raise TypeError("to_partition is no number of a partition")
        return Replay(
            document["replay_id"], Origin(document["topic"], document["partition"], document["offset"]),
            document["actor"], document["at_us"], orjson.dumps(document["mapping"]).decode(), document["note"],
            to_partition, base64.b64decode(document["key"], validate=True),
            base64.b64decode(document["value"], validate=True),
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, binascii.Error) as error:
        raise InvalidRecord("malformed-replay", f"not a replay: {error}") from None


def replay_headers(replay: Replay) -> list[tuple[str, bytes]]:
    """The headers of the message that is put back."""
    headers = {
        REPLAY_HEADER: replay.replay_id,
        "trueup-origin": str(replay.origin),
        "trueup-actor": replay.actor,
        "trueup-mapping": replay.mapping,
    }
    return [(name, text.encode()) for name, text in headers.items()]


def replay_row(replay: Replay, refusal: str) -> tuple[object, ...]:
    """The row of the table `quarantine_replay`, in its column order; `refusal` is why it was not carried out, or ""."""
    return (
        *replay.origin, replay.replay_id, replay.at_us, replay.actor, "refused" if refusal else "sent", refusal,
        replay.mapping, replay.note, replay.to_partition, replay.value,
    )  # fmt: skip


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
