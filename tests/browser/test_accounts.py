"""Signing in and out, the accounts of others, and tokens."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.site import PASSWORD, Site
from trueup.dashboard_wiring import sign_in_address

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

UNAUTHORIZED = 401


def sign_in(page: Page, login: str, password: str = PASSWORD) -> None:
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_one_time_link_signs_in_once(site: Site) -> None:
    link = sign_in_address(site.rig.settings)
    with site.visit() as visit:
        visit.page.goto(link)
        expect(visit.page.locator(".menu summary")).to_contain_text("admin")
    with site.visit() as visit:
        visit.allowed.append("status of 401")
        visit.page.goto(link)
        expect(visit.page.locator(".fault-what")).to_contain_text("used already")


def test_a_password_leads_to_the_page_that_was_wanted(site: Site) -> None:
    with site.visit() as visit:
        visit.allowed.append("status of 401")
        page = visit.open("/sellers?after=")
        sign_in(page, "vera", "not her password")
        expect(page.locator(".fault-what")).to_have_text("Login and password do not fit.")
        expect(page.get_by_label("Login")).to_have_value("vera")
        sign_in(page, "vera")
        expect(page).to_have_url(re.compile("/sellers"))
        page.locator(".menu summary").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("h1")).to_have_text("Sign in")
        assert "/sign-in" in visit.open("/").url


def test_language_and_colours_are_kept(site: Site) -> None:
    with site.visit("vera") as visit:
        page = visit.open("/statements?status=open")
        page.get_by_role("link", name="中文").click()
        expect(page).to_have_url(f"{site.address}/statements?status=open")
        expect(page.locator("h1")).to_have_text(re.compile("[一-鿿]"))
        page.locator("nav.themes a[href*=dark]").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        page.get_by_role("link", name="English").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        expect(page.locator("h1")).to_have_text("Statements")


def test_an_admin_adds_changes_and_disables_an_account(site: Site) -> None:
    with site.visit("adam") as admin, site.visit() as visit:
        # What the open page of a disabled account asks for by itself is refused.
        visit.allowed.append("status of 401")
        page = admin.open("/users")
        page.get_by_label("Login").fill("nora")
        page.get_by_label("First password").fill(PASSWORD)
        page.get_by_role("button", name="Add").click()
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=re.compile("^nora")))
        expect(row).to_have_count(1)
        row.get_by_role("combobox").select_option("operator")
        row.get_by_role("button", name="Change").click()
        expect(row.get_by_role("combobox")).to_have_value("operator")
        newcomer = visit.open("/")
        sign_in(newcomer, "nora")
        expect(newcomer.locator(".menu summary")).to_contain_text("nora")
        row.get_by_role("button", name="Disable").click()
        expect(row).to_contain_text("disabled")
        assert "/sign-in" in visit.open("/sellers").url
        log = admin.open("/actions")
        expect(log.locator("tbody")).to_contain_text("nora")


def test_a_token_opens_the_api_until_it_is_removed(site: Site) -> None:
    with site.visit("olga") as visit:
        page = visit.open("/account")
        page.get_by_label("What it is for").fill("nightly list")
        page.get_by_role("button", name="Make a token").click()
        token = page.locator(".said code").inner_text()
        ask = {"url": f"{site.address}/api/v1/discrepancies?limit=3", "headers": {"Authorization": f"Bearer {token}"}}
        answer = httpx.get(**ask, timeout=30)  # type: ignore[arg-type]  # two kinds of values in one dictionary
        assert answer.status_code == httpx.codes.OK, answer.text
        assert len(answer.json()["rows"]) == 3
        page.get_by_role("button", name="Remove nightly list").click()
        expect(page.locator("main")).not_to_contain_text("nightly list")
        assert httpx.get(**ask, timeout=30).status_code == UNAUTHORIZED  # type: ignore[arg-type]
