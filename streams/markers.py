"""Markers: how far a stage is, told to every partition of the topic that the next stage reads, behind the messages themselves."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from streams.output import Sender
from streams.stage import StagePartition

MarkerT = TypeVar("MarkerT")


class MarkerSender(Generic[MarkerT]):
    """Sends the markers of this worker's partitions of one stage whenever they have changed.

    A marker goes back when a partition is opened anew: what it computes again is older than what it once sent.

    Args:
        marker_of: the marker of a partition; None while it has none.
        encode: partition → marker as the value of a message.
    """

    def __init__(
        self,
        send: Sender,
        topic: str,
        partition_count: int,
        marker_of: Callable[[StagePartition], MarkerT | None],
        encode: Callable[[dict[int, MarkerT]], bytes],
    ) -> None:
        self._send = send
        self._topic = topic
        self._partition_count = partition_count
        self._marker_of = marker_of
        self._encode = encode
        self._sent: dict[int, MarkerT] = {}

    def __call__(self, partitions: Collection[StagePartition]) -> None:
        """Send what has changed to every partition of the topic."""
        moved: dict[int, MarkerT] = {}
        for partition in partitions:
            marker = self._marker_of(partition)
            if marker is not None and marker != self._sent.get(partition.number):
                moved[partition.number] = marker
        if moved:
            self._sent.update(moved)
            value = self._encode(moved)
            for number in range(self._partition_count):
                self._send(self._topic, None, value, number)
