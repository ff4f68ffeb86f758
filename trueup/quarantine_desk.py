"""Refused messages for people: look at one, try corrections with the workers' own decoder, and have it replayed.

A replay goes to `trueup.quarantine-replays`; the case stage carries it out, and answers in the audit log.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson
from clickhouse_connect.driver.client import Client

from cdc.decode import ChangeDecoder
from cdc.flattened import ADDED, is_flattened
from cdc.mapping import Rename, Step, correct, encode_mapping
from cdc.source_decoder import source_decoder
from cdc.source_tables import settlement_topics
from streams.replays import REPLAYS_TOPIC, Origin, Replay, encode_replay
from trueup.case_commands import UNANSWERED, await_answers, deliver
from trueup.model.change import Change, Incomplete
from trueup.model.errors import ConfigurationError, InvalidRecord
from trueup.model.money import to_text
from trueup.settings import Settings
from trueup.user_specs import read_user_specs

REPLAYS_MAX: Final = 500
"""Messages that are replayed in one go."""

NOTE_CHARS_MAX: Final = 1_000
SIMILARITY_MIN: Final = 0.75
"""How much alike two names must be for one to be suggested for the other, as difflib counts."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_ZERO: Final = date(1970, 1, 1)

Decoders = Mapping[str, Sequence[ChangeDecoder]]
"""Topic → the decoders of all stages that read the rows it carries."""


class Refused(NamedTuple):
    """A message in quarantine.

    `headers` are its own; `stage`, `code` and `reason` say who refused it and why.
    """

    origin: Origin
    stage: str
    code: str
    reason: str
    key: bytes
    value: bytes
    headers: Mapping[str, str]
    at: datetime


class Preview(NamedTuple):
    """What the decoder says of a message under a mapping.

    `code` and `reason` are those of the error that remains, "" where it is accepted. `row` is what was read, for people:
    amounts with their currency's digits, times and dates in ISO 8601; None where nothing could be read.
    """

    accepted: bool
    code: str
    reason: str
    key: bytes
    value: bytes
    key_changed: bool
    row: Mapping[str, Any] | None


class Asked(NamedTuple):
    """Who wants messages replayed, when (µs since the epoch), why, and the id of this one request."""

    actor: str
    at_us: int
    note: str
    request_id: str


class Answer(NamedTuple):
    """What came of a replay: applied, refused, or unanswered while no worker has read it; `reason` says why not."""

    origin: Origin
    replay_id: str
    result: str
    reason: str


def decoders_by_topic(settings: Settings) -> dict[str, list[ChangeDecoder]]:
    """The topics of source tables: those whose messages can be replayed. Errors: SpecError for a user's spec."""
    held_by = settlement_topics(settings.sources)
    tables = {topic: [table] for topic, (_, table) in held_by.items()}
    specs = read_user_specs(settings)
    for group in specs.groups:
        for leg in group.legs:
            held = tables.setdefault(specs.topic_of[leg.source_table], [])
            if leg.table not in held:
                held.append(leg.table)
    source_of = {topic: source for topic, (source, _) in held_by.items()}
    return {
        topic: [source_decoder(source_of.get(topic, settings.source), table) for table in held]
        for topic, held in tables.items()
    }


def refused_of(row: Mapping[str, Any]) -> Refused:
    """A row of `refused_message` as it was received."""
    return Refused(
        Origin(row["topic"], int(row["kafka_partition"]), int(row["kafka_offset"])), row["stage"], row["code"],
        row["reason"], bytes.fromhex(row["key_hex"]), bytes.fromhex(row["value_hex"]), orjson.loads(row["headers"]),
        row["quarantined_at"],
    )  # fmt: skip


def preview(decoders: Decoders, refused: Refused, mapping: Sequence[Step]) -> Preview:
    """What the workers would make of the message under this mapping. Pure: nothing is sent.

    Errors: ConfigurationError for a message of a topic that is none of a source table.
    """
    readers = decoders.get(refused.origin.topic)
    if not readers:
        raise ConfigurationError(
            f"{refused.origin.topic} is no topic of a source table: its messages cannot be replayed",
            where=str(refused.origin),
            remedy="it was sent by trueup itself; see what the page says of its reason",
        )
    try:
        corrected = correct(refused.key, refused.value, mapping)
    except InvalidRecord as error:
        return Preview(False, error.code, error.what, refused.key, refused.value, False, None)
    place = refused.origin.partition, refused.origin.offset
    row: Mapping[str, Any] | None = None
    try:
        for decoder in readers:
            decoded = decoder.decode(corrected.value, *place)
            if isinstance(decoded, Incomplete):
                decoded = decoded.change
            row = row or (_row_of(decoded) if isinstance(decoded, Change) else None)
    except InvalidRecord as error:
        return Preview(False, error.code, error.what, *corrected, row)
    return Preview(True, "", "", *corrected, row)


def suggestion(decoders: Decoders, refused: Refused) -> tuple[Step, ...]:
    """Renames that would fill the columns which the row lacks, from fields that no column is called by; a guess by their names."""
    try:
        document = orjson.loads(refused.value)
        envelope = document.get("payload", document)
        row = envelope if is_flattened(envelope) else envelope.get("after") or envelope.get("before") or {}
        names = {name for name in row if not name.startswith(ADDED)}
    except (ValueError, AttributeError, TypeError):
        return ()
    columns = {
        column.name: column for decoder in decoders.get(refused.origin.topic, ()) for column in decoder.table.columns
    }
    unknown = {_plain(name): name for name in sorted(names - columns.keys())}
    steps: list[Step] = []
    for column in columns.values():
        if column.name in names or column.nullable:
            continue
        near = difflib.get_close_matches(_plain(column.name), list(unknown), 1, SIMILARITY_MIN)
        steps += [Rename(unknown.pop(name), column.name) for name in near]
    return tuple(steps)


def replay_of(refused: Refused, tried: Preview, mapping: Sequence[Step], asked: Asked) -> Replay:
    """The request to replay a message as it was tried."""
    return Replay(
        sha256(f"{asked.request_id}|{refused.origin}".encode()).hexdigest()[:32], refused.origin, asked.actor,
        asked.at_us, orjson.dumps(encode_mapping(mapping)).decode(), asked.note[:NOTE_CHARS_MAX],
        None if tried.key_changed else refused.origin.partition, tried.key, tried.value,
    )  # fmt: skip


def send_replays(settings: Settings, client: Client, replays: Sequence[Replay]) -> list[Answer]:
    """Have messages replayed, and wait until the workers have answered; answers in the order of the replays.

    Sending the same request again is safe: it is known by its id, and the change by its version.

    Raises:
        ConfigurationError: more than `REPLAYS_MAX`.
        InvalidRecord: `too-large`, a message does not fit into a request.
        UnavailableError: Kafka does not take them, or ClickHouse does not answer.
    """
    if len(replays) > REPLAYS_MAX:
        raise ConfigurationError(f"{len(replays)} replays at once", remedy=f"replay at most {REPLAYS_MAX} at a time")
    deliver(settings.kafka.bootstrap, REPLAYS_TOPIC, map(encode_replay, replays))
    answers = await_answers(settings, client, [replay.replay_id for replay in replays])
    told = []
    for replay in replays:
        answer = answers.get(replay.replay_id)
        said = (UNANSWERED, "no worker has read it yet") if answer is None else (answer.outcome, answer.reason)
        told.append(Answer(replay.origin, replay.replay_id, *said))
    return told


def origin_of(text: str) -> Origin:
    """The place written as `topic:partition:offset`. Errors: ConfigurationError."""
    topic, _, rest = text.partition(":")
    partition, _, offset = rest.partition(":")
    if not topic or not _is_number(partition) or not _is_number(offset):
        raise ConfigurationError(
            f"{text[:200]!r} is no place of a message",
            remedy="write it as topic:partition:offset, as the list shows it",
        )
    return Origin(topic, int(partition), int(offset))


def summary(previews: Iterable[Preview]) -> dict[str, int]:
    """Code of the error that remains, or "" for accepted → how many."""
    counts: dict[str, int] = {}
    for one in previews:
        counts[one.code] = counts.get(one.code, 0) + 1
    return counts


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _row_of(change: Change) -> dict[str, Any]:
    """The row for people."""
    table, row = change.table, change.row or ()
    values = dict(zip((column.name for column in table.columns), row, strict=False))
    currency_column = next((column.name for column in table.columns if column.kind == "currency"), "")
    currency = str(values.get(currency_column) or table.fixed_currency)
    shown: dict[str, Any] = {}
    for column in table.columns:
        value = values.get(column.name)
        if value is None:
            shown[column.name] = None
        elif column.kind == "money":
            shown[column.name] = f"{to_text(int(str(value)), currency)} {currency}"
        elif column.kind == "time":
            shown[column.name] = (_EPOCH + timedelta(microseconds=int(str(value)))).isoformat()
        elif column.kind == "date":
            shown[column.name] = (_DAY_ZERO + timedelta(days=int(str(value)))).isoformat()
        else:
            shown[column.name] = value
    return shown
