"""Bytes of a message as a person reads them. Pure."""

from __future__ import annotations

import json
from typing import Final

TEXT_CHARS_MAX: Final = 20_000
HEX_BYTES_MAX: Final = 4_096
_LINE_BYTES: Final = 16


def text_lines(content: bytes) -> str:
    """The text, indented where it is JSON; bytes that are no UTF-8 as escapes. Cut at `TEXT_CHARS_MAX`."""
    try:
        # A lone surrogate, which JSON can escape, is no text that a page can carry.
        text = json.dumps(json.loads(content), ensure_ascii=False, indent=2).encode(errors="backslashreplace").decode()
    except (ValueError, RecursionError):
        text = content.decode(errors="backslashreplace")
    return text if len(text) <= TEXT_CHARS_MAX else text[:TEXT_CHARS_MAX] + "…"


def hex_lines(content: bytes) -> str:
    """Offsets, bytes and printable ASCII, as hexdump shows them. Cut at `HEX_BYTES_MAX`."""
    lines = []
    for at in range(0, min(len(content), HEX_BYTES_MAX), _LINE_BYTES):
        part = content[at : at + _LINE_BYTES]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{at:06x}  {part.hex(' '):<{_LINE_BYTES * 3}} {plain}")
    return "\n".join([*lines, "…"] if len(content) > HEX_BYTES_MAX else lines)
