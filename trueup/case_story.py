"""All that is known of one discrepancy, put together for people: books, cause, evidence, decisions, and every step in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from clickhouse.case_reader import CaseReader
from clickhouse.query import Record
from trueup.model.money import minor_units, to_text

_VERDICTS: Final = frozenset({"raised", "changed", "resolved", "regressed"})
_DECIDED: Final = frozenset({"acknowledged", "assigned", "snoozed", "waive-requested", "waived", "resolved"})
_CONDITIONS: Final = {
    "amount-changed": "the amounts change",
    "comes-back": "it is raised again",
    "amount-above": "the amount is above the limit",
}


def difference_minor(case: Mapping[str, Any]) -> int | None:
    """Actual − expected of a row of `v_cases` in minor units, a missing side counting as nothing; None without amounts."""
    expected, actual, currency = case["expected"], case["actual"], case["currency"]
    if expected is None and actual is None:
        return None
    return minor_units(actual or 0, currency) - minor_units(expected or 0, currency)


def case_document(case: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `v_cases` for JSON: amounts as decimal text with their currency's digits, and `in_question` beside them."""
    currency = case["currency"]
    amounts = {
        name: None if case[name] is None else to_text(minor_units(case[name], currency), currency)
        for name in ("expected", "actual", "delta")
    }
    difference = difference_minor(case)
    in_question = None if difference is None else to_text(abs(difference), currency)
    return {**case, **amounts, "in_question": in_question}


_NOTHING_FOUND: Final[dict[str, Any]] = {
    "spec": "",
    "rule_version": None,
    "cause": "",
    "cause_detail": "",
    "evidence": "[]",
}


def case_story(reader: CaseReader, case: Mapping[str, Any]) -> dict[str, Any]:
    """Everything about a case, as one JSON document.

    Beside the columns of `v_cases` it has `why` (why it stands where it stands), `cause`, `cause_detail`, `spec`,
    `rule_version`, `evidence` (one object per leg), `raises` (one per occurrence, with its period), `timeline` (verdicts and commands in
    time order) and `comment_notes`.
    """
    identifier = case["discrepancy_id"]
    finding = reader.finding(identifier) or _NOTHING_FOUND
    timeline = [_step(row) for row in reader.steps(identifier)]
    return {
        **case_document(case),
        "why": why(case, timeline),
        **finding,
        "evidence": [_leg(leg) for leg in orjson.loads(finding["evidence"])],
        "raises": [_raise(row) for row in reader.occurrences(identifier)],
        "timeline": timeline,
        "comment_notes": [
            {name: step[name] for name in ("at", "actor", "note")}
            for step in timeline
            if step["kind"] == "comment" and step["outcome"] == "applied"
        ],
    }


def why(case: Mapping[str, Any], timeline: Sequence[Mapping[str, Any]]) -> str:
    """Why a case stands where it stands, in words."""
    standing = case["standing"]
    if standing == "auto-resolved":
        return "the books agree again"
    if standing not in _DECIDED:
        books = "the books disagree again" if standing == "regressed" else "the books disagree"
        return f"{books}; {case['lapse']}" if case["lapse"] else f"{books}, and no decision holds"
    decision = _decision(timeline) or standing
    if standing == "assigned":
        return f"{case['assignee']} deals with it ({decision})"
    if standing == "waive-requested":
        return f"{case['requester']} asks for a waiver, another person has to agree ({decision})"
    if standing == "snoozed":
        return f"it rests {_until(case)} ({decision})"
    return decision


def _decision(timeline: Sequence[Mapping[str, Any]]) -> str:
    """The last decision: what, by whom, and the note; of an approval, what was approved as well."""
    said = [step for step in timeline if step["outcome"] == "applied" and step["kind"] not in {*_VERDICTS, "comment"}]
    texts = [
        f"{step['kind']} by {step['actor']}{': ' if step['note'] else ''}{step['note']}"
        for step in said[-2 if said and said[-1]["kind"] == "approve" else -1 :]
    ]
    return ", ".join(texts)


def _until(case: Mapping[str, Any]) -> str:
    parts = []
    if case["snoozed_until"] is not None:
        parts.append(f"until {case['snoozed_until'].astimezone().strftime('%Y-%m-%d %H:%M %Z')}")
    if case["snooze_condition"]:
        parts.append(f"until {_CONDITIONS[case['snooze_condition']]}")
    return " or ".join(parts)


def _step(row: Record) -> dict[str, Any]:
    """A row of the audit log with the amounts that the judge told, or the person saw."""
    step = {name: row[name] for name in ("at", "kind", "actor", "outcome", "reason", "revision", "note")}
    said = orjson.loads(row["body"])
    books = said if row["kind"] in _VERDICTS else said.get("seen", {})
    return {**step, **{name: books.get(name) for name in ("expected", "actual", "currency")}}


def _leg(leg: dict[str, Any]) -> dict[str, Any]:
    """A row that the finding rests on."""
    at = datetime.fromtimestamp(leg["commit_us"] // 1_000_000, UTC).replace(microsecond=leg["commit_us"] % 1_000_000)
    return {**leg, "committed_at": at}


def _raise(row: Record) -> dict[str, Any]:
    """One occurrence, its money as text."""
    stake, currency = row.pop("stake"), row["currency"]
    text = None if stake is None else to_text(minor_units(stake, currency), currency)
    return {**row, "period": row["period"].strftime("%Y-%m"), "in_question": text}
