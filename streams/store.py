"""The state of one partition on local disk: one RocksDB, written in atomic batches together with its offsets.

A store is complete or it does not exist: its `meta` record is written with every batch, and a directory without one is
rebuilt from ClickHouse.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from streams.codec import dumps, loads

ENTITY: Final = b"e"
DEADLINE: Final = b"d"
PARTIAL: Final = b"p"
STRAY: Final = b"s"
PAYOUT_OWNER: Final = b"y"
SHARE: Final = b"r"
UNPUBLISHED: Final = b"u"
CHAIN_HEAD: Final = b"h"
SWEPT: Final = b"w"
FLOOR: Final = b"t"
_META: Final = b"m"
_MIB: Final = 1 << 20
WRITE_BUFFER_MIB: Final = 4
WRITE_BUFFERS_MIB: Final = 48
"""Of all stores of a process together: a worker may own dozens."""

BLOCK_CACHE_MIB: Final = 32

_shared: list[tuple[Cache, WriteBufferManager]] = []


class Meta(NamedTuple):
    """What a store knows of itself: next offset by topic, the watermark it was judged at, its last row version, and when
    its last window was closed (µs since the epoch by the worker's clock; 0 if never).
    """

    ends: dict[str, int]
    watermark_us: int
    version: int
    written_us: int


class PartitionStore:
    """One partition's RocksDB."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = Rdict(str(path), _options())

    def meta(self) -> Meta | None:
        """The store's own record, or None for a store that was never completed."""
        data = self._database.get(_META)
        return None if data is None else Meta._make(loads(data))

    def get_many(self, keys: list[bytes]) -> Sequence[bytes | None]:
        """Values in the order of the keys, None where there is none."""
        values: Any = self._database.get(keys)  # type: ignore[arg-type]  # only read
        return values  # type: ignore[no-any-return]

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes], meta: Meta) -> None:
        """Everything or nothing, together with what the store then knows of itself."""
        batch = WriteBatch(raw_mode=True)
        for key in deletes:
            batch.delete(key)
        for key, value in puts:
            batch.put(key, value)
        batch.put(_META, dumps(meta))
        self._database.write(batch)

    def load(self, puts: Iterable[tuple[bytes, bytes]]) -> None:
        """Part of a rebuild: nothing of it lasts before `complete`, so no log is written."""
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in puts:
            put(key, value)
        self._database.write(batch, _unlogged())

    def complete(self, meta: Meta) -> None:
        """End a rebuild: what was loaded goes to disk first, then the record that makes the store valid."""
        self._database.flush(True)
        self.write((), (), meta)

    def deadlines(self, first_us: int, last_us: int) -> Iterator[bytes]:
        """Keys of the deadlines within a span of due times, both ends included, earliest first."""
        last = DEADLINE + last_us.to_bytes(8, "big")
        for key in self._database.keys(from_key=DEADLINE + first_us.to_bytes(8, "big")):
            assert isinstance(key, bytes)
            if key[:1] != DEADLINE or key[:9] > last:
                return
            yield key

    def keys_after(self, after: bytes, prefix: bytes, most: int) -> list[bytes]:
        """The next keys that begin with the prefix, in their order. No iterator stays open: it would hold the database."""
        found: list[bytes] = []
        for key in self._database.keys(from_key=max(after, prefix)):
            assert isinstance(key, bytes)
            if not key.startswith(prefix) or len(found) == most:
                break
            if key > after:
                found.append(key)
        return found

    def close(self) -> None:
        """Close the database; what was written stays."""
        self._database.close()

    def destroy(self) -> None:
        """Close and remove the directory."""
        self._database.close()
        shutil.rmtree(self.path, ignore_errors=True)


def deadline_key(due_us: int, identity: bytes) -> bytes:
    """Key that sorts by due time; `identity` is the JSON of the entity's id."""
    return DEADLINE + due_us.to_bytes(8, "big") + identity


def _unlogged() -> WriteOptions:
    options = WriteOptions()
    options.disable_wal = True  # type: ignore[assignment, method-assign]  # a property; its stub says method
    return options


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER_MIB * _MIB)
    options.set_max_write_buffer_number(2)
    options.set_max_open_files(64)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    options.set_compression_type(DBCompressionType.lz4())
    if not _shared:
        _shared.append((Cache(BLOCK_CACHE_MIB * _MIB), WriteBufferManager(WRITE_BUFFERS_MIB * _MIB, False)))
    cache, write_buffers = _shared[0]
    options.set_write_buffer_manager(write_buffers)
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_bloom_filter(10, False)
    options.set_block_based_table_factory(table)
    return options
