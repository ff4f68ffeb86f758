"""Working through the list of discrepancies, and deciding on one and on many."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.books import WrongOrder, wrong_orders
from tests.browser.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

ROWS = 50


def choose(page: Page, chosen: list[WrongOrder], kind: str) -> None:
    """Mark rows of the open list, and ask for a decision on them."""
    for wrong in chosen:
        page.locator(f"#case-{wrong.discrepancy} input").check()
    page.locator(f"button[name=kind][value={kind}]").click()


def decide(page: Page, kind: str, **fields: str) -> None:
    """Give a decision on the page of a discrepancy."""
    form = page.locator(".decision").filter(has=page.locator(f"input[name=kind][value={kind}]"))
    form.locator("summary").click()
    for name, text in fields.items():
        form.locator(f"[name={name}]").fill(text)
    form.locator("button[type=submit]").click()
    # The row says why, where it was not applied.
    expect(page.locator("#decided tbody tr")).to_contain_text("applied")


def saved_filters(page: Page) -> Locator:
    """What opens the filters that were kept."""
    return page.locator("details.filters summary", has_text="Saved filters")


def differences(page: Page) -> list[Decimal]:
    values = page.locator("#cases td[data-label=Difference] data").evaluate_all("all => all.map(each => each.value)")
    return [Decimal(value) for value in values]


def test_a_filter_narrows_the_list_and_is_taken_away(site: Site) -> None:
    (wrong, _) = wrong_orders(site, 2)
    with site.visit("vera") as visit:
        page = visit.open(wrong.list_path)
        expect(page.locator("#cases tr")).to_have_count(2)
        page.locator("details.filters summary").first.click()
        page.get_by_label("Amount from").fill("30.01")
        page.get_by_label("Amount from").press("Enter")
        expect(page.locator("caption").first).to_have_text("No discrepancy fits the filter.")
        page.locator(".chips a", has_text="30.01").click()
        expect(page.locator("#cases tr")).to_have_count(2)
        page.locator(".tabs a", has_text="Acknowledged").click()
        expect(page.locator("#cases tr")).to_have_count(0)


def test_the_list_is_sorted_by_amount(site: Site) -> None:
    with site.visit("vera") as visit:
        page = visit.open("/discrepancies?currency=USD&standing=all")
        page.get_by_role("columnheader", name="Difference").get_by_role("link").click()
        expect(page).to_have_url(re.compile("sort=amount"))
        page.wait_for_load_state()
        found = [abs(amount) for amount in differences(page)]
        assert len(found) > 1
        assert found == sorted(found, reverse=True)


def test_pages_of_the_list_go_on_and_back(site: Site) -> None:
    wrong = wrong_orders(site, ROWS + 3)
    with site.visit("vera") as visit:
        page = visit.open(wrong[0].list_path)
        first = page.locator("#cases tr").evaluate_all("all => all.map(each => each.id)")
        page.get_by_role("link", name="Next").click()
        expect(page.locator("#cases tr")).to_have_count(3)
        rest = page.locator("#cases tr").evaluate_all("all => all.map(each => each.id)")
        assert {*first, *rest} == {f"case-{each.discrepancy}" for each in wrong}
        page.get_by_role("link", name="Back").click()
        expect(page.locator("#cases tr")).to_have_count(ROWS)


def test_a_filter_is_kept_and_removed(site: Site) -> None:
    with site.visit("olga") as visit:
        page = visit.open("/discrepancies?currency=EUR&sort=age")
        saved_filters(page).click()
        page.get_by_label("Keep this filter as").fill("old euros")
        page.get_by_role("button", name="Keep").click()
        saved_filters(visit.open("/discrepancies")).click()
        page.get_by_role("link", name="old euros").click()
        expect(page).to_have_url(f"{site.address}/discrepancies?currency=EUR&sort=age")
        saved_filters(page).click()
        page.get_by_role("button", name="Remove the filter old euros").click()
        saved_filters(page).click()
        expect(page.get_by_role("link", name="old euros")).to_have_count(0)


def test_many_are_acknowledged_then_assigned(site: Site) -> None:
    wrong = wrong_orders(site, 3)
    with site.visit("olga") as visit:
        page = visit.open(wrong[0].list_path)
        choose(page, wrong[:2], "acknowledge")
        expect(page.locator("#decided .mark-good")).to_have_count(2)
        site.wait_for_standing(wrong[0].discrepancy, "acknowledged")
        assert site.standing(wrong[2].discrepancy) == "open"
        visit.open(wrong[0].list_path)
        page.get_by_label("All that match the filter").check()
        page.locator("button[name=kind][value=assign]").click()
        page.get_by_label("To whom").fill("oscar")
        page.locator("form.decide button[type=submit]").click()
        expect(page.locator("#decided .mark-good")).to_have_count(3)
    site.wait_for_standing(wrong[2].discrepancy, "assigned")


def test_a_small_waiver_holds_and_a_large_one_takes_a_second_person(site: Site) -> None:
    (small,) = wrong_orders(site)
    (large,) = wrong_orders(site, billed="900")
    with site.visit("olga") as visit:
        for wrong in (small, large):
            page = visit.open(wrong.list_path)
            choose(page, [wrong], "waive")
            page.get_by_label("Note").fill("agreed with the seller")
            page.locator("form.decide button[type=submit]").click()
            expect(page.locator("#decided .mark-good")).to_have_count(1)
        site.wait_for_standing(small.discrepancy, "waived")
        site.wait_for_standing(large.discrepancy, "waive-requested")
        visit.open(f"/discrepancies/{large.discrepancy}")
        expect(visit.page.locator("input[name=kind][value=approve]")).to_have_count(0)
    with site.visit("anna") as visit:
        decide(visit.open(f"/discrepancies/{large.discrepancy}"), "approve")
    site.wait_for_standing(large.discrepancy, "waived")


def test_one_is_commented_snoozed_resolved_and_reopened(site: Site) -> None:
    (wrong,) = wrong_orders(site)
    path = f"/discrepancies/{wrong.discrepancy}"
    with site.visit("olga") as visit:
        page = visit.open(path)
        decide(page, "comment", note="asked the seller <b>twice</b>")
        for kind, fields, standing in (
            ("snooze", {"until": "2d"}, "snoozed"),
            ("resolve", {"note": "paid by hand"}, "resolved"),
            ("reopen", {}, "open"),
        ):
            decide(visit.open(path), kind, **fields)
            site.wait_for_standing(wrong.discrepancy, standing)
        visit.open(path)
        expect(page.locator("main")).to_contain_text("asked the seller <b>twice</b>")
        expect(page.locator("main")).to_contain_text("Chain verified")


def test_the_case_page_tells_both_sides_and_gives_its_sql(site: Site) -> None:
    (wrong,) = wrong_orders(site)
    with site.visit("vera") as visit:
        visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = visit.open(f"/discrepancies/{wrong.discrepancy}")
        values = page.locator(".tile data").evaluate_all("all => all.map(each => each.value)")
        assert [Decimal(value) for value in values[:3]] == [100, 130, 30]
        expect(page.locator(".leg")).to_have_count(2)
        expect(page.locator("form[action$=decide]")).to_have_count(0)
        behind = page.locator("details.sql").first
        behind.locator("summary").click()
        behind.get_by_role("button", name="Copy").click()
        expect(behind.get_by_role("button")).to_have_text("Copied")
        assert "SELECT" in page.evaluate("navigator.clipboard.readText()")
        page.get_by_role("link", name="Run it now").first.click()
        expect(page.locator("#reproduced-0")).to_contain_text("row")
