"""What the case stage keeps per discrepancy: what the judges said and what people decided, encoded as JSON. Pure."""

from __future__ import annotations

from typing import Final

from reconcile.cases.commands import Seen, Snooze
from reconcile.cases.human import Answer, Human, Steered, untouched
from reconcile.cases.verdicts import Occurrence, Subject, Verdicts, no_verdicts
from streams.codec import dumps, loads

_FORMAT: Final = 1


class CaseState:
    """One discrepancy with its verdicts and its human part."""

    __slots__ = ("discrepancy_id", "steered", "verdicts")

    def __init__(self, discrepancy_id: str) -> None:
        self.discrepancy_id = discrepancy_id
        self.verdicts: Verdicts = no_verdicts()
        self.steered: Steered = untouched()

    def encode(self) -> bytes:
        """JSON bytes; `decode_case_state` reads them. Equal states have equal bytes."""
        occurrences, newest = self.verdicts
        human, answers = self.steered
        return dumps(
            (
                _FORMAT,
                self.discrepancy_id,
                newest,
                [occurrences[number] for number in sorted(occurrences)],
                human,
                sorted(answers.items()),
            )
        )


def decode_case_state(data: bytes) -> CaseState:
    """The inverse of `CaseState.encode`."""
    _format, discrepancy_id, newest, occurrences, human, answers = loads(data)
    state = CaseState(discrepancy_id)
    told = [Occurrence._make(encoded) for encoded in occurrences]
    state.verdicts = Verdicts(
        {one.number: one._replace(version=(one.version[0], one.version[1])) for one in told},
        None if newest is None else (newest[0], (newest[1][0], newest[1][1]), Subject._make(newest[2])),
    )
    decoded = Human._make(human)
    state.steered = Steered(
        decoded._replace(
            seen=None if decoded.seen is None else Seen._make(decoded.seen),
            snooze=None if decoded.snooze is None else Snooze._make(decoded.snooze),
        ),
        {command_id: Answer._make(answer) for command_id, answer in answers},
    )
    return state
