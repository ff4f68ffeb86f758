"""The pictures that the README shows."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHOWN = re.compile(r'<img[^>]*\bsrc="([^"]+)"|!\[[^\]]*\]\(([^)\s]+)\)')
BYTES_MAX = 200_000
PICTURES_MAX = 6
PNG = b"\x89PNG\r\n\x1a\n"


def shown() -> set[Path]:
    found = SHOWN.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return {ROOT / (tag or mark) for tag, mark in found}


def test_each_picture_is_there_and_small() -> None:
    assert shown()
    for path in shown():
        assert path.read_bytes().startswith(PNG), path
        assert path.stat().st_size < BYTES_MAX, path


def test_no_picture_is_kept_for_nothing() -> None:
    kept = set((ROOT / "docs/images").glob("*"))
    assert kept == shown()
    assert len(kept) <= PICTURES_MAX
