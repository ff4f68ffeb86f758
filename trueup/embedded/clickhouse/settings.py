"""What the endpoint is started with: its directory, address, users and bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class EndpointUser:
    """One user of the endpoint; a read-only user gets the analyst's limits and rights.

    One that only `may_write` is denied reads like the writer, tables and all, and can change nothing: the dashboard.
    """

    name: str
    password: str = field(repr=False)
    read_only: bool
    may_write: bool = True


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """Every bound of the endpoint. The defaults fit two cores that Kafka, Postgres and workers share."""

    server_memory_bytes: int = 3 * GIB
    merge_memory_bytes: int = 1 * GIB
    mark_cache_bytes: int = 64 * MIB
    index_cache_bytes: int = 64 * MIB

    writes_at_once: int = 4
    reads_at_once: int = 4
    analyst_queries_at_once: int = 3
    pages_at_once: int = 3
    queued_per_lane_max: int = 32
    queue_seconds_max: int = 30
    connections_max: int = 128

    query_memory_bytes: int = 2 * GIB
    query_seconds_max: int = 600
    analyst_memory_bytes: int = 1 * GIB
    analyst_seconds_max: int = 60
    analyst_result_rows_max: int = 1_000_000
    analyst_threads_max: int = 2
    analyst_spill_bytes_max: int = 2 * GIB

    body_bytes_max: int = 1 * GIB
    body_memory_bytes: int = 8 * MIB
    query_text_bytes_max: int = 16 * MIB
    result_memory_bytes: int = 16 * MIB
    result_spool_bytes_max: int = 4 * GIB
    whole_result_bytes_max: int = 512 * MIB
    response_buffer_bytes: int = 1 * MIB

    sessions_max: int = 32
    session_seconds_default: int = 60
    session_seconds_max: int = 3600
    stall_seconds_max: int = 60
    stop_seconds_max: int = 30


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Where the endpoint keeps its data, where it listens, and for whom.

    `analyst_database` holds the views that read-only users may read; they read nothing else, and it is their default.
    """

    data_dir: Path
    port: int
    users: tuple[EndpointUser, ...]
    host: str = "127.0.0.1"
    default_database: str = "default"
    analyst_database: str = "trueup"
    limits: EndpointLimits = EndpointLimits()
