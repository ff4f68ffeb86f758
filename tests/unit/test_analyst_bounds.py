"""An analyst is held within the same bounds by the embedded endpoint and by the grants for a server."""

import re
from pathlib import Path

from trueup.embedded.clickhouse.access import settings_for
from trueup.embedded.clickhouse.settings import GIB, EndpointLimits, EndpointUser

GRANTS = Path(__file__).parents[2] / "clickhouse" / "grants" / "analyst.sql"
PAGE = Path(__file__).parents[2] / "docs" / "analysts.md"
BOUND = re.compile(r"^    (\w+) = (\d+) MIN 1 MAX (\d+)[,;]$", re.MULTILINE)


def test_grants_and_endpoint_bound_an_analyst_alike() -> None:
    limits = EndpointLimits()
    embedded = settings_for(EndpointUser("analyst", "secret", read_only=True), {}, limits)
    embedded["max_concurrent_queries_for_user"] = str(limits.analyst_queries_at_once)
    found = BOUND.findall(GRANTS.read_text(encoding="utf-8"))
    assert {name: (default, most) for name, default, most in found} == {
        name: (bound, bound) for name, bound in embedded.items()
    }


def test_the_page_tells_the_bounds() -> None:
    limits = EndpointLimits()
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \| \d* \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows["time of a query"] == f"{limits.analyst_seconds_max} s"
    assert rows["memory of a query"] == f"{limits.analyst_memory_bytes // GIB} GiB"
    assert rows["rows of a result"] == f"{limits.analyst_result_rows_max:,}"
    assert rows["threads of a query"] == f"{limits.analyst_threads_max}"
    assert rows["bytes spilled to disk by a query"] == f"{limits.analyst_spill_bytes_max // GIB} GiB"
    waiting = f"{limits.queued_per_lane_max} wait up to {limits.queue_seconds_max} s"
    assert rows["queries at once, of all analysts"] == f"{limits.analyst_queries_at_once}, and {waiting}"
