"""The lines of a file, one after the other, while its MD5 is taken; and what a channel's MD5 file says."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cdc.files.refusals import Problems

LINES_BETWEEN_REPORTS: Final = 5_000
LINE_BYTES_MAX: Final = 1024 * 1024
_MD5: Final = re.compile(r"\s*\\?([0-9A-Fa-f]{32})\b")
_BOM: Final = "\ufeff"

Progress = Callable[[int], None]
"""Told the bytes that are done, now and then."""


class TextLines:
    """Iterates over the lines of a file with their ends; what cannot be decoded becomes a problem.

    Args:
        path: of the file.
        encoding: one whose line end is the byte 0x0A.
        problems: where lines of another encoding are told.
        on_progress: told the bytes that are done.
    """

    def __init__(self, path: Path, encoding: str, problems: Problems, on_progress: Progress) -> None:
        self._path = path
        self._encoding = encoding
        self._problems = problems
        self._on_progress = on_progress
        self._digest = hashlib.md5(usedforsecurity=False)
        self.line = 0
        """The line that was given last, from 1."""

    @property
    def md5(self) -> str:
        """Of all that was read, in hex."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[str]:
        done = 0
        with self._path.open("rb") as file:
            while raw := file.readline(LINE_BYTES_MAX):
                self._digest.update(raw)
                self.line += 1
                done += len(raw)
                if self.line % LINES_BETWEEN_REPORTS == 0:
                    self._on_progress(done)
                if len(raw) == LINE_BYTES_MAX:
                    self._problems.add(self.line, f"the line is longer than {LINE_BYTES_MAX} bytes")
                try:
                    text = raw.decode(self._encoding)
                except UnicodeDecodeError:
                    self._problems.add(self.line, f"the line is no text in {self._encoding}", "see `encoding`")
                    text = raw.decode(self._encoding, errors="replace")
                yield text.removeprefix(_BOM) if self.line == 1 else text
        self._on_progress(done)


def md5_beside(path: Path, problems: Problems) -> str:
    """The MD5 that `FILE.md5` tells, as `md5sum` writes it; "" with a problem where it does not."""
    beside = path.with_name(path.name + ".md5")
    try:
        found = _MD5.match(beside.read_text(encoding="ascii", errors="replace"))
    except OSError as error:
        problems.add(0, f"the file {beside.name} with its MD5 cannot be read: {error.strerror}", "fetch it as well")
        return ""
    if found is None:
        problems.add(0, f"{beside.name} does not begin with an MD5", "fetch it again")
        return ""
    return found[1].lower()
