"""Compression of HTTP bodies, both ways, and the seams between result blocks."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, Protocol, cast

import lz4.frame
import zstandard

from trueup.embedded.clickhouse.errors import CANNOT_DECOMPRESS, TOO_MANY_BYTES, EngineError

_READ_BYTES: Final = 1 << 20
_GZIP_LEVEL: Final = 1
_GZIP_WINDOW_BITS: Final = 31
_ARROW_MESSAGE: Final = b"\xff\xff\xff\xff"
_ARROW_END: Final = _ARROW_MESSAGE + b"\x00\x00\x00\x00"


class Reader(Protocol):
    """The one method of a file that decoding needs."""

    def read(self, size: int, /) -> bytes: ...  # noqa: D102


class Encoder(Protocol):
    """Compresses one response body piece by piece."""

    def encode(self, piece: bytes) -> bytes: ...  # noqa: D102

    def finish(self) -> bytes: ...  # noqa: D102


class _Plain:
    def encode(self, piece: bytes) -> bytes:
        return piece

    def finish(self) -> bytes:
        return b""


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, window_bits)

    def encode(self, piece: bytes) -> bytes:
        return self._compressor.compress(piece)

    def finish(self) -> bytes:
        return self._compressor.flush()


class _Zstd:
    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=1).compressobj()

    def encode(self, piece: bytes) -> bytes:
        return self._compressor.compress(piece)

    def finish(self) -> bytes:
        return self._compressor.flush()


class _Lz4:
    def __init__(self) -> None:
        self._compressor = lz4.frame.LZ4FrameCompressor()
        self._begun = False

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return bytes(self._compressor.begin())

    def encode(self, piece: bytes) -> bytes:
        return self._begin() + bytes(self._compressor.compress(piece))

    def finish(self) -> bytes:
        return self._begin() + bytes(self._compressor.flush())


class _Inflate:
    """`deflate` bodies: a zlib stream, as ClickHouse sends and takes it."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._inflater = zlib.decompressobj()

    def read(self, size: int, /) -> bytes:
        while not self._inflater.eof:
            compressed = self._inflater.unconsumed_tail or self._source.read(_READ_BYTES)
            if not compressed:
                raise EOFError("the deflate stream ends too early")
            if piece := self._inflater.decompress(compressed, size):
                return piece
        return b""


_ENCODERS: Final[dict[str | None, Callable[[], Encoder]]] = {
    None: _Plain,
    "gzip": lambda: _Zlib(_GZIP_WINDOW_BITS),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "zstd": _Zstd,
    "lz4": _Lz4,
}
_DECODERS: Final[dict[str, Callable[[BinaryIO], Reader]]] = {
    "": lambda source: source,
    "identity": lambda source: source,
    "gzip": lambda source: gzip.GzipFile(fileobj=source, mode="rb"),
    "deflate": _Inflate,
    "zstd": lambda source: zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True),
    "lz4": lambda source: cast(Reader, lz4.frame.LZ4FrameFile(source, mode="rb")),
}


def encoder(encoding: str | None) -> Encoder:
    """A compressor for one response; None passes the bytes through."""
    return _ENCODERS[encoding]()


class Body:
    """A request's body, decompressed as it is read and never more than `bytes_max` of it."""

    def __init__(self, source: BinaryIO, encoding: str, bytes_max: int) -> None:
        source.seek(0)
        self._reader = _DECODERS[encoding](source)
        self._bytes_left = bytes_max
        self._encoding = encoding

    def read(self, size: int) -> bytes:
        """Up to size bytes; b"" at the end.

        Raises:
            EngineError: CANNOT_DECOMPRESS, or TOO_MANY_BYTES for a body that grows past its bound.
        """
        try:
            piece = self._reader.read(size)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError, RuntimeError) as error:
            raise EngineError(CANNOT_DECOMPRESS, f"Cannot decompress the {self._encoding} body: {error}") from error
        self._bytes_left -= len(piece)
        if self._bytes_left < 0:
            raise EngineError(TOO_MANY_BYTES, "The body is larger than the embedded endpoint takes")
        return piece

    def pieces(self) -> Iterator[bytes]:
        """Yields the rest of the body."""
        while piece := self.read(_READ_BYTES):
            yield piece


def join_arrow(block: bytes, *, first: bool) -> bytes:
    """One block of an ArrowStream result, without what only a whole stream has.

    chDB encodes each block as a stream of its own: schema, batches, end mark. Joined, the
    schema is sent once and the end mark by `ARROW_END`.
    """
    start = 0
    if not first:
        assert block.startswith(_ARROW_MESSAGE), "an Arrow stream begins with its schema message"
        (schema_bytes,) = struct.unpack_from("<i", block, len(_ARROW_MESSAGE))
        start = 8 + schema_bytes
    return block[start : -len(_ARROW_END)] if block.endswith(_ARROW_END) else block[start:]


ARROW_END: Final = _ARROW_END
