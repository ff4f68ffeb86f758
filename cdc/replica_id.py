"""The id by which a MySQL or MariaDB server tells those apart who read its binlog. Pure."""

from __future__ import annotations

import zlib

from trueup.settings import SourceSettings


def replica_id(source: SourceSettings) -> int:
    """The id that the source is read under: from its name unless it is set."""
    return source.server_id or (zlib.crc32(source.name.encode()) | 1 << 31)
