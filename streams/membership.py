"""The name of a worker in its consumer groups, kept beside its states: it outlives the process.

A group waits for a dead member until its session ends before it gives anyone partitions again. A worker that comes back
under the name of the dead one takes its partitions over at once, and the other workers never stop.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Final

NAME_FILE: Final = "member"


def member_name(directory: Path, topics: Iterable[str]) -> str:
    """The name of the worker whose states are in this directory, which only one process may hold at a time.

    It changes with the topics: a member that comes back is given what it had, not what a new release reads besides.

    Args:
        directory: exists; a worker that lost it is a new member.
        topics: all that the worker reads in the group.
    """
    path = directory / NAME_FILE
    try:
        kept = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        kept = ""
    # A crash while the file was written leaves it empty.
    if not kept:
        kept = uuid.uuid4().hex
        path.write_text(kept, encoding="ascii")
    digest = hashlib.sha256("\n".join(sorted(topics)).encode()).hexdigest()
    return f"{kept}-{digest[:8]}"
