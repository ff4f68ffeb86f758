"""Rows of the ClickHouse table `group_wide`, built from the states of groups. Pure."""

from __future__ import annotations

from streams.group_messages import parts_of
from streams.group_state import CurrentGroup, GroupState
from streams.wide_rows import verdict_of
from trueup.model.money import scaled


def group_wide_row(
    state: GroupState, current: CurrentGroup | None, encoded: bytes, partition: int, version: int
) -> tuple[object, ...]:
    """One row of `group_wide`; `encoded` is the encoded state. Legs that no spec names any more are not counted."""
    spec, group, match = parts_of(state.group_id)
    totals: dict[tuple[str, str], list[int]] = {}
    for name, read in current.amounts.items() if current is not None else ():
        for held in state.books.legs[name].values():
            if not held.deleted:
                currency, amount_minor = read(held.row)
                total = totals.setdefault((name, currency), [0, 0])
                total[0] += 1
                total[1] += amount_minor
    # What is read must not depend on the order of arrival.
    entries = sorted(totals.items())
    open_rules = sorted({case.finding.rule for case in state.cases.values() if case.is_open})
    return (
        state.group_id, partition, state.month_days, version, spec, group, list(match),
        [leg for (leg, _), _ in entries], [currency for (_, currency), _ in entries],
        [count for _, (count, _) in entries],
        [scaled(amount, currency) if currency else 0 for (_, currency), (_, amount) in entries],
        verdict_of(judged=state.judged, open_rules=open_rules, due_us=state.due_us), open_rules, state.due_us,
        state.books.newest_us, encoded.decode(),
    )  # fmt: skip
