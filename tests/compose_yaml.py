"""Reads the plain part of YAML that our deployment files are written in: blocks, flow lists, quotes, anchors and merges.

Every scalar stays a text, as a container gets it. What is not of this part fails loudly.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_CODE = re.compile(r"""(?:"(?:\\.|[^"\\])*"|[^"#]|(?<=\S)#)*""")
_PAIR = re.compile(r"([^\s:\"\[]+):(?: +(.*))?")
_PART = re.compile(r"""\s*("(?:\\.|[^"\\])*"|[^",\[\]]+)\s*(?:,|$)""")


class _Line(NamedTuple):
    indent: int
    text: str


class _Reader:
    def __init__(self, text: str) -> None:
        codes = [found[0].rstrip() for line in text.splitlines() if (found := _CODE.match(line)) is not None]
        self.lines = [_Line(len(code) - len(code.lstrip()), code.lstrip()) for code in codes if code]
        self.anchors: dict[str, Any] = {}

    def block(self) -> Any:
        indent = self.lines[0].indent
        return self.items(indent) if self.lines[0].text.startswith("- ") else self.mapping(indent)

    def items(self, indent: int) -> list[Any]:
        found = []
        while self.lines and self.lines[0].indent == indent and self.lines[0].text.startswith("- "):
            text = self.lines[0].text.removeprefix("- ")
            if _PAIR.fullmatch(text):
                self.lines[0] = _Line(indent + 2, text)
                found.append(self.mapping(indent + 2))
            else:
                del self.lines[0]
                found.append(self.value(text, indent))
        return found

    def mapping(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.lines and self.lines[0].indent == indent and not self.lines[0].text.startswith("- "):
            pair = _PAIR.fullmatch(self.lines.pop(0).text)
            assert pair is not None
            value = self.value(pair[2] or "", indent)
            if pair[1] == "<<":
                merged = value if isinstance(value, list) else [value]
                found = {key: held for each in reversed([found, *merged]) for key, held in each.items()}
            else:
                found[pair[1]] = value
        return found

    def value(self, text: str, indent: int) -> Any:
        if text.startswith("&"):
            name, _, rest = text[1:].partition(" ")
            self.anchors[name] = self.value(rest, indent)
            return self.anchors[name]
        if not text:
            return self.block() if self.lines and self.lines[0].indent > indent else None
        if text.startswith("["):
            assert text.endswith("]")
            inner = text[1:-1]
            return [self.scalar(part) for part in _PART.findall(inner)] if inner.strip() else []
        return self.scalar(text)

    def scalar(self, text: str) -> Any:
        text = text.strip()
        if text.startswith("*"):
            return self.anchors[text[1:]]
        assert text[0] not in "{|>'!", text
        return json.loads(text) if text.startswith('"') else text


def read_yaml(text: str) -> Any:
    """The document: dicts, lists and texts; None where a key has no value."""
    reader = _Reader(text)
    document = reader.block()
    assert not reader.lines, reader.lines[0]
    return document
