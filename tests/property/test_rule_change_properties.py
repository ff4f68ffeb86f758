"""Opening a partition with other rules ends where these rules would have ended, and tells the difference alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import orjson
from hypothesis import given
from hypothesis import strategies as st

from reconcile.settlement import SettlementRules
from streams.order_partition import OrderPartition
from tests.histories import Step, happened, steps
from tests.partition_bench import RULES, Bench, messages_of, open_cases, order_bench, records_of
from tests.rule_versions import edited, rules_of
from tests.source_log import FAR_US

VERSIONS = (
    RULES,
    rules_of(edited(2, tolerance="1.00")),
    rules_of(edited(3, without=("missing-billing", "duplicate-billing", "orphan-payout"))),
    rules_of(edited(4, without=("wrong-billing-amount",), tolerance="100 %")),
)


def opened(bench: Bench[OrderPartition]) -> dict[object, object]:
    return {key: open_cases(state.cases.values()) for key, state in bench.states().items()}


def judged(directory: Path, rules: SettlementRules, what: list[Step]) -> dict[object, object]:
    bench = order_bench(directory, rules=rules)
    try:
        bench.partition.process(records_of(messages_of(happened(what).events)))
        bench.settle_all(FAR_US)
        return opened(bench)
    finally:
        bench.close()


@given(steps("orders", "billing_item", "payout_item"), st.sampled_from(VERSIONS), st.sampled_from(VERSIONS))
def test_other_rules_end_where_they_would_have_ended(
    what: list[Step], first: SettlementRules, second: SettlementRules
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        before = judged(Path(folder, "kept"), first, what)
        fresh = judged(Path(folder, "fresh"), second, what)
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
    assert keys == {key for owner in before for key in difference(before[owner], after[owner])}


def difference(before: object, after: object) -> set[tuple[str, str, str]]:
    """The cases that are open on one side alone, as messages name them."""
    assert isinstance(before, set)
    assert isinstance(after, set)
    return {(rule, kind, str(identifier)) for (rule, kind, identifier), *_ in before ^ after}
