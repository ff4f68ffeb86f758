"""An analyst is held within the same bounds by the embedded endpoint and by the grants for a server."""

import re
from pathlib import Path

from trueup.embedded.clickhouse.access import settings_for
from trueup.embedded.clickhouse.settings import EndpointLimits, EndpointUser

GRANTS = Path(__file__).parents[2] / "clickhouse" / "grants" / "analyst.sql"
BOUND = re.compile(r"^    (\w+) = (\d+) MIN 1 MAX (\d+)[,;]$", re.MULTILINE)


def test_grants_and_endpoint_bound_an_analyst_alike() -> None:
    limits = EndpointLimits()
    embedded = settings_for(EndpointUser("analyst", "secret", read_only=True), {}, limits)
    embedded["max_concurrent_queries_for_user"] = str(limits.analyst_queries_at_once)
    found = BOUND.findall(GRANTS.read_text(encoding="utf-8"))
    assert {name: (default, most) for name, default, most in found} == {
        name: (bound, bound) for name, bound in embedded.items()
    }
