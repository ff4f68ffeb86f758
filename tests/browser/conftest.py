"""One stack, one browser and one dashboard for all tests of the folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from dashboards.access.gate import open_access
from tests.browser.books import refused_message
from tests.browser.site import PATIENCE_SECONDS, Site, wait_until
from tests.e2e.rig import Rig, running_rig
from trueup.demo.run import GRACE_SECONDS
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.workload import run

CHROMIUM = "/usr/bin/chromium"
ORDERS = 500
RATE = 400.0
SEED = 7


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without a window."""
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    with sync_playwright() as playwright:
        # As root, which CI is, Chromium cannot shut its processes in.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A stack with the reference business in it, every kind of fault included."""
    with running_rig(tmp_path_factory.mktemp("site") / "stack", workers=1, dashboard=True) as rig:
        plan = WorkloadPlan(
            orders=ORDERS, seed=SEED, faults=True, traps=False, grace_seconds=GRACE_SECONDS, fault_copies=1,
            rate_per_second=RATE,
        )  # fmt: skip
        run(rig.stack.postgres.dsn(), plan)
        rig.settle()
        yield rig


@pytest.fixture(scope="session")
def site(rig: Rig, chromium: Browser) -> Iterator[Site]:
    """The dashboard of the stack, with an account for every role."""
    access = open_access(rig.settings)
    site = Site(rig, access, chromium)
    refused_message(site)
    wait_until("cases are known", lambda: site.value("SELECT count() FROM {db}.v_cases") > 0)
    yield site
    access.store.dispose()
