"""Pages from templates.

To add a page `sellers`:

1. `dashboards/pages/sellers.py` with `router = APIRouter()` and routes that return `render(request, "sellers.html", …)`.
   A route that asks ClickHouse is a plain `def`, gets what it needs by `board: BoardDep`, and the account by a guard of
   `dashboards/web/guard.py`. Name the router in `dashboards/app.py`, the page in `NAVIGATION` below.
2. `dashboards/templates/sellers.html`: `{% extends "base.html" %}`, `{% from "macros.html" import page_head, money %}`,
   `{% block title %}` and `{% block content %}`. What htmx fetches alone is a template of its own, named with a leading
   underscore (`_seller_rows.html`), which the page includes. No inline script or style: the policy forbids both.
3. `dashboards/locale/zh/sellers.po`: `{{ _("Sellers") }}` in a template has the English text as its key. Values go in by
   name, `_("%(count)s sellers", count=…)`; a bare `%` is written `%%`.

Beside what `render` is given, templates have: `request`, `page` (the entry of NAVIGATION that the address belongs to),
`account` (None before the sign-in; `account.may("operator")` asks for a role), `csrf` (the token) and `csrf_field` (the hidden input that every form with
`method="post"` holds), `language`, `theme`, `asset(name)`, `term(kind, value)`, `say(text)` (translates a text that
is only known while running) and the functions that macros.html uses.
Scripts of ours react to attributes: `data-chart` (charts), `data-live-rows` (rows from `/live`), `data-copy`; htmx hears
`live:pulse` and `live:reload` on the body: `hx-trigger="live:pulse from:body"`. See `dashboards/frontend/src/`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import HTTPConnection, Request

from dashboards.web import figures
from dashboards.web.assets import asset
from dashboards.web.language import NAMES, TAGS, Language, term, translations, wanted_language

THEME_COOKIE: Final = "trueup_theme"
THEMES: Final = ("system", "light", "dark")
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "X-CSRF-Token"


class Place(NamedTuple):
    """An entry of the navigation; `title` is the English text, `path` where the page and those below it live."""

    title: str
    path: str


def _text(text: str) -> str:
    """Marks a text for translation where no reader's language is known yet."""
    return text


NAVIGATION: Final = (
    Place(_text("Overview"), "/"),
    Place(_text("Discrepancies"), "/discrepancies"),
    Place(_text("Statements"), "/statements"),
    Place(_text("Payouts"), "/payouts"),
    Place(_text("Sellers"), "/sellers"),
    Place(_text("Orders"), "/orders"),
    Place(_text("Quarantine"), "/quarantine"),
    Place(_text("Health"), "/health"),
)


@cache
def environment(language: Language) -> Environment:
    """The templates in a language; everything that depends on it alone is there without being passed."""
    made = Environment(
        loader=PackageLoader("dashboards", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]  # by the extension
    made.globals.update(
        {
            "language": language,
            "language_tag": TAGS[language],
            "language_names": NAMES,
            "navigation": NAVIGATION,
            "themes": THEMES,
            "asset": asset,
            "say": translations(language).gettext,
            "term": lambda kind, value: term(language, kind, value),
            "count_text": lambda number: figures.count_text(number, language),
            "amount_text": lambda amount, currency: figures.amount_text(amount, currency, language),
            "moment_text": figures.moment_text,
            "moment_tag": figures.moment_tag,
        }
    )
    return made


def render(request: Request, template: str, /, *, status_code: int = 200, **values: Any) -> HTMLResponse:
    """The template in the reader's language and theme, as an answer.

    Args:
        request: what is answered; its `state` has `account` and `csrf` once a guard has looked at it.
        template: a file of `dashboards/templates`.
        status_code: of the answer.
        values: what the template shows.
    """
    language = language_of(request)
    text = environment(language).get_template(template).render(_shared(request) | values)
    # A page holds what this account may see in this language: nobody on the way may keep it.
    return HTMLResponse(text, status_code, {"Cache-Control": "no-store", "Content-Language": TAGS[language]})


def language_of(connection: HTTPConnection) -> Language:
    """The language to answer in."""
    return wanted_language(connection, getattr(getattr(connection.state, "account", None), "language", ""))


def render_text(language: Language, template: str, **values: Any) -> str:
    """A template that stands alone, without a request: such as the row of a finding that is pushed to an open page."""
    return environment(language).get_template(template).render(values)


def has_template(language: Language, template: str) -> bool:
    """Whether there is such a template."""
    loader = environment(language).loader
    return loader is not None and template in loader.list_templates()


def _shared(request: Request) -> dict[str, Any]:
    theme = request.cookies.get(THEME_COOKIE, "system")
    csrf = getattr(request.state, "csrf", "")
    return {
        "request": request,
        "page": place_of(request.url.path),
        "account": getattr(request.state, "account", None),
        "csrf": csrf,
        "csrf_field": Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, csrf),
        "theme": theme if theme in THEMES else "system",
    }


def place_of(path: str) -> Place | None:
    """The entry of the navigation that an address belongs to."""
    return next(
        (
            place
            for place in NAVIGATION
            if path == place.path or (place.path != "/" and path.startswith(place.path + "/"))
        ),
        None,
    )
