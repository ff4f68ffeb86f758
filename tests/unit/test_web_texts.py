"""Every text of every page can be read in Chinese."""

from __future__ import annotations

import re
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
    translated = {text: str(message.string) for text in texts if (message := catalogue.get(text)) is not None}
    assert texts - translated.keys() == set()
    assert [text for text, chinese in translated.items() if values_in(text) != values_in(chinese)] == []


def values_in(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)s", text))
