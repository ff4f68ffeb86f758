"""Every text of every page can be read in Chinese."""

from __future__ import annotations

from pathlib import Path

import pytest
from babel.messages.extract import extract

from dashboards.web.language import read_catalogue

TEMPLATES = sorted((Path(__file__).resolve().parents[2] / "dashboards" / "templates").glob("*.html"))
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_text_is_translated(template: Path) -> None:
    catalogue = read_catalogue("zh")
    with template.open("rb") as file:
        found = extract("jinja2", file, KEYWORDS, options={"extensions": "jinja2.ext.i18n"})
        texts = {message[0] if isinstance(message, tuple) else message for _, message, _, _ in found}
    assert sorted(text for text in texts if catalogue.get(text) is None) == []
