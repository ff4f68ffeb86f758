"""The header of a message that was sent to every partition of its topic, because it is about all of them. Pure."""

from __future__ import annotations

from typing import Any, Final

BROADCAST_HEADER: Final = "trueup-broadcast"
BROADCAST: Final = (BROADCAST_HEADER, b"1")
"""The header, as a producer takes it."""


def is_broadcast(headers: Any) -> bool:
    """Whether the headers of a message (name and raw value, or None) say that every partition has it."""
    return any(name == BROADCAST_HEADER for name, _ in headers or ())
