"""Opening a partition with other rules ends where these rules would have ended, and tells the difference alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.settlement import SettlementRules
from reconcile.spec.load import read_spec
from reconcile.spec.model import Spec
from streams.order_partition import OrderPartition
from tests.histories import Step, happened, steps
from tests.partition_bench import TOLERANCES, Bench, messages_of, open_cases, order_bench, records_of
from tests.rule_versions import TEXT, edited, rules_of
from tests.source_log import FAR_US
from trueup.checking.impact import Impact, candidates, outcomes

HALF = settings(max_examples=settings().max_examples // 2)


class Version(NamedTuple):
    spec: Spec
    rules: SettlementRules


def version_of(text: str) -> Version:
    return Version(read_spec(text, file="settlement.toml"), rules_of(text))


VERSIONS = (
    version_of(TEXT),
    version_of(edited(2, tolerance="1.00")),
    version_of(edited(3, without=("missing-billing", "duplicate-billing", "orphan-payout"))),
    version_of(edited(4, without=("wrong-billing-amount",), tolerance="100 %")),
)


def opened(bench: Bench[OrderPartition]) -> dict[object, object]:
    return {key: open_cases(state.cases.values()) for key, state in bench.states().items()}


def judged(directory: Path, rules: SettlementRules, what: list[Step]) -> tuple[dict[object, object], list[bytes]]:
    """The open cases by order, and the states as ClickHouse holds them."""
    bench = order_bench(directory, rules=rules)
    try:
        bench.partition.process(records_of(messages_of(happened(what).events)))
        bench.settle_all(FAR_US)
        return opened(bench), [state.encode() for state in bench.states().values()]
    finally:
        bench.close()


@HALF
@given(steps("orders", "billing_item", "payout_item"), st.sampled_from(VERSIONS), st.sampled_from(VERSIONS))
def test_other_rules_end_where_they_would_have_ended_and_where_it_was_said_before(
    what: list[Step], old: Version, new: Version
) -> None:
    first, second = old.rules, new.rules
    with tempfile.TemporaryDirectory() as folder:
        before, encoded = judged(Path(folder, "kept"), first, what)
        fresh, _ = judged(Path(folder, "fresh"), second, what)
        bench = order_bench(Path(folder, "kept"), rules=second)
        try:
            bench.partition.advance(FAR_US + 1)
            bench.settle_all(FAR_US + 2)
            after = opened(bench)
            keys = {
                (one["rule"], one["entity_kind"], one["entity_id"])
                for one in (orjson.loads(sent.value or b"{}") for sent in bench.sent)
            }
        finally:
            bench.close()
    assert after == fresh
    assert keys == foretold(new.spec, encoded)
    assert keys == {key for owner in before for key in difference(before[owner], after[owner])}


def foretold(spec: Spec, encoded: list[bytes]) -> set[tuple[str, str, str]]:
    """The cases that are not left as they are, by what `trueup check --impact` says."""
    judge = next(one.judge for one in candidates(spec, TOLERANCES, is_settlement=True) if one.stage == "orders")
    impact = Impact()
    keys = []
    for one in encoded:
        state, findings = judge(one)
        impact.take((state, findings), FAR_US)
        keys += [
            (case.finding.rule, case.finding.entity_kind, str(case.finding.entity_id))
            for outcome, case in outcomes(state.cases, findings, state.books.newest_us, FAR_US)
            if outcome != "stays"
        ]
    moved = sum(tally.count for (_, outcome), tally in impact.tallies.items() if outcome != "stays")
    assert (moved, impact.states, impact.pending) == (len(keys), len(encoded), 0)
    return set(keys)


def difference(before: object, after: object) -> set[tuple[str, str, str]]:
    """The cases that are open on one side alone, as messages name them."""
    assert isinstance(before, set)
    assert isinstance(after, set)
    return {(rule, kind, str(identifier)) for (rule, kind, identifier), *_ in before ^ after}
