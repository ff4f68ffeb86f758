"""Deciding by the API: roles, what was seen, the same request twice, many at once; answered by the workers' own rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from dashboards.access.account import Role
from dashboards.access.throttle import PER_TOKEN
from tests.access_stand import ORIGIN, Stand
from tests.api_cases import Cases
from trueup.case_seen import seen_text


@pytest.fixture
def cases() -> Cases:
    return Cases("12.50", "500", "0.01")


@pytest.fixture
def stand(tmp_path: Path, cases: Cases) -> Iterator[Stand]:
    made = Stand(tmp_path, parts={"client": cases, "cases": cases, "send": cases.send})
    yield made
    made.close()


class Program:
    """A program with a token of an account with a role."""

    def __init__(self, stand: Stand, login: str, role: Role) -> None:
        account = stand.access.accounts.add(login, role)
        token = stand.access.tokens.make(account, "test", role, 1)
        self.client = TestClient(stand.app, ORIGIN, headers={"Authorization": f"Bearer {token}"})

    def decide(self, kind: str, *seen: str, request_id: str = "", **fields: str) -> Any:
        document = {"id": request_id or str(uuid4()), "kind": kind, "seen": list(seen), **fields}
        return self.client.post("/api/v1/decisions", json=document)


@pytest.fixture
def ops(stand: Stand) -> Program:
    return Program(stand, "oscar", Role.OPERATOR)


def seen(cases: Cases, number: int = 0) -> str:
    return seen_text(cases.rows[f"{number:032x}"])


def results(answer: Any) -> list[str]:
    return [outcome["result"] for outcome in answer.json()["outcomes"]]


def test_a_decision_is_applied_in_the_name_of_the_account(stand: Stand, ops: Program, cases: Cases) -> None:
    answer = ops.decide("acknowledge", seen(cases), note="on it")
    assert (answer.status_code, results(answer)) == (200, ["applied"])
    (outcome,) = answer.json()["outcomes"]
    assert (outcome["case"]["standing"], outcome["case"]["revision"], outcome["case"]["expected"]) == (
        "acknowledged", 1, "12.50",
    )  # fmt: skip
    assert [(command.actor, command.note) for command in cases.sent] == [("oscar", "on it")]
    action = stand.access.actions.page(1)[0]
    assert (action.login, action.action, action.result) == ("oscar", "acknowledge by the API", "done")


def test_the_same_request_twice_is_carried_out_once(ops: Program, cases: Cases) -> None:
    request_id, was = str(uuid4()), seen(cases)
    first = ops.decide("comment", was, request_id=request_id, note="hm")
    again = ops.decide("comment", was, request_id=request_id, note="hm")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert len(cases.sent) == 1


def test_what_has_changed_since_is_not_decided(ops: Program, cases: Cases) -> None:
    was = seen(cases)
    assert ops.decide("acknowledge", was).status_code == 200
    stale = ops.decide("waive", was, note="small")
    assert (stale.status_code, results(stale)) == (409, ["stale"])
    (outcome,) = stale.json()["outcomes"]
    assert outcome["case"]["standing"] == "acknowledged"
    assert outcome["case"]["seen"] == seen(cases)
    assert ops.decide("waive", outcome["case"]["seen"], note="small").status_code == 200
    assert len(cases.sent) == 2


@pytest.mark.parametrize("part", [("12.5", "12.6"), ("~1~EUR", "~2~EUR")])
def test_other_amounts_or_another_occurrence_are_not_decided(ops: Program, cases: Cases, part: tuple[str, str]) -> None:
    answer = ops.decide("acknowledge", seen(cases).replace(*part, 1))
    assert (answer.status_code, results(answer), cases.sent) == (409, ["stale"], [])


def test_many_at_once_are_answered_one_by_one(ops: Program, cases: Cases) -> None:
    unknown = "f" * 32 + "~0~1~EUR~1~0"
    answer = ops.decide("acknowledge", seen(cases, 0), unknown, seen(cases, 1))
    assert (answer.status_code, results(answer)) == (207, ["applied", "unknown", "applied"])
    assert answer.json()["applied"] == 2
    assert answer.json()["outcomes"][1]["case"] is None


def test_a_large_waiver_needs_an_approver_who_is_another_person(stand: Stand, ops: Program, cases: Cases) -> None:
    asked = ops.decide("waive", seen(cases, 1), note="agreed")
    assert asked.json()["outcomes"][0]["case"]["standing"] == "waive-requested"
    assert ops.decide("approve", seen(cases, 1)).status_code == 403
    boss = Program(stand, "boss", Role.APPROVER)
    assert boss.decide("approve", seen(cases, 1)).json()["outcomes"][0]["case"]["standing"] == "waived"
    assert boss.decide("waive", seen(cases, 0), note="mine").status_code == 200


def test_nobody_approves_what_they_asked_for(stand: Stand, cases: Cases) -> None:
    boss = Program(stand, "boss", Role.ADMIN)
    boss.decide("waive", seen(cases, 1), note="agreed")
    own = boss.decide("approve", seen(cases, 1))
    assert (own.status_code, results(own)) == (409, ["refused"])
    assert "another person" in own.json()["outcomes"][0]["reason"]


def test_a_viewer_decides_nothing(stand: Stand, cases: Cases) -> None:
    answer = Program(stand, "vera", Role.VIEWER).decide("comment", seen(cases), note="x")
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert cases.sent == []
    assert stand.access.actions.page(1)[0].result == "refused"


@pytest.mark.parametrize(
    ("kind", "fields", "where"),
    [
        ("waive", {}, "note"),
        ("comment", {"note": "   "}, "note"),
        ("assign", {}, "assignee"),
        ("snooze", {}, "until"),
        ("snooze", {"until": "soon"}, "until"),
        ("snooze", {"condition": "amount-above"}, "limit"),
        ("snooze", {"condition": "amount-above", "limit": "1e3"}, "limit"),
        ("forget", {}, "kind"),
        ("comment", {"note": "x" * 4_001}, "note"),
        ("comment", {"note": "x", "actor": "boss"}, "actor"),
    ],
)
def test_mistakes_name_their_field(ops: Program, cases: Cases, kind: str, fields: dict[str, str], where: str) -> None:
    answer = ops.decide(kind, seen(cases), **fields)
    assert (answer.status_code, answer.json()["where"]) == (400, where)
    assert cases.sent == []


@pytest.mark.parametrize("text", ["", "x", "0" * 32, "0" * 32 + "~0~1~EUR~NaN~0", "0" * 32 + "~0~1~XXQ~1~0", "x" * 200])
def test_what_no_row_says_is_no_row(ops: Program, cases: Cases, text: str) -> None:
    assert ops.decide("acknowledge", text).status_code == 400
    assert cases.sent == []


def test_a_token_that_asks_too_often_has_to_wait(stand: Stand, ops: Program) -> None:
    (token,) = stand.access.tokens.of("oscar")
    for _ in range(PER_TOKEN.amount):
        assert stand.access.throttle.call_waits(token.token_id) == 0
    answer = ops.client.get("/api/v1/status")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert Program(stand, "other", Role.VIEWER).client.get("/api/v1/discrepancies?limit=0").status_code == 400
