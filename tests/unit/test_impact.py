"""`trueup check --impact` judges the states that ClickHouse holds as a worker with the other spec would."""

from __future__ import annotations

from pathlib import Path

from reconcile.spec.load import read_spec
from reconcile.spec.model import Spec
from streams.messages import PARTIALS_TOPIC, Marker, encode_watermarks
from streams.statement_state import decode_statement_state
from tests.group_books import Reader as GroupReader
from tests.group_books import UserSource, group_bench, ledger, legs_of, marker
from tests.partition_bench import TOLERANCES, messages_of, records_of, statement_bench
from tests.rule_versions import TEXT, edited
from tests.source_log import FAR_US, START_US, SourceLog
from trueup.checking.impact import EXAMPLES_MAX, Candidate, Impact, candidates
from trueup.checking.impact_run import SpecImpact
from trueup.cli.impact import impact_document

LATER_US = START_US + 3_600_000_000


def states_of_groups(path: Path, source: UserSource, spec: Spec) -> list[bytes]:
    bench = group_bench(path, spec)
    GroupReader(bench).read([*legs_of(source.messages, spec), marker(LATER_US, spec)])
    bench.close_window()
    bench.finish_window()
    encoded = [state.encode() for state in bench.states().values()]
    bench.close()
    return encoded


def impact_of(states: list[bytes], *parts: Candidate, watermark_us: int = LATER_US) -> Impact:
    impact = Impact()
    for part in parts:
        for encoded in states:
            impact.take(part.judge(encoded), watermark_us)
    return impact


def counts(impact: Impact) -> dict[tuple[str, str], int]:
    return {key: tally.count for key, tally in impact.tallies.items()}


def source_of_groups() -> UserSource:
    """Two entries that the bank shows 1.00 too low, one that it does not show, one that is right."""
    source = UserSource()
    for number, amount in enumerate(("99.00", "99.00", "100.00", ""), start=1):
        source.put("ledger_entry", entry_no=number, reference=f"R{number}")
        if amount:
            source.put("bank.bank_line", line_id=number, reference=f"R{number}", amount=amount)
    return source


def test_a_users_spec_tells_what_stays_what_opens_and_what_resolves(tmp_path: Path) -> None:
    states = states_of_groups(tmp_path / "strict", source_of_groups(), ledger())
    same = impact_of(states, *candidates(ledger(version=2), TOLERANCES, is_settlement=False))
    assert counts(same) == {("wrong-receipt", "stays"): 2, ("missing-line", "stays"): 1}
    lenient = ledger(version=2, tolerance="1.00")
    impact = impact_of(states, *candidates(lenient, TOLERANCES, is_settlement=False))
    assert counts(impact) == {("wrong-receipt", "resolves"): 2, ("missing-line", "stays"): 1}
    (told,) = impact_document([SpecImpact(lenient, impact)])["specs"]
    assert (told["version"], told["states"], told["pending"]) == (2, 4, 0)
    resolved = next(one for one in told["changes"] if one["outcome"] == "resolves")
    assert resolved["at_stake"] == {"EUR": "2.00"}
    assert len(resolved["examples"]) == 2

    states = states_of_groups(tmp_path / "lenient", source_of_groups(), lenient)
    back = impact_of(states, *candidates(ledger(version=3), TOLERANCES, is_settlement=False))
    assert counts(back) == {("wrong-receipt", "opens"): 2, ("missing-line", "stays"): 1}


def test_what_is_read_in_another_way_or_not_settled_is_left_out(tmp_path: Path) -> None:
    states = states_of_groups(tmp_path / "g", source_of_groups(), ledger())
    wider = impact_of(
        states, *candidates(ledger(version=2, more=', value_date = "date"'), TOLERANCES, is_settlement=False)
    )
    assert wider.pending > 0
    early = impact_of(states, *candidates(ledger(version=2), TOLERANCES, is_settlement=False), watermark_us=0)
    assert (early.pending, early.states, early.tallies) == (4, 4, {})


def test_statements_are_judged_with_their_totals_and_rules_that_are_code_stay_as_they_are(tmp_path: Path) -> None:
    log = SourceLog()
    for number in range(1, 9):
        log.put("statement", statement_id=number, amount="9.00")
    bench = statement_bench(tmp_path)
    bench.partition.process(
        records_of([*messages_of(log.events), (PARTIALS_TOPIC, encode_watermarks({0: Marker(FAR_US, FAR_US)}))])
    )
    bench.settle_all(FAR_US)
    states = [state.encode() for state in bench.states().values()]
    bench.close()
    first = decode_statement_state(states[0])
    drift = next(case for case in first.cases.values() if case.finding.rule == "statement-drift")
    coded = drift._replace(finding=drift.finding._replace(rule="rule-violation"))
    first.cases[coded.key] = coded
    states[0] = first.encode()
    rules = {case.finding.rule for encoded in states for case in decode_statement_state(encoded).cases.values()}
    statements = [one for one in candidates(spec_of(TEXT), TOLERANCES, is_settlement=True) if one.stage == "statements"]
    same = impact_of(states, *statements, watermark_us=FAR_US)
    assert {outcome for _, outcome in counts(same)} == {"stays"}
    without = spec_of(edited(2, without=("statement-drift",)))
    statements = [one for one in candidates(without, TOLERANCES, is_settlement=True) if one.stage == "statements"]
    impact = impact_of(states, *statements, watermark_us=FAR_US)
    assert counts(impact)["statement-drift", "resolves"] == 8
    assert len(impact.tallies["statement-drift", "resolves"].examples) == EXAMPLES_MAX
    assert {rule for rule, outcome in counts(impact) if outcome == "stays"} == rules - {"statement-drift"}


def spec_of(text: str) -> Spec:
    return read_spec(text, file="settlement.toml")
