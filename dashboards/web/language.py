"""The languages of the pages: which one a reader wants, and the texts in it.

English texts are the keys. Every page brings its own catalogue, `dashboards/locale/<language>/<page>.po`; all of a
language are merged when the process starts, read directly from the text files.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from gettext import GNUTranslations
from importlib.resources import files
from io import BytesIO
from typing import Final, Literal, get_args

from babel.core import Locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.requests import HTTPConnection

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
NAMES: Final[dict[Language, str]] = {"en": "English", "zh": "中文"}
TAGS: Final[dict[Language, str]] = {"en": "en", "zh": "zh-Hans"}
"""What the attribute `lang` says."""

LOCALES: Final[dict[Language, Locale]] = {"en": Locale.parse("en_GB"), "zh": Locale.parse("zh_CN")}
"""Whose habits numbers follow."""

LANGUAGE_COOKIE: Final = "trueup_language"


def wanted_language(connection: HTTPConnection, preferred: str = "") -> Language:
    """The language chosen in this browser, else the account's (`preferred`), else the browser's own, else English."""
    chosen = connection.cookies.get(LANGUAGE_COOKIE, "")
    accepted = connection.headers.get("accept-language", "")
    return _known(chosen) or _known(preferred) or _accepted(accepted) or "en"


def _known(text: str) -> Language | None:
    primary = text.strip().lower().split("-")[0]
    return next((language for language in LANGUAGES if language == primary), None)


def _accepted(header: str) -> Language | None:
    """The known language of the highest weight in an `Accept-Language` header; earlier ones win ties."""
    best: tuple[float, Language] | None = None
    for part in header.split(",")[:20]:
        tag, _, weight = part.partition(";")
        language = _known(tag)
        weighed = _weight(weight)
        if language is not None and weighed > 0 and (best is None or weighed > best[0]):
            best = (weighed, language)
    return None if best is None else best[1]


def _weight(text: str) -> float:
    """The number behind `q=`; 1 where there is none, 0 where it is no number."""
    name, _, value = text.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def read_catalogue(language: Language) -> Catalog:
    """All texts of a language, merged from its files in the order of their names; the first one of a text is kept."""
    merged = Catalog(locale=LOCALES[language])
    folder = files("dashboards") / "locale" / language
    if not folder.is_dir():
        return merged
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if not file.name.endswith(".po"):
            continue
        for message in read_po(BytesIO(file.read_bytes()), locale=LOCALES[language]):
            if message.id and message.string and merged.get(message.id, message.context) is None:
                merged.add(message.id, message.string, context=message.context)
    return merged


@cache
def translations(language: Language) -> GNUTranslations:
    """The texts of a language as the templates take them; what has no translation stays English."""
    packed = BytesIO()
    write_mo(packed, read_catalogue(language))
    packed.seek(0)
    return GNUTranslations(packed)


def translator(language: Language) -> Callable[[str], str]:
    """English text → text in the language, for what Python code has to say."""
    return translations(language).gettext


def term(language: Language, kind: str, value: str) -> str:
    """A word of the domain for people, such as the standing `waive-requested`; `kind` is its context in the catalogue."""
    translated = translations(language).pgettext(kind, value)
    return translated if translated != value else value.replace("-", " ")
