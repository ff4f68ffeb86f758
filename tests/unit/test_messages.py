"""Messages say everything about a discrepancy, a partial and a statement's totals."""

from __future__ import annotations

import orjson
import pytest

from reconcile.finding import Evidence, Finding
from reconcile.lifecycle import Case, discrepancy_id
from reconcile.settlement import shipped_settlement
from streams.messages import (
    CaseStep,
    PartialMessage,
    TopicNames,
    decode_partials_topic,
    delta_minor,
    discrepancy_message,
    encode_partial_message,
    latency_us,
)
from trueup.model.errors import InvalidRecord
from trueup.model.registers import ItemTotal, Partial, PartialVersion

FINDING = Finding(
    "wrong-billing-amount", "order", 7, 100, "", 800, 801, "USD", 9, 1, "a detail",
    (Evidence("orders", "src", 7, 11, 90, 2, 5),),
)  # fmt: skip
CASE = Case(FINDING, "open", 1, 150, 150, None, 100, 120)
TOPICS = TopicNames("public")
PARTIAL = Partial(PartialVersion(4, 3), {("USD", "paid"): ItemTotal(1, 10**30)}, {}, (), 9)


def test_a_discrepancy_tells_its_whole_state() -> None:
    topic, key, value = discrepancy_message(CaseStep(CASE, 7, 0), PartialVersion(4, 3), TOPICS)
    told = orjson.loads(value)
    assert topic == "discrepancy.wrong-amount"
    assert key.decode() == told["discrepancy_id"] == discrepancy_id(CASE.key, 7)
    assert (told["rule"], told["rule_version"], told["status"]) == (
        "wrong-billing-amount",
        shipped_settlement().version,
        "open",
    )
    assert (told["expected"], told["actual"], told["delta"], told["currency"]) == ("8.00", "8.01", "0.01", "USD")
    assert (told["entity_id"], told["order_id"], told["statement_id"]) == ("7", "7", "1")
    assert told["evidence"] == [
        {"table": "orders", "source": "src", "primary_key": "7", "topic": "src.public.orders", "partition": 2,
         "offset": 5, "version": 11, "commit_us": 90},
    ]  # fmt: skip
    assert told["latency_ms"] == 0.05


def test_amounts_are_left_out_where_a_rule_compares_none() -> None:
    bare = CASE._replace(finding=FINDING._replace(rule="stuck", expected_minor=None, actual_minor=None, currency=""))
    topic, _key, value = discrepancy_message(CaseStep(bare, 7, 0), PartialVersion(4, 3), TOPICS)
    told = orjson.loads(value)
    assert topic == "discrepancy.mismatch"
    assert (told["expected"], told["actual"], told["delta"]) == (None, None, None)
    assert delta_minor(bare) is None


def test_latency_counts_from_when_it_could_be_known_and_not_for_resolutions() -> None:
    assert latency_us(CASE) == 50
    assert latency_us(CASE._replace(source_commit_us=10**9)) == 0
    assert latency_us(CASE._replace(status="auto-resolved")) is None


def test_a_partial_of_a_statement_is_keyed_and_one_of_strays_is_not() -> None:
    key, value = encode_partial_message(1, None, 3, PARTIAL)
    assert key == b'{"statement_id":1}'
    assert decode_partials_topic(value) == PartialMessage(1, None, 3, PARTIAL)
    key, value = encode_partial_message(None, "p", 3, PARTIAL)
    assert key is None
    assert decode_partials_topic(value) == PartialMessage(None, "p", 3, PARTIAL)


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"no", b"[]", b"7", b"null", b"{}", b'{"watermarks":[]}', b'{"watermarks":{"x":1}}',
        b'{"watermarks":{"1":"x"}}', b'[1,null,0]', b'[1,null,0,[]]', b'[1.5,null,0,[[1,1],[],[],[],1]]',
        b'[[1],null,0,[[1,1],[],[],[],1]]', b'[1,null,"0",[[1,1],[],[],[],1]]', b'[1,null,0,[[1],[],[],[],1]]',
        b'[1,null,0,[[1,1],[[1]],[],[],1]]', b" " + b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_partial_is_refused(value: bytes | None) -> None:
    with pytest.raises(InvalidRecord) as refused:
        decode_partials_topic(value)
    assert refused.value.code == "malformed-partial"
