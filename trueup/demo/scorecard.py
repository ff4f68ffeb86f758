"""What was planted against what was found: pure comparison of the auditor's truth with the pipeline's books."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from trueup.upstream.auditor import ExpectedFinding, PlantedFault, PlantedTrap, StatementTotal

FindingKey = tuple[str, str, str]
"""(rule, entity kind, entity id)."""


class OpenFinding(NamedTuple):
    """A discrepancy that the pipeline holds open; delta in minor units, None where the rule compares no amounts."""

    rule: str
    entity_kind: str
    entity_id: str
    delta_minor: int | None
    currency: str

    @property
    def key(self) -> FindingKey:
        """What makes it unique."""
        return self.rule, self.entity_kind, self.entity_id


class FaultScore(NamedTuple):
    """Planted and found faults of one kind."""

    planted: int
    found: int


class Scorecard(NamedTuple):
    """The outcome of a run.

    `missed` are planted or audited findings that are not open with the right amount, `false_open` open ones that the
    auditor does not know, `traps_sprung` findings that should never have been raised or should have resolved.
    """

    by_fault: dict[str, FaultScore]
    expected: int
    missed: list[str]
    false_open: list[str]
    traps: dict[str, int]
    traps_sprung: list[str]
    totals_checked: int
    totals_wrong: list[str]

    @property
    def planted(self) -> int:
        """Planted faults of all kinds."""
        return sum(score.planted for score in self.by_fault.values())

    @property
    def found(self) -> int:
        """Those of them that were found with all their findings."""
        return sum(score.found for score in self.by_fault.values())

    @property
    def clean(self) -> bool:
        """Everything found, nothing false, every total right."""
        return not (self.missed or self.false_open or self.traps_sprung or self.totals_wrong)

    def as_json(self) -> dict[str, Any]:
        """Counts for scripts, with the first names of whatever is wrong."""
        return {
            "planted": self.planted,
            "found": self.found,
            "missed": len(self.missed),
            "false_open": len(self.false_open),
            "expected_findings": self.expected,
            "totals_checked": self.totals_checked,
            "totals_wrong": len(self.totals_wrong),
            "traps": self.traps,
            "traps_sprung": len(self.traps_sprung),
            "by_fault": {kind: score._asdict() for kind, score in sorted(self.by_fault.items())},
            "wrong": [*self.missed, *self.false_open, *self.traps_sprung, *self.totals_wrong][:50],
        }


def score(
    faults: Sequence[PlantedFault],
    expected: Iterable[ExpectedFinding],
    traps: Sequence[PlantedTrap],
    open_findings: Iterable[OpenFinding],
    ever_raised: Collection[FindingKey],
    audited: Iterable[StatementTotal],
    running: Mapping[tuple[str, str], tuple[int, int]],
) -> Scorecard:
    """Compare.

    `running` is (statement id, currency) → (count, amount in minor units) as the pipeline holds it; `ever_raised` are
    all findings it ever raised.
    """
    opened = {finding.key: finding for finding in open_findings}
    by_fault, missed = _score_faults(faults, opened)
    wanted: set[FindingKey] = {
        (one.rule, one.entity_kind, str(one.entity_id)) for fault in faults for one in fault.expected
    }
    count = 0
    for finding in expected:
        count += 1
        key = (finding.rule, finding.entity_kind, finding.entity_id)
        held = opened.get(key)
        if held is None:
            missed.append(f"not found: {' '.join(key)}")
        elif (
            finding.expected_minor is not None
            and finding.actual_minor is not None
            and (held.delta_minor != finding.actual_minor - finding.expected_minor)
        ):
            missed.append(f"wrong amount: {' '.join(key)}: {held.delta_minor}")
        wanted.add(key)
    false_open = [f"false: {' '.join(key)}" for key in opened if key not in wanted]
    sprung = _sprung(traps, opened, ever_raised)
    checked, wrong = _check_totals(audited, running)
    kinds: dict[str, int] = {}
    for trap in traps:
        kinds[trap.kind] = kinds.get(trap.kind, 0) + 1
    return Scorecard(by_fault, count, sorted(set(missed)), sorted(false_open), kinds, sprung, checked, wrong)


def _score_faults(
    faults: Sequence[PlantedFault], opened: Mapping[FindingKey, OpenFinding]
) -> tuple[dict[str, FaultScore], list[str]]:
    by_fault: dict[str, FaultScore] = {}
    missed: list[str] = []
    for fault in faults:
        lacking = []
        for one in fault.expected:
            held = opened.get((one.rule, one.entity_kind, str(one.entity_id)))
            if held is None or (one.delta_minor is not None and held.delta_minor != one.delta_minor):
                lacking.append(f"missed: {fault.kind}: {one.rule} {one.entity_kind} {one.entity_id}")
        held_score = by_fault.get(fault.kind, FaultScore(0, 0))
        by_fault[fault.kind] = FaultScore(held_score.planted + 1, held_score.found + (not lacking))
        missed += lacking
    return by_fault, missed


def _sprung(
    traps: Sequence[PlantedTrap], opened: Mapping[FindingKey, OpenFinding], ever_raised: Collection[FindingKey]
) -> list[str]:
    sprung = []
    for trap in traps:
        key = (trap.rule, trap.entity_kind, str(trap.entity_id))
        if key in opened:
            sprung.append(f"trap stays open: {trap.kind}: {' '.join(key)}")
        elif trap.expectation == "never-raised" and key in ever_raised:
            sprung.append(f"trap was raised: {trap.kind}: {' '.join(key)}")
    return sprung


def _check_totals(
    audited: Iterable[StatementTotal], running: Mapping[tuple[str, str], tuple[int, int]]
) -> tuple[int, list[str]]:
    unseen = {key for key, total in running.items() if total != (0, 0)}
    checked, wrong = 0, []
    for total in audited:
        checked += 1
        key = (str(total.statement_id), total.currency)
        unseen.discard(key)
        held = running.get(key, (0, 0))
        if held != (total.item_count, total.amount_minor):
            wrong.append(f"total: statement {key[0]} {key[1]}: {held}, source {total.item_count, total.amount_minor}")
    return checked, wrong + [f"total: statement {key[0]} {key[1]} is not in the source" for key in sorted(unseen)]
