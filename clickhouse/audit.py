"""Reading the audit log: whole chains in order, their ends, and the answers to commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from clickhouse_connect.driver.client import Client

from clickhouse.audit_table import AUDIT_LOG
from clickhouse.client import translated_errors

BATCH_ROWS: Final = 10_000
IDS_MAX: Final = 1_000
"""Ids of one query: parameters travel in its address."""

_COLUMNS: Final = ", ".join(
    # Text that is no UTF-8 must come back as it was hashed; hex is safe on every path.
    f"hex({column.name})" if column.name == "body" else
    f"toUnixTimestamp64Micro({column.name})" if column.name == "at" else column.name
    for column in AUDIT_LOG.columns
)  # fmt: skip
_BODY: Final = [column.name for column in AUDIT_LOG.columns].index("body")


class ChainPlace(NamedTuple):
    """Where a chain is."""

    topic: str
    partition: int


class Answered(NamedTuple):
    """What came of a command: applied, refused, repeated; `revision` is the discrepancy's after it."""

    command_id: str
    outcome: str
    reason: str
    revision: int


def chains(client: Client, database: str) -> list[ChainPlace]:
    """Every chain that has a row."""
    with translated_errors(f"{database}.audit_log"):
        rows = client.query(f"SELECT DISTINCT topic, partition FROM {database}.audit_log ORDER BY 1, 2").result_rows
    return [ChainPlace(topic, int(partition)) for topic, partition in rows]


def read_chain(
    client: Client, database: str, place: ChainPlace, *, batch_rows: int = BATCH_ROWS
) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of one chain in offset order, in batches, as tuples in the table's column order; times in µs, body as bytes.

    Errors: UnavailableError, also half-way.
    """
    after = -1
    query = (
        f"SELECT {_COLUMNS} FROM {database}.audit_log FINAL WHERE topic = {{topic:String}} "
        "AND partition = {partition:UInt16} AND toInt64(kafka_offset) > {after:Int64} "
        "ORDER BY kafka_offset LIMIT {rows:UInt32}"
    )
    while True:
        with translated_errors(f"{database}.audit_log"):
            rows = client.query(query, {**place._asdict(), "after": after, "rows": batch_rows}).result_rows
        if rows:
            yield [(*row[:_BODY], bytes.fromhex(row[_BODY]), *row[_BODY + 1 :]) for row in rows]
            after = rows[-1][2]
        if len(rows) < batch_rows:
            return


def read_entries(client: Client, database: str, discrepancy_id: str, rows_max: int) -> list[tuple[Any, ...]]:
    """The newest entries about a discrepancy, oldest first, as `read_chain` gives them."""
    with translated_errors(f"{database}.audit_log"):
        rows = client.query(
            f"SELECT {_COLUMNS} FROM {database}.audit_log FINAL WHERE discrepancy_id = {{id:String}} "
            "ORDER BY at DESC, topic DESC, kafka_offset DESC LIMIT {rows:UInt32}",
            {"id": discrepancy_id, "rows": rows_max},
        ).result_rows
    return [(*row[:_BODY], bytes.fromhex(row[_BODY]), *row[_BODY + 1 :]) for row in reversed(rows)]


def read_hashes(
    client: Client, database: str, wanted: Iterable[tuple[ChainPlace, int]]
) -> dict[ChainPlace, dict[int, str]]:
    """Chain → offset → hash of the entries at these offsets, where there are any; some more may come along."""
    places = list(wanted)
    found: dict[ChainPlace, dict[int, str]] = {}
    with translated_errors(f"{database}.audit_log"):
        rows = client.query(
            f"SELECT topic, partition, kafka_offset, hash FROM {database}.audit_log FINAL "
            "WHERE topic IN {topics:Array(String)} AND partition IN {partitions:Array(UInt16)} "
            "AND kafka_offset IN {offsets:Array(UInt64)}",
            {
                "topics": sorted({place.topic for place, _ in places}),
                "partitions": sorted({place.partition for place, _ in places}),
                "offsets": sorted({offset for _, offset in places}),
            },
        ).result_rows
    for topic, partition, offset, digest in rows:
        found.setdefault(ChainPlace(topic, partition), {})[offset] = digest
    return found


def read_end(client: Client, database: str, place: ChainPlace) -> tuple[int, str] | None:
    """The offset after the last entry of a chain, and that entry's hash; None for a chain without entries."""
    with translated_errors(f"{database}.audit_log"):
        rows = client.query(
            f"SELECT kafka_offset, hash FROM {database}.audit_log FINAL WHERE topic = {{topic:String}} "
            "AND partition = {partition:UInt16} ORDER BY kafka_offset DESC LIMIT 1",
            place._asdict(),
        ).result_rows
    return (int(rows[0][0]) + 1, str(rows[0][1])) if rows else None


def read_answers(client: Client, database: str, command_ids: Sequence[str]) -> dict[str, Answered]:
    """Command id → what came of it when it was read first; commands that were not read yet are left out."""
    query = (
        f"SELECT command_id, outcome, reason, revision FROM {database}.audit_log FINAL "
        "WHERE command_id IN {ids:Array(String)} ORDER BY partition, kafka_offset LIMIT 1 BY command_id"
    )
    answers = {}
    for at in range(0, len(command_ids), IDS_MAX):
        with translated_errors(f"{database}.audit_log"):
            rows = client.query(query, {"ids": list(command_ids[at : at + IDS_MAX])}).result_rows
        answers.update({row[0]: Answered(*row) for row in rows})
    return answers
