"""Stage *legs* for one partition: every row of a table that a user's spec names goes to the group of its match key.

It keeps no state: a row version is sent as often as it is read, and registers take it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from cdc.decode import ChangeDecoder
from reconcile.spec.model import Leg, Move, SpecGroup
from reconcile.steps import leads_to
from streams.aftermath import Said
from streams.batch import Record
from streams.completion import refusal
from streams.group_messages import (
    LEGS_TOPIC,
    LegMarkers,
    LegMessage,
    LegTruncation,
    definitions_of,
    encode_leg_message,
    encode_leg_truncation,
    encode_markers,
    group_id_of,
    shape_of,
)
from streams.markers import MarkerSender
from streams.mirror_partition import NoStore
from streams.output import Output, Sender
from streams.partition import WATERMARK_WRITTEN_EVERY_US, Snapshot
from streams.store import Meta
from trueup.model.change import Change, Decoded, Incomplete, Truncation
from trueup.model.errors import InvalidRecord
from trueup.model.registers import Register
from trueup.model.tables import Table


class Route(NamedTuple):
    """One leg that the rows of a topic serve."""

    group: SpecGroup
    leg: Leg
    shape: str
    decoder: ChangeDecoder


Routes = dict[str, list[Route]]
"""Topic → the legs that it serves."""


def routes_of(
    groups: Iterable[SpecGroup],
    topic_of: Mapping[str, str],
    decoder_of: Callable[[str, Table], ChangeDecoder] = lambda _, table: ChangeDecoder(table),
) -> Routes:
    """The routes of all legs; `topic_of` is source table as specs name it → topic; `decoder_of` decodes the
    messages of a topic.

    Moves of the match key are told as well: they tell which group a row has left. Legs that read a table alike share a
    decoder, so that a row is decoded once for them.
    """
    routes: Routes = {}
    decoders: dict[object, ChangeDecoder] = {}
    for group in groups:
        for leg in group.legs:
            table = leg.table._replace(tracked=tuple(dict.fromkeys((*leg.table.tracked, *leg.match))))
            topic = topic_of[leg.source_table]
            decoder = decoders.setdefault((topic, table), decoder_of(topic, table))
            routes.setdefault(topic, []).append(Route(group, leg, shape_of(leg), decoder))
    return routes


class LegPartition:
    """One partition of the topics of all legs."""

    def __init__(
        self, number: int, ends: Mapping[str, int], routes: Routes, output: Output, *, partition_count: int
    ) -> None:
        self.number = number
        self._partition_count = partition_count
        self.ends = dict(ends)
        self.watermark_us = 0
        self.written_us = 0
        self.store = NoStore()
        self._routes = routes
        self._output = output
        self._last_ends = dict(ends)
        self._last_watermark_us = 0

    def process(self, records: Iterable[Record]) -> None:
        """Send on every row, or quarantine it."""
        for record in records:
            if record.offset < self.ends.get(record.topic, 0):
                continue
            self.ends[record.topic] = record.offset + 1
            self._output.changes += 1
            refusal = self._send_on(record)
            if refusal is not None:
                self._output.quarantine(record, refusal)

    def _send_on(self, record: Record) -> InvalidRecord | None:
        """Send the row to every leg that can read it; the first refusal of those that cannot."""
        said: dict[ChangeDecoder, Decoded] = {}
        refused: InvalidRecord | None = None
        for route in self._routes[record.topic]:
            decoder = route.decoder
            try:
                if decoder not in said:
                    said[decoder] = decoder.decode(record.value, record.partition, record.offset)
                decoded = said[decoder]
                if isinstance(decoded, Incomplete):
                    raise refusal(decoded)
            except InvalidRecord as error:
                refused = refused or error
                continue
            if isinstance(decoded, Change):
                for message in messages_of(route, decoded):
                    key, value = encode_leg_message(message)
                    self._output.send(LEGS_TOPIC, key, value)
            elif isinstance(decoded, Truncation):
                self._truncate(record.topic, decoded)
                break
            else:
                self._output.skipped += 1
                break
        return refused

    def _truncate(self, topic: str, truncation: Truncation) -> None:
        """Tell every partition of the groups. It needs no header: what one partition of the table heard is told to all of them."""
        self._output.truncations += 1
        for table in dict.fromkeys(route.leg.source_table for route in self._routes[topic]):
            value = encode_leg_truncation(LegTruncation(table, *truncation[1:]))
            for number in range(self._partition_count):
                self._output.send(LEGS_TOPIC, None, value, number)

    def advance(self, watermark_us: int) -> None:
        """Nothing is judged here; it only tells how far it is."""
        self.watermark_us = max(self.watermark_us, watermark_us)

    def has_news(self) -> bool:
        """Whether offsets moved, or time did."""
        moved_us = self.watermark_us - self._last_watermark_us
        return self.ends != self._last_ends or moved_us >= WATERMARK_WRITTEN_EVERY_US

    def close_window(self) -> Snapshot:
        """The rows are with the producer already; only the offsets remain to be marked."""
        self._last_ends = dict(self.ends)
        self._last_watermark_us = self.watermark_us
        written_us = self._output.clock_us()
        return Snapshot([], [], Meta(dict(self.ends), self.watermark_us, sum(self.ends.values()), written_us))

    def adopt(self, said: Said) -> None:
        """What was sent is sent again, and taken once."""

    def window_written(self) -> None:
        """Nothing was held for the window."""


def messages_of(route: Route, change: Change) -> list[LegMessage]:
    """What a change says to groups: its row to the group of its match key, and its end to the one that it has left."""
    group, leg = route.group, route.leg
    assert change.row is not None
    match = leg.match_of(change.row)
    held = tuple(group.held_against(leg, _steps_taken(leg, change), change.row)) if change.moves else ()
    register = Register(
        change.source, change.primary_key, change.version, change.commit_us, change.commit_us, change.deleted,
        change.row, change.partition, change.offset,
    )  # fmt: skip
    messages = [_message(route, match, register, held)]
    if any(column in leg.match for column, _old, _new in change.moves):
        former_row = former(leg, change)
        left = leg.match_of(former_row)
        if group_id_of("", "", left) != group_id_of("", "", match):
            messages.append(_message(route, left, register._replace(deleted=True, row=former_row), ()))
    return messages


def _steps_taken(leg: Leg, change: Change) -> Sequence[Move]:
    """The moves of a change, without those of a polled row's status that several allowed steps explain."""
    steps = leg.steps
    if not change.polled or steps is None:
        return change.moves
    return [move for move in change.moves if move[0] != leg.status or not leads_to(steps, move[1], move[2])]


def _message(
    route: Route, match: Sequence[object], register: Register[tuple[object, ...]], moves: tuple[object, ...]
) -> LegMessage:
    group = route.group
    group_id = group_id_of(group.spec_name, group.name, match)
    return LegMessage(group_id, route.leg.name, route.shape, register, moves)  # type: ignore[arg-type]


def former(leg: Leg, change: Change) -> tuple[object, ...]:
    """The row before the change, as far as its moves tell."""
    assert change.row is not None
    row = list(change.row)
    for column, old, _new in change.moves:
        row[leg.table.place(column)] = old
    return tuple(row)


def legs_markers(send: Sender, partition_count: int, groups: Iterable[SpecGroup]) -> MarkerSender[int]:
    """Tells the groups how far the rows of leg partitions have been sent."""
    definitions = definitions_of(groups)
    return MarkerSender(
        send, LEGS_TOPIC, partition_count, lambda partition: partition.watermark_us,
        lambda moved: encode_markers(LegMarkers(definitions, moved)),
    )  # fmt: skip
