"""What a window writes to the mirrors: of each row the newest version that came, whatever the order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clickhouse.columns import mirror_row
from streams.messages import TopicNames
from streams.output import Output, keep_newest
from trueup.model.change import Change
from trueup.model.tables import PAYOUT_ITEM


def output() -> Output:
    return Output("orders", lambda *_args, **_named: None, TopicNames("settlement"), lambda: 1)


def change(line: int, version: int, amount_minor: int = 100, source: str = "shop", offset: int = 0) -> Change:
    row = (line, 7, 70, 700, amount_minor, "USD")
    return Change(PAYOUT_ITEM, source, 70, line, version, 1_000 + version, False, row, (), 0, offset)


def written(held: Output, changes: list[Change]) -> list[tuple[object, ...]]:
    for one in changes:
        keep_newest(held.mirror(one.table.name), one)
    return held.take_rows({}).get("payout_item", [])


def test_a_row_that_changes_twice_in_a_window_is_written_once() -> None:
    newest = change(1, 12, amount_minor=300)
    assert written(output(), [change(1, 10), newest, change(1, 11)]) == [mirror_row(newest)]


def test_rows_of_two_sources_are_two_rows() -> None:
    ours, theirs = change(1, 10), change(1, 5, source="branch")
    assert written(output(), [ours, theirs]) == [mirror_row(ours), mirror_row(theirs)]


def test_a_replayed_version_is_written_as_it_came_last() -> None:
    again = change(1, 10, offset=8)
    assert written(output(), [change(1, 10, offset=3), again]) == [mirror_row(again)]


def test_the_next_window_begins_empty() -> None:
    held = output()
    assert held.is_empty()
    keep_newest(held.mirror("payout_item"), change(1, 10))
    assert not held.is_empty()
    assert len(held.take_rows({})["payout_item"]) == 1
    assert held.is_empty()
    assert written(held, [change(1, 9)]) == [mirror_row(change(1, 9))]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 30)), max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(keys: list[tuple[int, int]], chance: object) -> None:
    changes = [change(line, version, amount_minor=version) for line, version in keys]
    shuffled = list(changes)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    newest = {one.primary_key: one for one in sorted(changes, key=lambda one: one.version)}
    assert sorted(written(output(), shuffled)) == sorted(map(mirror_row, newest.values()))
