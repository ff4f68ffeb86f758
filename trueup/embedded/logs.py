"""Log files of child processes: appended to by the child itself, bounded in size, readable at the end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LOG_BYTES_MAX = 8 * 1024 * 1024
TAIL_BYTES_MAX = 16 * 1024
TAIL_LINES = 20


def open_log(path: Path) -> int:
    """A descriptor that appends to the file, for a child's output; readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def rotate(path: Path, bytes_max: int = LOG_BYTES_MAX) -> bool:
    """Copy a log that outgrew its bound to `<name>.1` and empty it; tells whether it did.

    The child keeps its descriptor: it appends, so it goes on at the new beginning. A line written between
    copy and truncation is lost, which is the price of a child that never blocks on its supervisor.
    """
    try:
        if path.stat().st_size <= bytes_max:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    path.with_name(path.name + ".1").chmod(0o600)
    os.truncate(path, 0)
    return True


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log; "" when there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - TAIL_BYTES_MAX))
            return "\n".join(log.read().decode("utf-8", "replace").rstrip().splitlines()[-lines:])
    except FileNotFoundError:
        return ""
