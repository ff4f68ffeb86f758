"""Sends the commands of one decision in portions, and tells what came of every one, also when it is broken off."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from clickhouse_connect.driver.client import Client
from rich.console import Console
from rich.text import Text

from clickhouse.case_reader import CaseReader
from reconcile.cases.commands import Command
from trueup.case_commands import UNANSWERED, Outcome, send_commands
from trueup.case_story import difference_minor
from trueup.cli.case_table import STYLES, amount_text, id_chars, plain
from trueup.model.errors import TrueupError
from trueup.model.money import shown, to_decimal
from trueup.settings import Settings

PORTION: Final = 1_000
"""Commands that are sent and answered together: whoever breaks off leaves at most so many uncertain."""

CAUGHT_UP_SECONDS: Final = 3.0
POLL_SECONDS: Final = 0.2
INTERRUPTED_STATUS: Final = 130

NOT_SENT: Final = "not-sent"
_STYLES: Final = {"applied": "green", "refused": "bold red", "quarantined": "bold red", "repeated": "yellow"}

Send = Callable[[Sequence[Command]], list[Outcome]]


class Sent(NamedTuple):
    """Outcomes in the order of the commands, and what broke it off, if anything did."""

    outcomes: list[Outcome]
    broken: KeyboardInterrupt | TrueupError | None


def give_commands(
    settings: Settings,
    client: Client,
    reader: CaseReader,
    cases: Sequence[Mapping[str, Any]],
    commands: Sequence[Command],
    *,
    as_json: bool,
) -> int:
    """Send the commands on these cases (the n-th command is about the n-th case) and print their outcomes.

    Returns the exit status: 0 when all were applied, 1 when one was not, 130 after Ctrl-C. Errors: TrueupError when sending
    broke off, after the outcomes so far were printed.
    """
    sent = send_in_portions(commands, lambda portion: send_commands(settings, client, portion))
    present = _present(reader, sent.outcomes)
    if as_json:
        rows = [
            {**outcome._asdict(), "standing": present.get(outcome.discrepancy_id, {}).get("standing")}
            for outcome in sent.outcomes
        ]
        document = {"applied": _count(sent.outcomes, "applied"), "of": len(commands), "outcomes": rows}
        sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _print(cases, sent, present)
    if isinstance(sent.broken, TrueupError):
        raise sent.broken
    if sent.broken is not None:
        return INTERRUPTED_STATUS
    return 0 if all(outcome.result == "applied" for outcome in sent.outcomes) else 1


def send_in_portions(commands: Sequence[Command], send: Send, *, portion: int = PORTION) -> Sent:
    """Send portion by portion; after an interruption the portion under way is unanswered, and the rest was not sent."""
    outcomes: list[Outcome] = []
    for at in range(0, len(commands), portion):
        part = commands[at : at + portion]
        try:
            outcomes += send(part)
        except (KeyboardInterrupt, TrueupError) as broken:
            outcomes += [_without_answer(command, UNANSWERED, "it may still be applied") for command in part]
            rest = commands[at + portion :]
            return Sent([*outcomes, *(_without_answer(command, NOT_SENT, "broken off") for command in rest)], broken)
    return Sent(outcomes, None)


def money_text(cases: Sequence[Mapping[str, Any]]) -> str:
    """What is in question in all of them, by currency, such as `1,200.00 EUR, 30 JPY`."""
    sums: dict[str, int] = {}
    for case in cases:
        difference = difference_minor(case)
        if difference is not None:
            sums[case["currency"]] = sums.get(case["currency"], 0) + abs(difference)
    texts = [shown(to_decimal(total, currency), currency) for currency, total in sorted(sums.items())]
    return ", ".join(texts) or "no amounts"


def _without_answer(command: Command, result: str, reason: str) -> Outcome:
    return Outcome(command.command_id, command.discrepancy_id, result, reason, None)


def _present(reader: CaseReader, outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Id → the case as it stands now; waits a moment for rows that are older than their answers."""
    revisions = {outcome.discrepancy_id: outcome.revision or 0 for outcome in outcomes if outcome.result != NOT_SENT}
    deadline = time.monotonic() + CAUGHT_UP_SECONDS
    while True:
        cases = {case["discrepancy_id"]: case for case in reader.beginning_with(list(revisions))}
        behind = any(case["revision"] < revisions[identifier] for identifier, case in cases.items())
        if not behind or time.monotonic() > deadline:
            return cases
        time.sleep(POLL_SECONDS)


def _print(cases: Sequence[Mapping[str, Any]], sent: Sent, present: Mapping[str, Mapping[str, Any]]) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    chars = id_chars([case["discrepancy_id"] for case in cases])
    for case, outcome in zip(cases, sent.outcomes, strict=True):
        if outcome.result == NOT_SENT:
            continue
        standing = present.get(outcome.discrepancy_id, case)["standing"]
        reason = f" ({plain(outcome.reason)})" if outcome.reason else ""
        about = f"{case['rule']}, {case['entity_kind']} {plain(case['entity_id'])}, {amount_text(case)}"
        console.print(
            Text.assemble(
                case["discrepancy_id"][:chars], " ", (outcome.result, _STYLES.get(outcome.result, "yellow")),
                f"{reason}: now ", (standing, STYLES.get(standing, "")), f" · {about}",
            ),
            soft_wrap=True,
        )  # fmt: skip
    console.print(_summary(sent))


def _summary(sent: Sent) -> str:
    names = ("applied", "refused", "repeated", "quarantined", UNANSWERED, NOT_SENT)
    counted = [f"{_count(sent.outcomes, name):,} {name}" for name in names if _count(sent.outcomes, name)]
    end = "; broken off" if sent.broken is not None else ""
    return ", ".join(counted) + end


def _count(outcomes: Sequence[Outcome], result: str) -> int:
    return sum(outcome.result == result for outcome in outcomes)
