"""What people ask about refused messages: how many there are of a kind, one with its bytes, and who replayed it.

Each function gives a query on the views. Bytes come back as hexadecimal text, because they may be no UTF-8.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from clickhouse.keyset import cursor_parts
from clickhouse.query import Query
from trueup.model.errors import ConfigurationError

LIST_KEYS: Final = ("at_us", "kafka_partition", "kafka_offset", "topic")
_PLACE: Final = "topic = {topic:String} AND kafka_partition = {partition:UInt16} AND kafka_offset = {offset:UInt64}"
_WHOLE: Final = (
    "topic, kafka_partition, kafka_offset, stage, code, reason, hex(key) AS key_hex, hex(value) AS value_hex, headers, "
    "quarantined_at"
)
_NOT_REPLAYED: Final = (
    "(topic, kafka_partition, kafka_offset) NOT IN "
    "(SELECT topic, kafka_partition, kafka_offset FROM {database}.v_quarantine_replays WHERE outcome = 'sent')"
)


class QuarantineFilter(NamedTuple):
    """Which refused messages are meant; what is left empty does not restrict. `only_waiting`: not replayed yet."""

    topic: str = ""
    code: str = ""
    only_waiting: bool = False


def refusals_by_kind(database: str) -> Query:
    """topic, code, stage, messages, waiting (not replayed yet), first_at, last_at."""
    waiting = _NOT_REPLAYED.format(database=database)
    return Query(
        f"SELECT topic, code, stage, count() AS messages, countIf({waiting}) AS waiting, "
        f"min(quarantined_at) AS first_at, max(quarantined_at) AS last_at FROM {database}.v_quarantine "
        "GROUP BY topic, code, stage ORDER BY messages DESC, topic, code, stage LIMIT 500"
    )


def refused_list(database: str, chosen: QuarantineFilter, rows_max: int, after: str = "") -> Query:
    """Refused messages without their bytes, the newest first, at most `rows_max` + 1.

    Errors: ConfigurationError for a cursor that is none.
    """
    conditions, bound = _conditions(database, chosen)
    if after:
        at_us, partition, offset, topic = cursor_parts(after, len(LIST_KEYS))
        conditions.append(
            "(-at_us, kafka_partition, kafka_offset, topic) > "
            "(-{last_at_us:Int64}, {last_partition:UInt16}, {last_offset:UInt64}, {last_topic:String})"
        )
        bound |= {
            "last_at_us": _whole(at_us), "last_partition": _whole(partition), "last_offset": _whole(offset),
            "last_topic": topic,
        }  # fmt: skip
    return Query(
        "SELECT topic, kafka_partition, kafka_offset, stage, code, reason, length(value) AS bytes, quarantined_at, "
        f"toUnixTimestamp64Micro(quarantined_at) AS at_us FROM {database}.v_quarantine "
        f"WHERE {' AND '.join(conditions) or '1'} "
        "ORDER BY at_us DESC, kafka_partition, kafka_offset, topic LIMIT {rows:UInt32}",
        {**bound, "rows": rows_max + 1},
    )


def refused_messages(database: str, chosen: QuarantineFilter, rows_max: int) -> Query:
    """Refused messages with their bytes, the oldest first: what is replayed together."""
    conditions, bound = _conditions(database, chosen)
    return Query(
        f"SELECT {_WHOLE} FROM {database}.v_quarantine WHERE {' AND '.join(conditions) or '1'} "
        "ORDER BY topic, kafka_partition, kafka_offset LIMIT {rows:UInt32}",
        {**bound, "rows": rows_max},
    )


def refused_message(database: str, topic: str, partition: int, offset: int) -> Query:
    """One refused message with its bytes; no row for an unknown one."""
    return Query(
        f"SELECT {_WHOLE} FROM {database}.v_quarantine WHERE {_PLACE}",
        {"topic": topic, "partition": partition, "offset": offset},
    )


def replays_of(database: str, topic: str, partition: int, offset: int) -> Query:
    """The replays of one refused message, the newest first: replay_id, who, when, mapping, outcome, note, and the bytes."""
    return Query(
        "SELECT replay_id, replayed_at, actor, outcome, reason, mapping, note, to_partition, hex(value) AS value_hex "
        f"FROM {database}.v_quarantine_replays WHERE {_PLACE} ORDER BY replayed_at DESC, replay_id LIMIT 50",
        {"topic": topic, "partition": partition, "offset": offset},
    )


def refused_again(database: str, topic: str, replay_ids: list[str]) -> Query:
    """replay_id, kafka_partition, kafka_offset, code, reason: replays that were refused in their turn."""
    replay_id = "JSONExtractString(headers, 'trueup-replay')"
    return Query(
        f"SELECT {replay_id} AS replay_id, kafka_partition, kafka_offset, code, reason FROM {database}.v_quarantine "
        f"WHERE topic = {{topic:String}} AND {replay_id} IN {{ids:Array(String)}} ORDER BY kafka_offset LIMIT 200",
        {"topic": topic, "ids": replay_ids},
    )


def last_replays(database: str, places: list[tuple[str, int, int]]) -> Query:
    """topic, kafka_partition, kafka_offset, replayed_at, actor, outcome: the newest replay of each of these messages."""
    return Query(
        "SELECT topic, kafka_partition, kafka_offset, max(replayed_at) AS at, argMax(actor, replayed_at) AS actor, "
        f"argMax(outcome, replayed_at) AS outcome FROM {database}.v_quarantine_replays "
        "WHERE concat(topic, ':', toString(kafka_partition), ':', toString(kafka_offset)) IN {places:Array(String)} "
        "GROUP BY topic, kafka_partition, kafka_offset LIMIT 1000",
        {"places": [f"{topic}:{partition}:{offset}" for topic, partition, offset in places]},
    )


def _conditions(database: str, chosen: QuarantineFilter) -> tuple[list[str], dict[str, Any]]:
    bound: dict[str, Any] = {name: getattr(chosen, name) for name in ("topic", "code") if getattr(chosen, name)}
    conditions = [f"{name} = {{{name}:String}}" for name in bound]
    if chosen.only_waiting:
        conditions.append(_NOT_REPLAYED.format(database=database))
    return conditions, bound


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise ConfigurationError(
            f"{text[:40]!r} is no number of a cursor", where="after", remedy="go back to the first page of the list"
        )
    return int(text)
