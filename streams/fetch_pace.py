"""When the consumer asks the broker for more: few requests while little comes, at once for what comes after a silence.

aiokafka sends the next fetch as soon as one is answered, and gives all of them the same time to wait. Records that trickle
in on many partitions then cost a fetch each, and a fetch costs the broker the same work for every partition in it.
"""

from __future__ import annotations

import time
from typing import Any, Final

PAUSE_SECONDS: Final = 0.025
"""From one fetch to the next of the same broker: what comes meanwhile comes together."""

WHOLE_FETCH_WAIT_MS_MAX: Final = 500
"""How long the broker may hold a fetch that misses no partition: the first record of any of them ends the wait."""


def pace_fetches(fetcher: Any) -> None:
    """Let an aiokafka `Fetcher` pause between fetches, and wait for long where nothing is missed by it."""
    plan_actions = fetcher._get_actions_per_node
    # What is left behind for its turn must not keep the others from being fetched.
    fetcher._prefetch_backoff = 0.0
    sent_at: dict[int, float] = {}

    def plan(assignment: Any) -> Any:
        (requests, awaiting_reset, timeout, invalid_metadata, resume_futures) = plan_actions(assignment)
        now = time.monotonic()
        whole = not (fetcher._records or awaiting_reset or invalid_metadata or resume_futures)
        due = []
        for node, request in requests:
            pause = sent_at.get(node, 0.0) + PAUSE_SECONDS - now
            if pause > 0:
                timeout = min(timeout, pause)
                continue
            sent_at[node] = now
            if whole:
                request._max_wait_ms = WHOLE_FETCH_WAIT_MS_MAX
            due.append((node, request))
        return due, awaiting_reset, timeout, invalid_metadata, resume_futures

    fetcher._get_actions_per_node = plan
