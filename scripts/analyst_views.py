"""Write the reference of views and columns into docs/analysts.md, from their definitions."""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_ROOT))

from clickhouse.views import VIEWS  # noqa: E402 - found only once the path is set

PAGE = _ROOT / "docs" / "analysts.md"
BEGIN = "<!-- views: written by python scripts/analyst_views.py -->\n"
END = "<!-- end of views -->"


def reference() -> str:
    """A section for each view, with a table of its columns."""
    sections = []
    for view in VIEWS:
        rows = "".join(
            f"| `{one.name}` | `{one.type}` | {one.comment.replace('|', chr(92) + '|')} |\n" for one in view.columns
        )
        sections.append(
            f"### `{view.name}`\n\n{view.comment[0].upper()}{view.comment[1:]}.\n\n| column | type | meaning |\n|---|---|---|\n{rows}\n"
        )
    return "\n" + "".join(sections)


def written(page: str) -> str:
    """The page with the reference between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + reference() + END + after


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
