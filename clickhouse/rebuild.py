"""What a worker reads to rebuild the state of one Kafka partition: encoded states, and the partial totals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import orjson
from clickhouse_connect.driver.client import Client

from clickhouse.client import translated_errors
from clickhouse.definition import Definition
from clickhouse.schema import DISCREPANCY
from clickhouse.truncation_table import TRUNCATION
from trueup.model.errors import UnavailableError
from trueup.model.registers import PartialVersion

LATEST_ITEMS_MAX: Final = 8
"""Newest billing items kept per statement."""

_ENTITY_IN_STATE: Final = "JSONExtractRaw(state, 2)"
"""The entity's id as the source gave it: the second entry of every encoded state."""

_ENTITY_COLUMNS: Final = {"order_wide": "order_key"}
"""Where the id stands beside the state too, so that no state has to be parsed."""

_ONE_THREAD: Final = {"max_threads": 1}
"""A rebuild asks for states and totals at the same time: more threads for each cost half as much again and end no sooner."""

_FINAL: Final = "do_not_merge_across_partitions_select_final = 1"


class StateBatch(NamedTuple):
    """Parallel columns: entity ids as JSON (a number stays a number) and their encoded states; and (id, due time) of those for
    which a rule falls due.
    """

    keys: Sequence[bytes]
    states: Sequence[bytes]
    due: Sequence[tuple[bytes, int]]


class PartialRow(NamedTuple):
    """What one Kafka partition contributes to a statement, or (statement `null`) to a payout whose lines name no known
    billing item: both ids as JSON, and the encoded partial.
    """

    statement: bytes
    payout: bytes
    encoded: bytes


class Known(NamedTuple):
    """What a wide table holds of a Kafka partition: the newest row version, and how many entities."""

    version: int
    rows: int


def read_known(client: Client, database: str, wide: Definition, partition: int) -> Known:
    """What there is to rebuild from. Errors: UnavailableError."""
    with translated_errors(f"{database}.{wide.name}"):
        ((version, rows),) = client.query(
            f"SELECT max(version), count() FROM {database}.{wide.name} FINAL "
            f"WHERE partition = {{partition:UInt16}} SETTINGS {_FINAL}",
            {"partition": partition},
        ).result_rows
    return Known(int(version), int(rows))


def read_states(
    client: Client,
    database: str,
    wide: Definition,
    partition: int,
    *,
    batch_rows: int,
    rows_min: Callable[[], int] = lambda: 0,
    due_column: str = "next_due_at",
) -> Iterator[StateBatch]:
    """Streams the newest state of every entity of a Kafka partition from a wide table.

    A batch has about `batch_rows` rows, at most one such batch is decoded at a time; the order is that of the storage.
    Errors: UnavailableError also half-way, and at the end of fewer rows than `rows_min` gives, which is asked then; the
    caller starts over.
    """
    where = f"{database}.{wide.name}, partition {partition}"
    rows = 0
    query = (
        f"SELECT {_ENTITY_COLUMNS.get(wide.name, _ENTITY_IN_STATE)}, state, toUnixTimestamp64Micro({due_column}) AS due "
        f"FROM {database}.{wide.name} FINAL WHERE partition = {{partition:UInt16}} SETTINGS {_FINAL}"
    )
    # Without the byte limit a block of long states would be a few thousand rows only.
    settings = {"max_block_size": batch_rows, "preferred_block_size_bytes": 0, **_ONE_THREAD}
    # ClickHouse's own format: writing Arrow takes the server a fifth longer for the whole query.
    formats = {"String": "bytes"}
    with (
        translated_errors(f"rebuild from {database}.{wide.name}"),
        client.query_column_block_stream(
            query, {"partition": partition}, settings=settings, query_formats=formats
        ) as blocks,
    ):
        for keys, states, due_us in blocks:
            rows += len(keys)
            dated = len(due_us) - due_us.count(None)
            due = [(key, at_us) for key, at_us in zip(keys, due_us, strict=True) if at_us is not None] if dated else []
            if keys:
                yield StateBatch(keys, states, due)
    if rows < (known := rows_min()):
        raise UnavailableError(f"the answer broke off: {rows} of {known} rows", where=where)


def read_rule_classes(client: Client, database: str) -> dict[str, str]:
    """Rule → class of every rule of the settlement that ever found something, also of rules that are gone by now.

    Entities of users' specs have a dot in their kind. Errors: UnavailableError.
    """
    with translated_errors(f"{database}.{DISCREPANCY.name}"):
        rows = client.query(
            f"SELECT DISTINCT rule, class FROM {database}.{DISCREPANCY.name} WHERE position(entity_kind, '.') = 0"
        ).result_rows
    return {str(rule): str(kind) for rule, kind in rows}


class KnownTruncation(NamedTuple):
    """The newest truncation of a table; the commit time is in µs since the epoch."""

    source: str
    table: str
    version: int
    commit_us: int
    partition: int
    offset: int


def read_truncations(client: Client, database: str, stage: str, partition: int) -> list[KnownTruncation]:
    """The truncations that one Kafka partition of a stage has read. Errors: UnavailableError."""
    with translated_errors(f"{database}.{TRUNCATION.name}"):
        rows = client.query(
            "SELECT source, source_table, version, toUnixTimestamp64Micro(committed_at), kafka_partition, kafka_offset "
            f"FROM {database}.{TRUNCATION.name} FINAL "
            f"WHERE stage = {{stage:String}} AND partition = {{partition:UInt16}} SETTINGS {_FINAL}",
            {"stage": stage, "partition": partition},
        ).result_rows
    return [KnownTruncation(*row) for row in rows]


_LONG: Final = "toInt256('9223372036854775808')"
"""The first number that 64 bits do not hold."""

# The newest items first; a tie goes to the higher id: texts (a JSON text starts with a quote) in text order, numbers by value,
# which for whole numbers above zero is first by length. Int256: a sum of Decimal(38) wraps around silently.
_PARTIALS: Final = f"""
    SELECT * EXCEPT latest FROM (SELECT
        statement, if(statement = 'null', payout, 'null') AS owner,
        arraySlice(arrayReverseSort(arrayFlatten(groupArray(newest))), 1, {LATEST_ITEMS_MAX}) AS latest,
        concat(
            '[',
            arrayStringConcat(groupArrayIf(
                concat('["', item_currency, '",', toJSONString(item_status), ',', toString(counted), ',', toString(total), ']'),
                kind = 'item'), ','),
            '],[',
            arrayStringConcat(groupArrayIf(
                concat('[', payout, ',"', item_currency, '",', toString(counted), ',', toString(total), ']'),
                kind = 'line'), ','),
            '],[',
            arrayStringConcat(arrayMap(
                one -> concat('[', toString(one.1), ',', one.3, ',', one.4, ',', toString(one.5), ',"', one.6, '"]'),
                latest), ','),
            '],', toString(max(newest_us))) AS encoded,
        max(abs(total)) >= {_LONG} OR arrayExists(one -> abs(toInt256(one.5)) >= {_LONG}, latest) AS is_long
    FROM (
        SELECT
            if(payout = 'null', 'item', 'line') AS kind, statement, payout, item_currency, item_status, count() AS counted,
            sum(toInt256(minor)) AS total, max(toUnixTimestamp64Micro(last_committed_at)) AS newest_us,
            arraySlice(arrayReverseSort(groupArrayIf(
                (created, if(startsWith(item, '"'), 0, length(item)), item, order_key, minor, item_currency),
                payout = 'null')), 1, {LATEST_ITEMS_MAX}) AS newest
        FROM {{database}}.order_wide FINAL
        ARRAY JOIN
            contribution_statement AS statement, contribution_payout AS payout, contribution_currency AS item_currency,
            contribution_status AS item_status, contribution_amount_minor AS minor, contribution_created_at AS created,
            contribution_item AS item
        WHERE partition = {{{{partition:UInt16}}}}
        GROUP BY statement, payout, item_currency, item_status
    )
    GROUP BY statement, owner)
    SETTINGS {_FINAL}, output_format_arrow_string_as_string = 0
"""


def read_partials(client: Client, database: str, partition: int, version: PartialVersion) -> Iterator[PartialRow]:
    """The partial totals of a Kafka partition, summed up from the contributions in its wide rows.

    ClickHouse writes them as the worker's state store keeps them ([version, items, lines, latest, newest_us] as JSON, with a
    space before it where a number is longer than 64 bits), each under `version`, with ids as the source gave them.
    Errors: UnavailableError.
    """
    head = orjson.dumps(list(version))
    query = _PARTIALS.format(database=database)
    with translated_errors(f"rebuild of partial totals from {database}.order_wide"):
        for statement, payout, encoded, is_long in _arrow_rows(client, query, partition):
            yield PartialRow(statement, payout, b"%b[%b,%b]" % (b" " if is_long else b"", head, encoded))


def _arrow_rows(client: Client, query: str, partition: int) -> Iterator[tuple[Any, ...]]:
    settings = {**_ONE_THREAD, "output_format_arrow_compression_method": "none"}
    with client.query_arrow_stream(query, {"partition": partition}, settings, use_strings=False) as batches:
        for batch in batches:
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
