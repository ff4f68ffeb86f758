"""Orders, statements, refused messages and the health of the stack, as somebody follows them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.books import commit_order, open_statement, refused_message, wrong_orders
from tests.browser.site import Site, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]


def test_an_order_tells_each_step(site: Site) -> None:
    (wrong,) = wrong_orders(site)
    with site.visit("vera") as visit:
        page = visit.open("/orders")
        page.get_by_label("Number of an order").fill(str(wrong.order))
        page.locator("main").get_by_role("button", name="Find").click()
        expect(page).to_have_url(f"{site.address}/orders/{wrong.order}")
        expect(page.locator(".steps-body")).to_contain_text("insert billing_item")
        expect(page.locator("main")).to_contain_text("130.00")


def test_the_box_above_finds_a_discrepancy_by_its_first_digits(site: Site) -> None:
    (wrong,) = wrong_orders(site)
    with site.visit("vera") as visit:
        page = visit.open("/")
        page.locator("#search").fill(wrong.discrepancy[:12])
        page.locator(".search button").click()
        expect(page).to_have_url(f"{site.address}/discrepancies/{wrong.discrepancy}")


def test_a_statement_grows_on_its_open_page(site: Site) -> None:
    statement, seller = open_statement(site)
    commit_order(site, seller=seller, gross="10", billed="10", statement=statement)
    known = f"SELECT running_count FROM {{db}}.v_statements WHERE statement_id = '{statement}'"
    wait_until("the statement is known", lambda: site.rig.query(known) == [(1,)])
    with site.visit("vera") as visit:
        page = visit.open(f"/statements/{statement}")
        page.evaluate("globalThis.isTheSamePage = true")
        total = page.locator("#totals .tile").nth(1)
        expect(total).to_contain_text("10.00")
        commit_order(site, seller=seller, gross="7.50", billed="7.50", statement=statement)
        expect(total).to_contain_text("17.50")
        expect(page.locator("#growth .chart canvas")).to_be_visible()
        assert page.evaluate("globalThis.isTheSamePage")


def test_a_refused_message_is_corrected_tried_and_replayed(site: Site) -> None:
    address = refused_message(site)
    with site.visit("olga") as visit:
        page = visit.open(address)
        expect(page.locator("main")).to_contain_text("shopId")
        page.locator("#do-1").select_option("rename")
        page.locator("#field-1").fill("shopId")
        page.locator("#new-1").fill("shop_id")
        page.get_by_role("button", name="Try").click()
        expect(page.locator("#tried .mark-good")).to_have_text("accepted")
        page.get_by_label("Why").fill("renamed upstream")
        page.get_by_role("button", name="Replay").click()
        expect(page.locator("main .mark-good")).to_have_text("sent")
        visit.open(address)
        expect(page.locator("main")).to_contain_text("renamed upstream")
        expect(page.locator("main")).to_contain_text("olga")


def test_a_viewer_may_look_at_refused_messages_only(site: Site) -> None:
    with site.visit("vera") as visit:
        page = visit.open(refused_message(site))
        expect(page.get_by_role("button", name="Try")).to_be_visible()
        expect(page.get_by_role("button", name="Replay")).to_have_count(0)


def test_health_names_every_process(site: Site) -> None:
    with site.visit("vera") as visit:
        page = visit.open("/health")
        for name in ("postgres", "kafka", "clickhouse", "cdc", "worker-1", "dashboard"):
            expect(page.get_by_role("rowheader", name=name).first).to_be_visible()
