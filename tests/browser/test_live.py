"""Pages that stay open: what is new comes by itself, a session ends, the connection breaks and comes back."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.browser.books import RULE, commit_order
from tests.browser.places import address_of
from tests.browser.site import PASSWORD, PATIENCE_SECONDS, Site

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

PUSHED_WITHIN_SECONDS = 20.0
ONE_TICK_MS = 6_000
BROKEN = ("net::ERR_", "Failed to fetch", "network error", "status of 401")


@pytest.mark.parametrize("path", ["/", "/discrepancies?class=wrong-amount"])
def test_a_new_discrepancy_appears_by_itself(site: Site, path: str) -> None:
    with site.visit("olga") as visit:
        page = visit.open(path)
        page.evaluate("globalThis.isTheSamePage = true")
        with page.expect_event(
            "requestfinished", lambda request: "/overview/" in request.url or "/tabs" in request.url
        ):
            order = commit_order(site, seller=9, gross="100", billed="175")
        row = page.locator("[data-live-rows] tr", has_text=f"order {order}")
        expect(row).to_be_visible()
        seen_us = time.time_ns() // 1000
        # A row that came with a message is completed by the next reading of the list.
        expect(row).to_contain_text("75.00")
        # … and a reading that came too early must not have taken it away.
        page.wait_for_timeout(ONE_TICK_MS)
        expect(row).to_be_visible()
        assert page.evaluate("globalThis.isTheSamePage")
    detected_us = site.value(
        f"SELECT toUnixTimestamp64Micro(detected_at) FROM {{db}}.v_discrepancies "
        f"WHERE rule = '{RULE}' AND entity_id = '{order}'"
    )
    assert (seen_us - detected_us) / 1e6 < PUSHED_WITHIN_SECONDS


def test_what_is_read_stays_as_it_is_while_figures_come_anew(site: Site) -> None:
    with site.visit("vera") as visit:
        page = visit.open("/")
        behind = page.locator(".tile details.sql").first
        behind.locator("summary").click()
        with page.expect_event("requestfinished", lambda request: "/overview/tiles" in request.url):
            expect(behind.locator("pre")).to_be_visible()
        page.wait_for_timeout(500)
        expect(behind.locator("pre")).to_be_visible()
        expect(behind.locator("summary")).to_be_focused()


def test_an_ended_session_leads_to_the_sign_in_and_back(site: Site) -> None:
    with site.visit("oscar") as visit:
        visit.allowed += BROKEN
        page = visit.open("/sellers")
        site.end_sessions("oscar")
        page.get_by_role("link", name="Payouts").click()
        expect(page.locator("h1")).to_have_text("Sign in")
        page.get_by_label("Login").fill("oscar")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{site.address}/payouts")


def test_an_open_page_leads_to_the_sign_in_by_itself(site: Site) -> None:
    with site.visit("oscar") as visit:
        visit.allowed += BROKEN
        address = address_of(site, "statement")
        page = visit.open(address)
        site.end_sessions("oscar")
        expect(page.locator("h1")).to_have_text("Sign in")
        page.get_by_label("Login").fill("oscar")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(site.address + address)


def test_a_lost_connection_is_told_until_it_is_back(site: Site) -> None:
    with site.visit("vera") as visit:
        visit.allowed += (*BROKEN, "htmx:sendError", "htmx:afterRequest")
        page = visit.open("/")
        expect(page.locator("#connection")).to_be_hidden()
        page.context.set_offline(True)
        expect(page.locator("#connection")).to_be_visible()
        page.context.set_offline(False)
        expect(page.locator("#connection")).to_be_hidden()
        assert not page.locator("#notice .fault").count()


def test_a_page_outlives_the_dashboard(site: Site) -> None:
    rig = site.rig
    with site.visit("vera") as visit:
        # What asks by the clock while the server is dead is refused: htmx has words of its own for that.
        visit.allowed += (*BROKEN, "status of 50", "htmx:sendError", "htmx:afterRequest")
        page = visit.open("/")
        page.evaluate("globalThis.isTheSamePage = true")
        (before,) = rig.states("dashboard")
        rig.supervisor.kill("dashboard")
        expect(page.locator("#connection")).to_be_visible()
        rig.wait_restarted(before)
        expect(page.locator("#connection")).to_be_hidden(timeout=PATIENCE_SECONDS * 1000)
        with page.expect_response(lambda answer: "/overview/tiles" in answer.url and answer.ok):
            pass
        assert page.evaluate("globalThis.isTheSamePage")
