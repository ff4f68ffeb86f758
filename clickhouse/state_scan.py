"""Reads the present states of a wide table for somebody who only looks at them: all of them, or those of the last months."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, Final, NamedTuple

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from clickhouse.client import translated_errors
from clickhouse.definition import Definition
from trueup.model.errors import UnavailableError

_FINAL: Final = "do_not_merge_across_partitions_select_final = 1"


class Scanned(NamedTuple):
    """Which states to read: of a wide table, filed under `since` (first day of a month) or later, of one spec or of all."""

    wide: Definition
    since: date | None = None
    spec: str = ""

    @property
    def condition(self) -> str:
        """As SQL with parameters; a month never changes for an entity, so FINAL over some months is right."""
        parts = ["1"]
        if self.since is not None:
            parts.append("month >= {since:Date32}")
        if self.spec:
            parts.append("spec = {spec:String}")
        return " AND ".join(parts)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the condition."""
        return {"since": self.since, "spec": self.spec}


def count_states(client: Client, database: str, scanned: Scanned) -> int:
    """How many states there are. Errors: UnavailableError, ConfigurationError without migrations."""
    with translated_errors(f"{database}.{scanned.wide.name}"):
        rows = client.query(
            f"SELECT count() FROM {database}.{scanned.wide.name} FINAL WHERE {scanned.condition} SETTINGS {_FINAL}",
            scanned.parameters,
        ).result_rows
    return int(rows[0][0])


def scan_states(
    client: Client, database: str, scanned: Scanned, *, batch_rows: int
) -> Iterator[list[tuple[int, bytes]]]:
    """(Kafka partition, encoded state) of every entity, about `batch_rows` at a time; no more than that is held.

    Errors: UnavailableError also half-way.
    """
    query = (
        f"SELECT partition, state FROM {database}.{scanned.wide.name} FINAL WHERE {scanned.condition} SETTINGS {_FINAL}"
    )
    settings = {
        "max_block_size": batch_rows,
        "preferred_block_size_bytes": 0,
        "output_format_arrow_string_as_string": 0,
        "output_format_arrow_compression_method": "none",
    }
    with (
        translated_errors(f"{database}.{scanned.wide.name}"),
        client.query_arrow_stream(query, scanned.parameters, settings, use_strings=False) as batches,
    ):
        try:
            for batch in batches:
                partitions, states = batch.columns
                yield list(zip(partitions.to_pylist(), states.to_pylist(), strict=True))
        except pa.ArrowInvalid as error:
            raise UnavailableError(f"the answer broke off: {error}", where=f"{database}.{scanned.wide.name}") from error
