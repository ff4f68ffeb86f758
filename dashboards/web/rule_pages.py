"""The pages of docs/rules as the dashboard shows them: the text of a rule, and the queries that reproduce what it finds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from clickhouse.query import Query

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_FOLDERS: Final = (_PACKAGE / "rules", _PACKAGE.parent / "docs" / "rules")
"""Where the wheel has the pages, and where a checkout has them."""

_RULE: Final = re.compile(r"[a-z][a-z0-9-]{0,60}")
_SQL: Final = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DATABASE: Final = re.compile(r"\btrueup\.(?=v_)")
"""The database as the pages write it."""


class RulePage(NamedTuple):
    """A rule's page: its text as HTML, which is ours and safe, and its SQL; `{id:String}` in it is the entity."""

    html: str
    texts: tuple[str, ...]

    def queries(self, database: str, entity_id: str) -> list[Query]:
        """The SQL of the page about one entity."""
        return [Query(_DATABASE.sub(f"{database}.", text.strip()), {"id": entity_id}) for text in self.texts]


@cache
def rule_page(rule: str) -> RulePage | None:
    """The page of a rule; None for a rule of a user's own spec, which has none."""
    if _RULE.fullmatch(rule) is None:
        return None
    path = next((folder / f"{rule}.md" for folder in _FOLDERS if (folder / f"{rule}.md").is_file()), None)
    if path is None:
        return None
    text = path.read_text(encoding="utf-8")
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for token in tokens:
        _lead_to_pages(token.children or ())
    html = str(parser.renderer.render(tokens, parser.options, {}))
    # A box that scrolls must be reachable by keys.
    return RulePage(html.replace("<pre>", '<pre tabindex="0">'), tuple(_SQL.findall(text)))


def _lead_to_pages(tokens: Iterable[Token]) -> None:
    """Links between the pages lead to the dashboard's own; to what it does not have, no link leads."""
    leads = True
    for token in tokens:
        if token.type == "link_open":
            name = str(token.attrs.get("href", "")).removesuffix(".md")
            leads = _RULE.fullmatch(name) is not None
            token.attrs = {"href": f"/rules/{name}"} if leads else {}
        if token.type in {"link_open", "link_close"} and not leads:
            token.tag = "span"
