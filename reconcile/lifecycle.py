"""The life of a discrepancy: open → auto-resolved → regressed. Pure.

A case is what the state keeps of one (rule, entity); there is exactly one, whatever is replayed. The clock comes in as
an argument and goes only into what people read (`opened_us`, `detected_us`, `resolved_us`), never into a decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, Literal, NamedTuple

from reconcile.finding import Evidence, Finding
from trueup.model.tables import Id

Status = Literal["open", "auto-resolved", "regressed"]
OPEN: Final = frozenset({"open", "regressed"})

CaseKey = tuple[str, str, Id]
"""(rule, entity kind, entity id)."""


class Case(NamedTuple):
    """One discrepancy with its whole state.

    `occurrences` counts how often it has been raised. `source_commit_us` is the moment from which it could be known
    (commit of the newest leg, or the due time of a missing one): latency = detected − that.
    `cause` and `cause_detail` are the likely cause and its evidence, as `reconcile/causes` tells them; empty before that.
    """

    finding: Finding
    status: Status
    occurrences: int
    opened_us: int
    detected_us: int
    resolved_us: int | None
    source_commit_us: int
    watermark_us: int
    cause: str = ""
    cause_detail: str = ""

    @property
    def key(self) -> CaseKey:
        """What makes the case unique."""
        return self.finding.rule, self.finding.entity_kind, self.finding.entity_id

    @property
    def is_open(self) -> bool:
        """Whether the books disagree now."""
        return self.status in OPEN


class Verdict(NamedTuple):
    """The outcome of one judgement: cases that changed, and when the entity must be judged again (None: on change)."""

    changed: list[Case]
    next_due_us: int | None


def discrepancy_id(key: CaseKey, owner: Id) -> str:
    """32 hex digits that depend on the rule, the entity and the order, statement or group that it belongs to, alone."""
    rule, kind, identifier = key
    return sha256(f"{rule}\x00{kind}\x00{identifier}\x00{owner}".encode()).hexdigest()[:32]


def settle(
    cases: dict[CaseKey, Case], findings: Iterable[Finding], newest_us: int, watermark_us: int, now_us: int
) -> Verdict:
    """Bring `cases` in line with the findings at a watermark; `cases` is changed in place.

    A finding opens its case when the watermark has reached its due time. An open case stays open while its finding
    stands, even if a later change moved the due time on; it resolves when the finding is gone.
    """
    changed: list[Case] = []
    next_due_us: int | None = None
    standing: set[CaseKey] = set()
    for finding in findings:
        key = (finding.rule, finding.entity_kind, finding.entity_id)
        if key in standing:
            continue
        standing.add(key)
        held = cases.get(key)
        if held is not None and held.is_open:
            if _amounts(held.finding) != _amounts(finding):
                cases[key] = held._replace(
                    finding=finding, detected_us=now_us, source_commit_us=newest_us, watermark_us=watermark_us
                )
                changed.append(cases[key])
        elif finding.due_us > watermark_us:
            next_due_us = finding.due_us if next_due_us is None else min(next_due_us, finding.due_us)
        else:
            cases[key] = _raised(finding, held, newest_us, watermark_us, now_us)
            changed.append(cases[key])
    for key, held in cases.items():
        if held.is_open and key not in standing:
            cases[key] = held._replace(status="auto-resolved", resolved_us=now_us, watermark_us=watermark_us)
            changed.append(cases[key])
    return Verdict(changed, next_due_us)


def _raised(finding: Finding, held: Case | None, newest_us: int, watermark_us: int, now_us: int) -> Case:
    source_commit_us = max(finding.due_us, newest_us)
    if held is None:
        return Case(finding, "open", 1, now_us, now_us, None, source_commit_us, watermark_us)
    return Case(
        finding, "regressed", held.occurrences + 1, held.opened_us, now_us, None, source_commit_us, watermark_us
    )


def _amounts(finding: Finding) -> tuple[int | None, int | None, str]:
    return finding.expected_minor, finding.actual_minor, finding.currency


def encode_case(case: Case) -> list[object]:
    """The case as JSON-ready lists, for the state store."""
    return [[*case.finding[:-1], [list(evidence) for evidence in case.finding.evidence]], *case[1:]]


def decode_case(encoded: list[list[object]]) -> Case:
    """The inverse of `encode_case`."""
    finding, *rest = encoded
    *fields, evidence = finding
    assert isinstance(evidence, list)
    return Case(Finding(*fields, tuple(Evidence(*leg) for leg in evidence)), *rest)  # type: ignore[arg-type, call-arg]
