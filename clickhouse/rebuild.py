"""What a worker reads to rebuild the state of one Kafka partition: encoded states, and the partial totals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import orjson
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from clickhouse.client import translated_errors
from clickhouse.definition import Definition
from trueup.model.errors import UnavailableError
from trueup.model.registers import ItemTotal, LatestItem, LineTotal, Partial, PartialVersion
from trueup.model.tables import Id

LATEST_ITEMS_MAX: Final = 8
"""Newest billing items kept per statement."""

ENTITY_JSON: Final = "JSONExtractRaw(state, 2)"
"""The entity's id as the source gave it: the second entry of every encoded state."""

_FINAL: Final = "do_not_merge_across_partitions_select_final = 1"


class StateBatch(NamedTuple):
    """Parallel lists: entity ids as JSON (a number stays a number), their encoded states, and when a rule falls due next (None: nothing)."""

    keys: list[bytes]
    states: list[bytes]
    due_us: list[int | None]


class RebuiltPartials(NamedTuple):
    """What one Kafka partition contributes: by statement, and by payout the lines that name no known billing item."""

    statements: dict[Id, Partial]
    strays: dict[Id, Partial]


def read_states(
    client: Client, database: str, wide: Definition, partition: int, *, batch_rows: int
) -> Iterator[StateBatch]:
    """Streams the newest state of every entity of a Kafka partition from `wide` (order_wide or statement_wide).

    A batch has about `batch_rows` rows, at most one such batch is decoded at a time; the order is that of the storage.
    Errors: UnavailableError also half-way, then the caller starts over.
    """
    query = (
        f"SELECT {ENTITY_JSON}, state, toUnixTimestamp64Micro(next_due_at) AS due "
        f"FROM {database}.{wide.name} FINAL WHERE partition = {{partition:UInt16}} SETTINGS {_FINAL}"
    )
    # Without the byte limit a block of long states would be a few thousand rows only.
    settings = {
        "max_block_size": batch_rows,
        "preferred_block_size_bytes": 0,
        "output_format_arrow_string_as_string": 0,
        # Compressing takes the server longer than sending over loopback or a fast network.
        "output_format_arrow_compression_method": "none",
    }
    with (
        translated_errors(f"rebuild from {database}.{wide.name}"),
        client.query_arrow_stream(query, {"partition": partition}, settings, use_strings=False) as batches,
    ):
        try:
            for batch in batches:
                ids, states, due = batch.columns
                yield StateBatch(ids.to_pylist(), states.to_pylist(), due.to_pylist())
        except pa.ArrowInvalid as error:
            # An older server writes its error message into the stream.
            raise UnavailableError(f"the answer broke off: {error}", where=f"{database}.{wide.name}") from error


_CONTRIBUTIONS: Final = """
    FROM {database}.order_wide FINAL
    ARRAY JOIN
        contribution_kind AS kind, contribution_statement AS statement, contribution_payout AS payout,
        contribution_currency AS item_currency, contribution_status AS item_status, contribution_count AS rows_counted,
        contribution_amount_minor AS minor, contribution_created_at AS created, contribution_item AS item
    WHERE partition = {partition:UInt16}
"""
_TOTALS: Final = """
    SELECT
        kind, statement, payout, item_currency, item_status, sum(rows_counted),
        -- Int256: a sum of Decimal(38) wraps around silently
        toString(sum(toInt256(minor))), max(toUnixTimestamp64Micro(last_committed_at))
"""
_TOTALS_END: Final = f"""
    GROUP BY kind, statement, payout, item_currency, item_status
    SETTINGS {_FINAL}
"""
# Newest first; a tie goes to the higher id: texts (a JSON text starts with a quote) in text order, numbers by value,
# which for whole numbers above zero is first by length.
_LATEST: Final = """
    SELECT statement, created, item, JSONExtractRaw(state, 2), toString(minor), item_currency
"""
_LATEST_END: Final = f"""
        AND kind = 'item'
    ORDER BY statement, created DESC, if(startsWith(item, '"'), 0, length(item)) DESC, item DESC
    LIMIT {LATEST_ITEMS_MAX} BY statement
    SETTINGS {_FINAL}
"""


def read_partials(client: Client, database: str, partition: int, version: PartialVersion) -> RebuiltPartials:
    """The partial totals of a Kafka partition, summed up from the contributions in its wide rows.

    Every partial gets `version`. Ids come back as the source gave them. Errors: UnavailableError.
    """
    parameters = {"partition": partition}
    with translated_errors(f"rebuild of partial totals from {database}.order_wide"):
        source = _CONTRIBUTIONS.replace("{database}", database)
        totals = client.query(_TOTALS + source + _TOTALS_END, parameters).result_rows
        latest = client.query(_LATEST + source + _LATEST_END, parameters).result_rows
    rebuilt = RebuiltPartials({}, {})
    for row in totals:
        _add_total(rebuilt, version, row)
    newest: dict[Id, list[LatestItem]] = {}
    for statement, created_us, item, order_id, minor, currency in latest:
        entry = LatestItem(created_us, orjson.loads(item), orjson.loads(order_id), int(minor), currency)
        newest.setdefault(orjson.loads(statement), []).append(entry)
    for statement_id, entries in newest.items():
        rebuilt.statements[statement_id] = rebuilt.statements[statement_id]._replace(latest=tuple(entries))
    return rebuilt


def _add_total(rebuilt: RebuiltPartials, version: PartialVersion, row: Sequence[Any]) -> None:
    kind, statement, payout, currency, status, count, minor, newest_us = row
    statement_id, payout_id = orjson.loads(statement), orjson.loads(payout)
    partials = rebuilt.strays if statement_id is None else rebuilt.statements
    owner = payout_id if statement_id is None else statement_id
    partial = partials.get(owner) or Partial(version, {}, {}, (), newest_us)
    if kind == "item":
        items = partial.items.get((currency, status), ItemTotal(0, 0))
        partial.items[currency, status] = ItemTotal(items.count + count, items.amount_minor + int(minor))
    else:
        lines = partial.lines.get((payout_id, currency), LineTotal(0, 0))
        partial.lines[payout_id, currency] = LineTotal(lines.count + count, lines.amount_minor + int(minor))
    partials[owner] = partial._replace(newest_us=max(partial.newest_us, newest_us))
