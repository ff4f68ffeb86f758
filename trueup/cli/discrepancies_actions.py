"""`trueup discrepancies ack`, `assign`, `waive` … : decisions of people about some discrepancies, or about all of a filter."""

from __future__ import annotations

import getpass
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import typer

from clickhouse.case_reader import CaseFilter, CaseReader
from reconcile.cases.commands import ACTOR_CHARS_MAX, NOTE_CHARS_MAX, NOTE_REQUIRED, Command, Snooze
from reconcile.cases.fields import TIME_US_MAX
from trueup.case_choice import MINUTES, read_amount, read_span_us
from trueup.case_commands import COMMANDS_MAX, command_on
from trueup.cli.case_desk import DataDir, Json, case_desk, cases_of
from trueup.cli.case_outcomes import give_commands, money_text
from trueup.cli.discrepancies_filter import case_filter, checked_filter
from trueup.cli.shared_options import shares
from trueup.model.errors import ConfigurationError
from trueup.model.money import minor_units

_RESTING: Final = ("open", "regressed", "acknowledged", "assigned", "snoozed")
MEANT: Final[dict[str, tuple[str, ...]]] = {
    "acknowledge": ("open", "regressed"),
    "assign": _RESTING,
    "snooze": _RESTING,
    "unsnooze": ("snoozed",),
    "waive": _RESTING,
    "approve": ("waive-requested",),
    "reject": ("waive-requested",),
    "resolve": _RESTING,
    "reopen": ("waived", "resolved"),
    "comment": (*_RESTING, "waive-requested"),
}
"""Command → where a discrepancy stands that --all-matching means when no --standing is given."""

_SPAN: Final = re.compile(rf"\d+[{''.join(MINUTES)}]")

Condition = Literal["amount-changed", "comes-back", "amount-above"]


@dataclass(frozen=True, slots=True)
class Giving:
    """What all decisions have in common: about which discrepancies, by whom, with which note, and how it is told."""

    ids: list[str]
    all_matching: bool
    yes: bool
    actor: str
    note: str
    revision: int | None
    data_dir: Path
    json: bool


class Details(NamedTuple):
    """What some commands carry: the assignee, or until when to snooze (the limit in major units)."""

    assignee: str = ""
    until_us: int | None = None
    condition: str = ""
    above: Decimal | None = None


def giving(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Ids, or their first digits.")] = None,
    all_matching: Annotated[
        bool, typer.Option("--all-matching", help="All that the filter options below mean, instead of ids.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, with --all-matching.")] = False,
    actor: Annotated[str, typer.Option("--as", help="Who decides. Default: the user of this computer.")] = "",
    note: Annotated[str, typer.Option("--note", help="Why.")] = "",
    revision: Annotated[
        int | None,
        typer.Option(
            "--revision", min=0, help="Refuse it unless the discrepancy still has this revision; with one id."
        ),
    ] = None,
    data_dir: DataDir = Path(".trueup"),
    json: Json = False,
) -> Giving:
    """What was given for any command."""
    return Giving(ids or [], all_matching, yes, actor or _user(), note, revision, data_dir, json)


@shares(given=giving, chosen=case_filter)
def ack(given: Giving, chosen: CaseFilter) -> None:
    """Say that it has been seen."""
    decide("acknowledge", given, chosen)


@shares(given=giving, chosen=case_filter)
def assign(
    given: Giving, chosen: CaseFilter, to: Annotated[str, typer.Option("--to", help="Who is to deal with it.")]
) -> None:
    """Say who deals with it."""
    if not to.strip() or len(to) > ACTOR_CHARS_MAX:
        raise ConfigurationError("an assignee has no name", where="--to", remedy="name somebody, such as --to bob")
    decide("assign", given, chosen, Details(assignee=to))


@shares(given=giving, chosen=case_filter)
def snooze(
    given: Giving,
    chosen: CaseFilter,
    until: Annotated[str, typer.Option("--until", help="A time such as 2026-11-30T09:00, or a span such as 3d.")] = "",
    until_condition: Annotated[
        Condition | None, typer.Option("--until-condition", help="What ends it; amount-above needs --above.")
    ] = None,
    above: Annotated[
        str, typer.Option("--above", help="The limit of amount-above, such as 100, in its currency.")
    ] = "",
) -> None:
    """Let it rest until a time, a condition, or whichever comes first."""
    if not until and until_condition is None:
        raise ConfigurationError("a snooze has no end", remedy="give --until 3d, or --until-condition comes-back")
    if (until_condition == "amount-above") != bool(above):
        raise ConfigurationError("amount-above and --above go together", remedy="give both, or none of them")
    until_us = read_moment_us(until, time.time_ns() // 1000) if until else None
    limit = read_amount(above, "--above") if above else None
    decide("snooze", given, chosen, Details(until_us=until_us, condition=until_condition or "", above=limit))


@shares(given=giving, chosen=case_filter)
def unsnooze(given: Giving, chosen: CaseFilter) -> None:
    """End its rest."""
    decide("unsnooze", given, chosen)


@shares(given=giving, chosen=case_filter)
def waive(given: Giving, chosen: CaseFilter) -> None:
    """Accept the difference; above the limit of the settings another person has to approve. Needs --note."""
    decide("waive", given, chosen)


@shares(given=giving, chosen=case_filter)
def approve(given: Giving, chosen: CaseFilter) -> None:
    """Agree to a waiver that somebody else asks for."""
    decide("approve", given, chosen)


@shares(given=giving, chosen=case_filter)
def reject(given: Giving, chosen: CaseFilter) -> None:
    """Do not agree to a waiver."""
    decide("reject", given, chosen)


@shares(given=giving, chosen=case_filter)
def resolve(given: Giving, chosen: CaseFilter) -> None:
    """Say that it was settled by other means than a correction of the books. Needs --note."""
    decide("resolve", given, chosen)


@shares(given=giving, chosen=case_filter)
def reopen(given: Giving, chosen: CaseFilter) -> None:
    """Take a waiver or a resolution back."""
    decide("reopen", given, chosen)


@shares(given=giving, chosen=case_filter)
def comment(given: Giving, chosen: CaseFilter) -> None:
    """Say something about it. Needs --note."""
    decide("comment", given, chosen)


def decide(kind: str, given: Giving, chosen: CaseFilter, details: Details = Details()) -> None:  # noqa: B008 - immutable
    """Find what is meant, ask where it is many, send a command for each, and tell what came of them."""
    _check_given(kind, given, chosen)
    with case_desk(given.data_dir) as (settings, client, reader):
        if given.all_matching:
            cases = _matching(reader, checked_filter(reader, settings, chosen, MEANT[kind]))
            if not cases:
                raise ConfigurationError(
                    "nothing matches", remedy="`trueup discrepancies list` shows what a filter means"
                )
            if not given.yes:
                _ask(kind, cases)
        else:
            cases = cases_of(reader, given.ids)
        now_us = time.time_ns() // 1000
        commands = [_command(_as_seen(case, given), kind, given, details, now_us) for case in cases]
        status = give_commands(settings, client, reader, cases, commands, as_json=given.json)
    if status:
        raise typer.Exit(status)


def read_moment_us(text: str, now_us: int) -> int:
    """A time in µs since the epoch: `3d` from now, or an ISO time, in this machine's time zone where it names none."""
    if _SPAN.fullmatch(text):
        at_us = now_us + read_span_us(text, "--until")
    else:
        try:
            at_us = int(datetime.fromisoformat(text).astimezone(UTC).timestamp()) * 1_000_000
        except (ValueError, OverflowError, OSError):
            raise ConfigurationError(
                f"{text[:40]!r} is no time", where="--until", remedy="write it as 2026-11-30T09:00, or as 3d"
            ) from None
    if not now_us < at_us <= TIME_US_MAX:
        raise ConfigurationError(f"{text[:40]!r} is not in the future", where="--until", remedy="give a later time")
    return at_us


def _check_given(kind: str, given: Giving, chosen: CaseFilter) -> None:
    """Whatever is wrong without looking at any discrepancy."""
    has_filter = chosen != CaseFilter()
    if given.all_matching == bool(given.ids):
        raise ConfigurationError("it is not said which discrepancies are meant", remedy="give ids, or --all-matching")
    if has_filter and not given.all_matching:
        raise ConfigurationError("a filter says nothing beside ids", remedy="leave the ids out and give --all-matching")
    if kind in NOTE_REQUIRED and not given.note.strip():
        raise ConfigurationError(f"{kind} needs a note", remedy='say why: --note "…"')
    if len(given.note) > NOTE_CHARS_MAX:
        raise ConfigurationError(f"the note is longer than {NOTE_CHARS_MAX:,} characters", remedy="shorten it")
    if not given.actor.strip() or len(given.actor) > ACTOR_CHARS_MAX:
        raise ConfigurationError(
            f"a name has 1 to {ACTOR_CHARS_MAX} characters", where="--as", remedy="say who decides, such as --as ann"
        )
    if given.revision is not None and len(given.ids) != 1:
        raise ConfigurationError("a revision belongs to one discrepancy", remedy="give one id with --revision")


def _matching(reader: CaseReader, chosen: CaseFilter) -> list[dict[str, Any]]:
    page = reader.page(chosen, COMMANDS_MAX)
    if page.next:
        raise ConfigurationError(
            f"more than {COMMANDS_MAX:,} discrepancies match",
            remedy="narrow the filter, for example by --rule or --period",
        )
    return page.rows


def _ask(kind: str, cases: Sequence[Mapping[str, Any]]) -> None:
    what = f"{kind}: {len(cases):,} {'discrepancy' if len(cases) == 1 else 'discrepancies'}, {money_text(cases)}"
    if not _is_terminal():
        raise ConfigurationError(f"nobody can be asked ({what})", remedy="give --yes where there is no terminal")
    if not typer.confirm(f"{what}. Go on?", err=True):
        typer.echo("nothing was sent", err=True)
        raise typer.Exit(1)


def _is_terminal() -> bool:
    stream: Callable[[], bool] = typer.get_text_stream("stdin").isatty
    return stream()


def _as_seen(case: Mapping[str, Any], given: Giving) -> Mapping[str, Any]:
    """The case with the revision that the person looked at, where they name it."""
    return case if given.revision is None else {**case, "revision": given.revision}


def _command(case: Mapping[str, Any], kind: str, given: Giving, details: Details, now_us: int) -> Command:
    rest = None
    if kind == "snooze":
        limit_minor = None
        if details.above is not None:
            if not case["currency"]:
                raise ConfigurationError(
                    f"{case['discrepancy_id'][:12]} has no amounts", where="--above", remedy="give another condition"
                )
            limit_minor = minor_units(details.above, case["currency"])
        rest = Snooze(details.until_us, details.condition, limit_minor)
    return command_on(case, kind, given.actor, now_us, note=given.note, assignee=details.assignee, snooze=rest)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
