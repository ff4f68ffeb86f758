"""Rows whose unchanged values were left out end as if they had come whole, in any batching, through repeats and crashes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.dialect import UNAVAILABLE
from tests.histories import Reading
from tests.partition_bench import Message, messages_of, order_bench, records_of
from tests.source_log import SourceLog

HALF = settings(max_examples=settings().max_examples // 2)
"""Each example opens two stores."""

STEPS = st.lists(
    st.tuples(
        st.sampled_from(("put", "put", "put", "delete")),
        st.sampled_from((1, 2)),
        st.fixed_dictionaries(
            {"status": st.sampled_from(("created", "paid", "completed"))},
            optional={"factors": st.sampled_from(("{}", '{"tier": 1}', None)), "fee_amount": st.sampled_from(("1.00", "2.00"))},
        ),
    ),
    max_size=15,
)  # fmt: skip


def without_before(message: Message, *, whole: bool) -> Message:
    """An update as a source without before-images sends it: what is long and did not change is left out unless `whole`."""
    topic, value = message
    event: dict[str, Any] = orjson.loads(value)
    if event["op"] == "u":
        before, after = event["before"], event["after"]
        if not whole and after["factors"] is not None and before["factors"] == after["factors"]:
            event["after"] = {**after, "factors": UNAVAILABLE}
        event["before"] = None
    return topic, orjson.dumps(event)


@HALF
@given(STEPS, st.data())
def test_rows_end_as_if_they_had_come_whole(steps: list[tuple[str, int, dict[str, Any]]], data: st.DataObject) -> None:
    log = SourceLog()
    for action, order, fields in steps:
        log.put("orders", order_id=order, **fields) if action == "put" else log.delete("orders", order)
    messages = messages_of(log.events)
    # Repeats come later, as after a crash of the reader; what had come before it stays before it.
    since = data.draw(st.integers(0, len(messages)))
    arrival = messages + messages[since:]
    with tempfile.TemporaryDirectory() as path:
        plain, other = order_bench(Path(path) / "plain"), order_bench(Path(path) / "other", cache_entities=1)
        try:
            Reading(data.draw).run(plain, records_of(without_before(message, whole=True) for message in messages))
            Reading(data.draw).run(other, records_of(without_before(message, whole=False) for message in arrival))
            found = [
                {identifier: {key: held[:-2] for key, held in state.books.orders.items()} for identifier, state in
                 bench.states().items()}
                for bench in (plain, other)
            ]  # fmt: skip
            assert found[0] == found[1]
            assert not other.output.quarantined_by_code
            assert not other.tables.get("quarantine")
        finally:
            plain.close()
            other.close()
