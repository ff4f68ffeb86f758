"""Assigns partition numbers to workers: one owner per number over all topics, balanced, and moved as little as possible.

Faust uses its own co-partitioning assignor only where it has tables, and round robin otherwise, which tears the legs of
an order apart. Here a member owns partition *numbers*; partition p of every topic goes to the owner of p.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

import orjson
import structlog
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

log = structlog.get_logger()


class Claim(NamedTuple):
    """The numbers that a member held last, and the generation of the group in which it got them."""

    generation: int
    numbers: frozenset[int]


def spread(claims: Mapping[str, Claim], count: int) -> dict[str, list[int]]:
    """Give every partition number below `count` to exactly one member.

    Members differ by at most one number, keep what they claim as far as balance allows, and where two claim the same
    number (one of them was cut off for a while) the later generation wins.

    Returns:
        member → numbers, ascending.
    """
    kept: dict[str, list[int]] = {member: [] for member in claims}
    taken: set[int] = set()
    for member in sorted(claims, key=lambda name: (-claims[name].generation, name)):
        mine = sorted(number for number in claims[member].numbers - taken if 0 <= number < count)
        kept[member] = mine
        taken.update(mine)
    quota = _quotas(kept, count)
    for member, mine in kept.items():
        del mine[quota[member] :]
    taken = {number for mine in kept.values() for number in mine}
    free = iter(sorted(set(range(count)) - taken))
    for member in sorted(kept):
        kept[member].extend(islice(free, quota[member] - len(kept[member])))
    return {member: sorted(mine) for member, mine in kept.items()}


def _quotas(kept: Mapping[str, list[int]], count: int) -> dict[str, int]:
    """How many numbers each member gets; those that hold most already get the one more that is left over."""
    least, more = divmod(count, len(kept))
    by_holding = sorted(kept, key=lambda member: (-len(kept[member]), member))
    return {member: least + (rank < more) for rank, member in enumerate(by_holding)}


class NumberAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """The group protocol around `spread`. Lives in the consumer's thread; one instance per consumer."""

    name = "trueup-numbers"
    version = 1

    def __init__(self) -> None:
        self._claim = Claim(-1, frozenset())

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member tells the leader when it joins: its topics and what it held."""
        claim = {"generation": self._claim.generation, "numbers": sorted(self._claim.numbers)}
        return ConsumerProtocolMemberMetadata(self.version, sorted(topics), orjson.dumps(claim))

    def assign(
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Run by the group's leader: the assignment of every member."""
        claims = {member: _decode_claim(metadata.user_data) for member, metadata in members.items()}
        topics = sorted({topic for metadata in members.values() for topic in metadata.subscription})
        partitions = {topic: cluster.partitions_for_topic(topic) or set() for topic in topics}
        for topic in (topic for topic in topics if not partitions[topic]):
            log.warning("topic is missing; it is not consumed until it exists", topic=topic)
        owned = spread(claims, max((max(numbers) + 1 for numbers in partitions.values() if numbers), default=0))
        # One more than any member has seen, so that claims can be told apart by age.
        generation = max(claim.generation for claim in claims.values()) + 1
        return {
            member: ConsumerProtocolMemberAssignment(
                self.version,
                [
                    (topic, mine)
                    for topic in topics
                    # A worker of an older release does not know every topic. Nobody else may take its share of the
                    # others, so those partitions wait until all workers run the new release.
                    if topic in members[member].subscription
                    and (mine := [number for number in owned[member] if number in partitions[topic]])
                ],
                orjson.dumps({"generation": generation, "numbers": owned[member]}),
            )
            for member in members
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Remember what was given, to claim it in the next round."""
        self._claim = _decode_claim(assignment.user_data)


def _decode_claim(user_data: bytes) -> Claim:
    document = orjson.loads(user_data)
    return Claim(document["generation"], frozenset(document["numbers"]))
