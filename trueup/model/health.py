"""What a process says about the services and shares that it needs."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """One thing that a process needs to do its work.

    Args:
        ready: whether it has it now.
        error: the last error in words, also one that is over; "" when there was none.
    """

    ready: bool
    error: str = ""
