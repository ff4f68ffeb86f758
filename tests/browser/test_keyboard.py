"""Everything can be reached and done without a mouse."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.books import wrong_orders
from tests.browser.places import address_of
from tests.browser.site import PASSWORD, Site, at_rest

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

# Where the focus is among the controls that can be seen, in their order; -1 where nothing has it.
_WHERE = """() => {
  const controls = [...document.querySelectorAll(
    'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')]
    .filter((each) => !each.disabled && each.checkVisibility({visibilityProperty: true}));
  return [controls.indexOf(document.activeElement), controls.length, document.activeElement === document.body];
}"""
# No news: neither ticks nor rows that are put in, for which the page's own end closes the stream.
_STAND_STILL = """() => {
  dispatchEvent(new Event("pagehide"));
  for (const kind of ["live:tick", "live:pulse", "live:reload"])
    addEventListener(kind, (event) => event.stopImmediatePropagation(), true);
}"""
_IN_FOCUS = "() => ['href', 'aria-label'].map((name) => document.activeElement.getAttribute(name))"
PARTS_OF_A_FIELD = 60
"""Further stops of the focus: within a date, and in boxes that can be scrolled."""


def stops(page: Page) -> tuple[list[int], int]:
    """The controls that Tab comes to, each once where it stays in one, and how many there are."""
    # A page that was asked for before its figures were counted asks for them itself a little later.
    while page.locator('[hx-trigger*="load delay"]').count():
        page.reload()
    page.evaluate(_STAND_STILL)
    at_rest(page)
    count = page.evaluate(_WHERE)[1]
    found: list[int] = []
    for _ in range(count + PARTS_OF_A_FIELD):
        page.keyboard.press("Tab")
        place, count, is_outside = page.evaluate(_WHERE)
        if is_outside and found:
            break
        if place >= 0 and found[-1:] != [place]:
            found.append(place)
    return found, count


@pytest.mark.parametrize(
    "name", ["overview", "discrepancies", "case", "statement", "refused message", "account", "users"]
)
def test_tab_comes_to_every_control_in_order(site: Site, name: str) -> None:
    with site.visit("adam") as visit:
        found, count = stops(visit.open(address_of(site, name)))
        assert found == list(range(count))


@pytest.mark.parametrize("control", ["[data-live-rows] a", '[data-keep-open] [tabindex="0"]', "[data-keep-open] a"])
def test_the_focus_stays_where_it_is_when_figures_come_anew(site: Site, control: str) -> None:
    with site.visit("vera") as visit:
        page = visit.open("/")
        page.locator(control).locator("visible=true").first.focus()
        held = page.evaluate(_IN_FOCUS)
        assert any(held)
        page.evaluate("() => { document.activeElement.isOld = true; }")
        page.evaluate("() => document.body.dispatchEvent(new CustomEvent('live:reload', {bubbles: true}))")
        page.wait_for_function(
            "(control) => ![...document.querySelectorAll(control)].some((each) => each.isOld)", arg=control
        )
        at_rest(page)
        assert page.evaluate(_IN_FOCUS) == held


def test_the_first_stop_leads_to_the_content(site: Site) -> None:
    with site.visit("vera") as visit:
        page = visit.open("/sellers")
        page.keyboard.press("Tab")
        expect(page.locator("a.skip")).to_be_focused()
        expect(page.locator("a.skip")).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()


def test_forms_are_sent_by_enter(site: Site) -> None:
    (wrong,) = wrong_orders(site)
    with site.visit() as visit:
        page = visit.open("/discrepancies")
        expect(page.get_by_label("Login")).to_be_focused()
        page.keyboard.type("vera")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{site.address}/discrepancies")
        page.locator("#search").focus()
        page.keyboard.type(str(wrong.order))
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{site.address}/orders/{wrong.order}")


def test_a_discrepancy_is_acknowledged_by_keys_alone(site: Site) -> None:
    (wrong,) = wrong_orders(site)
    with site.visit("olga") as visit:
        page = visit.open(wrong.list_path)
        _come_to(page, f"#case-{wrong.discrepancy} input")
        page.keyboard.press("Space")
        _come_to(page, "button[value=acknowledge]", "Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#decided .mark-good")).to_have_count(1)
    site.wait_for_standing(wrong.discrepancy, "acknowledged")


def _come_to(page: Page, selector: str, key: str = "Tab") -> None:
    page.evaluate(_STAND_STILL)
    for _ in range(300):
        page.keyboard.press(key)
        reached: Any = page.evaluate("(selector) => document.activeElement.matches(selector)", selector)
        if reached:
            return
    raise AssertionError(f"{key} never comes to {selector}")
