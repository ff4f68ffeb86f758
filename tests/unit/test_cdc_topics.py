"""The plan of the topics, and the log positions of Postgres."""

from __future__ import annotations

import pytest

from cdc.replication import lsn_of, read_keepalive, unavailable
from cdc.topics import source_topic, topic_plan
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.model.tables import ORDER_TABLES, TABLES


def test_a_source_topic_is_named_like_debezium_names_it() -> None:
    assert source_topic("settlement", "public", "orders") == "settlement.public.orders"


def test_what_is_joined_has_one_partition_count_and_is_never_compacted() -> None:
    plan = {spec.name: spec for spec in topic_plan(["a", "b"], "public", 12).topics}
    joined = [source_topic(source, "public", table.name) for source in "ab" for table in ORDER_TABLES]
    joined.append("trueup.statement-partials")
    assert {plan[name].partitions for name in joined} == {12}
    assert {plan[name].config["cleanup.policy"] for name in joined} == {"delete"}
    assert len([name for name in plan if name.startswith(("a.", "b."))]) == 2 * len(TABLES)


def test_state_is_compacted_and_heartbeats_are_short_lived() -> None:
    plan = {spec.name: spec for spec in topic_plan(["a"], "public", 8).topics}
    compacted = sorted(name for name, spec in plan.items() if spec.config["cleanup.policy"] == "compact")
    assert compacted == [
        "discrepancy.mismatch",
        "discrepancy.one-sided",
        "discrepancy.wrong-amount",
        "trueup.cdc-state",
        "trueup.statement-totals",
    ]
    assert plan["trueup.heartbeat"].partitions == 1
    assert plan["trueup.heartbeat"].config["retention.ms"] == "3600000"


def test_changes_can_be_kept_for_ever() -> None:
    plan = topic_plan(["a"], "public", 8, source_retention_seconds=-1)
    assert plan.topics[0].config["retention.ms"] == "-1"


@pytest.mark.parametrize(
    ("text", "lsn"), [("0/0", 0), ("16/B374D848", 0x16_B374_D848), ("FFFFFFFF/FFFFFFFF", 2**64 - 1)]
)
def test_positions(text: str, lsn: int) -> None:
    assert lsn_of(text) == lsn


def test_a_keepalive() -> None:
    message = b"k" + (7).to_bytes(8) + (1).to_bytes(8) + b"\1"
    assert read_keepalive(message) == (7, True)


def test_a_refusal_is_no_outage() -> None:
    refused = unavailable('FATAL:  password authentication failed for user "x"\n', "host:1")
    assert isinstance(refused, ConfigurationError)
    assert isinstance(unavailable("connection refused", "host:1"), UnavailableError)
