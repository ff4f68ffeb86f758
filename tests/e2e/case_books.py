"""What must hold of cases at rest: they say what the judges say, and every chain of the audit log is whole."""

from __future__ import annotations

import time

from clickhouse.client import connect
from tests.e2e.rig import Rig
from trueup.audit import verify_audit

AGREE_SECONDS = 180.0
POLL_SECONDS = 0.5

_APART = """
SELECT discrepancy_id, found.status, told.status, found.occurrences, told.occurrences, found.delta, told.delta
FROM (SELECT * FROM {db}.discrepancy FINAL) AS found
FULL OUTER JOIN (SELECT * FROM {db}.case_wide FINAL) AS told USING (discrepancy_id)
WHERE (found.status, found.occurrences, found.expected, found.actual, found.currency)
    IS DISTINCT FROM (told.status, told.occurrences, told.expected, told.actual, told.currency)
ORDER BY discrepancy_id
"""


def faults_of_cases(rig: Rig) -> list[str]:
    """Everything that is wrong, in words; cases follow the judges a moment later, which is waited for."""
    deadline = time.monotonic() + AGREE_SECONDS
    while (apart := rig.query(_APART)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    client = connect(rig.settings.clickhouse)
    try:
        broken = [report.broken for report in verify_audit(rig.settings, client) if report.broken]
    finally:
        client.close()
    return [f"case apart (judges, cases): {row}" for row in apart] + [f"audit chain: {one}" for one in broken]
