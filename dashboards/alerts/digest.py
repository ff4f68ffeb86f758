"""A digest: many alerts of one channel in one message, with counts, sums by currency and the most urgent ones. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from dashboards.alerts.notice import Notice
from dashboards.alerts.vocabulary import RESOLVED
from reconcile.cases.policy import SEVERITIES
from trueup.model.money import to_text

TOP_COUNT: Final = 5
RULES_SHOWN: Final = 10


class Member(NamedTuple):
    """One alert that goes into a digest: its kind, and what it would have told."""

    kind: str
    notice: Notice


class Digest(NamedTuple):
    """Counts of the kinds of alert and, of what was raised, by rule; sums by currency as decimal text; the most urgent."""

    kinds: dict[str, int]
    rules: dict[str, int]
    more_rules: int
    sums: dict[str, str]
    top: list[Notice]
    from_us: int
    until_us: int

    def document(self) -> dict[str, Any]:
        """The digest as JSON values."""
        return {**self._asdict(), "top": [notice._asdict() for notice in self.top]}

    @classmethod
    def of(cls, held: dict[str, Any]) -> Digest:
        """The digest in a JSON object that `document` made."""
        return cls(**{**held, "top": [Notice.of(notice) for notice in held["top"]]})


def digest_of(members: Iterable[Member]) -> Digest:
    """The digest of at least one alert; each is looked at once, so that there may be many.

    Sums and rules count what disagrees (raised and reminders, each discrepancy once), not what was resolved.
    """
    kinds: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    counted: set[tuple[str, int]] = set()
    top: list[tuple[tuple[int, int, str], Notice]] = []
    from_us: int | None = None
    until_us: int | None = None
    for kind, notice in members:
        kinds[kind] += 1
        from_us = notice.detected_us if from_us is None else min(from_us, notice.detected_us)
        until_us = notice.detected_us if until_us is None else max(until_us, notice.detected_us)
        mark = (notice.discrepancy_id, notice.occurrence)
        if kind == RESOLVED or mark in counted:
            continue
        counted.add(mark)
        rules[notice.rule] += 1
        if notice.stake_minor is not None and notice.currency:
            sums[notice.currency] += notice.stake_minor
        item = ((SEVERITIES.index(notice.severity), notice.stake_minor or 0, notice.discrepancy_id), notice)
        (heapq.heappushpop if len(top) >= TOP_COUNT else heapq.heappush)(top, item)
    shown = dict(sorted(rules.items(), key=lambda pair: (-pair[1], pair[0]))[:RULES_SHOWN])
    return Digest(
        dict(sorted(kinds.items())),
        shown,
        len(rules) - len(shown),
        {currency: to_text(total, currency) or "" for currency, total in sorted(sums.items())},
        [notice for _, notice in sorted(top, reverse=True)],
        from_us or 0,
        until_us or 0,
    )


def told_count(digest: Digest) -> int:
    """How many alerts the digest stands for."""
    return sum(digest.kinds.values())
