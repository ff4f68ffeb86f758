"""Every page in both languages, on wide and narrow screens, light and dark: whole, quiet, and open to everybody."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.places import PAGES, address_of
from tests.browser.site import NARROW, WIDE, Site, Theme, at_rest

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

AXE = Path(__file__).resolve().parents[2] / "dashboards/frontend/node_modules/axe-core/axe.min.js"
GRAVE = ("serious", "critical")
CHINESE = re.compile("[一-鿿]")


@cache
def axe_source() -> str:
    return AXE.read_text(encoding="utf-8")


def accessibility_faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with the elements that have it."""
    page.evaluate(axe_source())
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {node['html'][:160]} ({node['failureSummary'][:300]})"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"][:3]
    ]


def scrolls_sideways(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole(site: Site, name: str, language: str) -> None:
    width = WIDE if language == "en" else NARROW
    with site.visit("adam", language=language, width=width) as visit:
        page = visit.open(address_of(site, name))
        at_rest(page)
        assert bool(CHINESE.search(page.locator("nav.pages").inner_text())) == (language == "zh")
        assert page.locator("main h1").count() == 1
        assert page.locator("main .fault").count() == 0
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            assert accessibility_faults(page) == [], theme
        for other in (WIDE, NARROW):
            page.set_viewport_size({"width": other, "height": 900})
            assert not scrolls_sideways(page), f"at {other} px"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_sign_in_is_whole(site: Site, theme: Theme) -> None:
    with site.visit(width=NARROW, theme=theme) as visit:
        page = visit.open("/")
        assert page.locator("h1").inner_text() == "Sign in"
        assert accessibility_faults(page) == []
        assert not scrolls_sideways(page)


def test_what_is_not_there_is_told(site: Site) -> None:
    with site.visit("vera") as visit:
        visit.allowed.append("status of 40[34]")
        assert visit.open("/sellers/nobody").locator(".fault-what").is_visible()
        assert visit.open("/users").locator(".fault-what").is_visible()
        assert accessibility_faults(visit.page) == []
