"""The pages of docs/rules as tests read them."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "rules"
INDEX = FOLDER / "README.md"
PAGES = {path.stem: path for path in sorted(FOLDER.glob("*.md")) if path != INDEX}
"""Rule → its page."""

_SQL = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def queries_of(page: Path) -> list[str]:
    """The SQL blocks of a page, in their order."""
    return _SQL.findall(page.read_text(encoding="utf-8"))


def section_of(page: Path, title: str) -> str:
    """The text below a heading of the second level, up to the next one."""
    text = page.read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
