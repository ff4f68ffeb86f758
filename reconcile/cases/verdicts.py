"""What the judges say about a discrepancy, folded so that order and repetition do not matter. Pure.

Per occurrence the newest version wins, the earliest raise and the earliest resolution stay: joins of a semilattice, so any
arrival of the same messages ends in the same verdicts. A later resolution never removes an earlier occurrence.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from reconcile.cases.commands import Seen
from reconcile.cases.fields import COUNT_MAX, check_key, read_fields

OCCURRENCES_MAX: Final = 1_000
"""Occurrences kept per discrepancy, the newest ones; what is older is in the audit log only."""

TEXT_CHARS_MAX: Final = 100_000
CLASSES: Final = frozenset({"one-sided", "wrong-amount", "mismatch"})
_STATUSES: Final = frozenset({"open", "auto-resolved", "regressed"})


class Subject(NamedTuple):
    """What the discrepancy is about, as its newest verdict tells it; ids are text."""

    rule: str
    rule_version: int
    kind: str
    direction: str
    entity_kind: str
    entity_id: str
    order_id: str
    statement_id: str
    shop_id: str
    detail: str
    detected_us: int


class Occurrence(NamedTuple):
    """One time that the discrepancy was raised.

    `raised_us` is the source commit (or the end of a grace) from which it could be known, `resolved_us` the source time at
    which it was known to be over, None while it stands. `first_offsets` is class → the place of the first message that told of
    it; there are two classes only when a rule was moved to another one meanwhile.
    """

    number: int
    version: tuple[int, int]
    status: str
    expected_minor: int | None
    actual_minor: int | None
    currency: str
    raised_us: int
    resolved_us: int | None
    first_offsets: dict[str, int]

    @property
    def seen(self) -> Seen:
        """What a person who looks at it now sees."""
        return Seen(self.number, self.expected_minor, self.actual_minor, self.currency)

    @property
    def is_open(self) -> bool:
        """Whether the books disagree."""
        return self.status != "auto-resolved"


class Verdict(NamedTuple):
    """One message of a judge."""

    discrepancy_id: str
    subject: Subject
    occurrence: Occurrence


class Verdicts(NamedTuple):
    """All that the judges said: occurrences by number, and the subject as (number, version, subject) of the newest."""

    occurrences: dict[int, Occurrence]
    newest: tuple[int, tuple[int, int], Subject] | None

    @property
    def last(self) -> Occurrence | None:
        """The newest occurrence; None before the first verdict."""
        return self.occurrences[max(self.occurrences)] if self.occurrences else None


def no_verdicts() -> Verdicts:
    """Before the first message."""
    return Verdicts({}, None)


def decode_verdict(kind: str, key: bytes | None, value: bytes | None, offset: int) -> Verdict:
    """The verdict in a message of the discrepancy topic of a class. Errors: InvalidRecord, naming the field."""
    fields = read_fields(value, "malformed-verdict")
    currency = fields.text("currency", 3, required=False)
    status = fields.choice("status", _STATUSES)
    texts = ("direction", "entity_kind", "entity_id", "order_id", "statement_id", "shop_id", "detail")
    subject = Subject._make(
        (
            fields.text("rule", TEXT_CHARS_MAX),
            fields.whole("rule_version", 0, COUNT_MAX),
            fields.choice("class", {kind}),
            *(fields.text(name, TEXT_CHARS_MAX, required=False) for name in texts),
            fields.time_us("detected_us"),
        )
    )
    occurrence = Occurrence(
        fields.whole("occurrences", 1, COUNT_MAX),
        fields.pair("version"),
        status,
        fields.amount_minor("expected", currency),
        fields.amount_minor("actual", currency),
        currency,
        fields.time_us("source_commit_us"),
        fields.time_us("watermark_us") if status == "auto-resolved" else None,
        {kind: offset},
    )
    discrepancy_id = fields.text("discrepancy_id", 32)
    check_key(key, discrepancy_id)
    return Verdict(discrepancy_id, subject, occurrence)


def merge_verdict(verdicts: Verdicts, verdict: Verdict) -> Verdicts:
    """Take one verdict in; `verdicts.occurrences` is changed in place."""
    occurrences, came = verdicts.occurrences, verdict.occurrence
    held = occurrences.get(came.number)
    occurrences[came.number] = came if held is None else _joined(held, came)
    if len(occurrences) > OCCURRENCES_MAX:
        del occurrences[min(occurrences)]
    newest = (came.number, came.version, verdict.subject)
    return Verdicts(occurrences, newest if verdicts.newest is None else max(verdicts.newest, newest))


def step_of(verdicts: Verdicts, verdict: Verdict) -> str:
    """What a merged verdict was: raised, regressed, resolved, or changed when its occurrence had been told before.

    It depends on the log of its class alone: a replay finds the same, however much newer the verdicts are by then.
    """
    came = verdict.occurrence
    if not came.is_open:
        return "resolved"
    held = verdicts.occurrences.get(came.number, came)
    kind = verdict.subject.kind
    if held.first_offsets[kind] < came.first_offsets[kind]:
        return "changed"
    return "raised" if came.status == "open" else "regressed"


def _joined(one: Occurrence, other: Occurrence) -> Occurrence:
    newer = max(one, other, key=_rank)
    resolutions = [held.resolved_us for held in (one, other) if held.resolved_us is not None]
    return newer._replace(
        raised_us=min(one.raised_us, other.raised_us),
        resolved_us=min(resolutions) if resolutions else None,
        first_offsets={
            kind: min(held.first_offsets[kind] for held in (one, other) if kind in held.first_offsets)
            for kind in sorted({*one.first_offsets, *other.first_offsets})
        },
    )


def _rank(occurrence: Occurrence) -> tuple[object, ...]:
    """Total order of what two messages of one occurrence say: by version, then, for a tie, by content."""
    amounts = tuple(
        (amount is not None, amount or 0) for amount in (occurrence.expected_minor, occurrence.actual_minor)
    )
    return (occurrence.version, occurrence.status, amounts, occurrence.currency)
