"""The assignment of partition numbers: complete, balanced, co-partitioned, and moved as little as possible."""

from __future__ import annotations

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from hypothesis import given
from hypothesis import strategies as st

from streams.assignor import Claim, NumberAssignor, spread

CLAIMS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.builds(Claim, st.integers(-1, 5), st.frozensets(st.integers(-2, 20), max_size=16)),
    min_size=1,
    max_size=8,
)


class Cluster:
    """Partition counts, as the client's metadata gives them."""

    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self._counts[topic])) if topic in self._counts else None


class Group:
    """Members that join and leave a group; each keeps its assignor, as a consumer does."""

    def __init__(self, counts: dict[str, int]) -> None:
        self._cluster = Cluster(counts)
        self.members: dict[str, tuple[NumberAssignor, list[str]]] = {}

    def join(self, member: str, topics: list[str]) -> None:
        self.members[member] = (NumberAssignor(), topics)

    def rebalance(self) -> dict[str, set[tuple[str, int]]]:
        metadata = {
            member: ConsumerProtocolMemberMetadata.decode(assignor.metadata(topics).encode())
            for member, (assignor, topics) in self.members.items()
        }
        leader, _ = next(iter(self.members.values()))
        held = {}
        for member, assignment in leader.assign(self._cluster, metadata).items():
            decoded = ConsumerProtocolMemberAssignment.decode(assignment.encode())
            self.members[member][0].on_assignment(decoded)
            held[member] = {(partition.topic, partition.partition) for partition in decoded.partitions()}
        return held


@given(CLAIMS, st.integers(0, 16))
def test_every_number_has_one_owner_and_loads_differ_by_at_most_one(claims: dict[str, Claim], count: int) -> None:
    owned = spread(claims, count)
    assert sorted(number for numbers in owned.values() for number in numbers) == list(range(count))
    assert max(map(len, owned.values())) - min(map(len, owned.values())) <= 1


@given(CLAIMS, st.integers(0, 16))
def test_a_balanced_assignment_stays(claims: dict[str, Claim], count: int) -> None:
    owned = spread(claims, count)
    again = {member: Claim(7, frozenset(numbers)) for member, numbers in owned.items()}
    assert spread(again, count) == owned


@given(CLAIMS, st.integers(1, 16))
def test_a_newcomer_takes_only_its_share(claims: dict[str, Claim], count: int) -> None:
    before = spread(claims, count)
    joined = {member: Claim(7, frozenset(numbers)) for member, numbers in before.items()}
    after = spread({**joined, "new": Claim(-1, frozenset())}, count)
    moved = [number for member, numbers in after.items() for number in numbers if number not in before.get(member, [])]
    assert sorted(moved) == after["new"]


def test_the_later_generation_keeps_a_number_that_two_claim() -> None:
    claims = {"cut-off": Claim(3, frozenset({0, 1})), "present": Claim(4, frozenset({1, 2}))}
    assert spread(claims, 4) == {"cut-off": [0, 3], "present": [1, 2]}


def test_three_workers_hold_the_same_numbers_of_all_topics() -> None:
    topics = ["orders", "items", "payouts"]
    group = Group(dict.fromkeys(topics, 8))
    for name in "abc":
        group.join(name, topics)
    held = group.rebalance()
    numbers = {member: {number for _, number in partitions} for member, partitions in held.items()}
    assert sorted(map(len, numbers.values())) == [2, 3, 3]
    assert all(held[member] == {(topic, n) for topic in topics for n in numbers[member]} for member in held)
    assert sorted(n for mine in numbers.values() for n in mine) == list(range(8))


def test_one_three_one() -> None:
    group = Group({"orders": 8, "items": 8})
    group.join("a", ["orders", "items"])
    everything = group.rebalance()["a"]
    assert len(everything) == 16
    group.join("b", ["orders", "items"])
    group.join("c", ["orders", "items"])
    three = group.rebalance()
    assert three["a"] <= everything
    assert group.rebalance() == three
    del group.members["a"], group.members["b"]
    assert group.rebalance() == {"c": everything}


def test_a_missing_topic_waits() -> None:
    group = Group({"orders": 2})
    group.join("a", ["orders", "later"])
    assert group.rebalance() == {"a": {("orders", 0), ("orders", 1)}}


def test_a_worker_of_an_older_release_is_not_given_topics_it_does_not_know() -> None:
    group = Group({"orders": 2, "new": 2})
    group.join("old", ["orders"])
    group.join("young", ["orders", "new"])
    held = group.rebalance()
    assert held["old"] == {("orders", 0)}
    assert held["young"] == {("orders", 1), ("new", 1)}
