"""Reads the file of alerts: `load_alerts` gives what it declares, or every error in it at once."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from dashboards.alerts.declared import DeclaredAlerts, DeclaredEmail, DeclaredRoute
from reconcile.spec.errors import Problem
from trueup.model.errors import ConfigurationError
from trueup.model.money import EXPONENTS
from trueup.model.toml_lines import NoToml, Place, line_of, lines_of, parse_toml, place_in, shape_fault

_PAGE: Final = "docs/alerts.md shows a whole file"
_KINDS: Final = frozenset({"webhook", "slack", "feishu", "dingtalk", "email"})


_Model = TypeVar("_Model", bound=BaseModel)


class AlertFileError(ConfigurationError):
    """The file of alerts cannot be used; `problems` are all of its faults, in the order of their lines."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.line)
        first = self.problems[0]
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        super().__init__(
            first.what + more,
            where=f"{first.file}, line {first.line}",
            remedy=first.remedy + ("; `trueup alerts check` prints every error" if more else ""),
        )


def load_alerts(file: str | Path, known_rules: Collection[str] | None = None) -> DeclaredAlerts:
    """What the file declares.

    Args:
        file: its path.
        known_rules: rules that routes may name; None does not check them.

    Errors: AlertFileError with every problem.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        problem = Problem("the file of alerts does not exist", str(file), 1, "give its path as alerts.file")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(f"the file cannot be read: {error}", str(file), 1, "give a readable file of UTF-8 text")
    else:
        return read_alerts(text, file=str(file), known_rules=known_rules)
    raise AlertFileError([problem])


def read_alerts(text: str, *, file: str, known_rules: Collection[str] | None = None) -> DeclaredAlerts:
    """What a text declares; `file` is what errors call it. Errors: AlertFileError with every problem."""
    reading = _Reading(text, file)
    document = reading.document()
    declared = reading.declared(document)
    reading.check(document, known_rules)
    if declared is None or reading.problems:
        raise AlertFileError(reading.problems)
    return declared


class _Reading:
    """One reading of one file; problems are collected, so that all are told."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.lines = lines_of(text)
        self.problems: list[Problem] = []

    def report(self, place: Place, what: str, remedy: str) -> None:
        """One more problem, told once."""
        problem = Problem(what, self.file, line_of(self.lines, place), remedy)
        if problem not in self.problems:
            self.problems.append(problem)

    def document(self) -> dict[str, Any]:
        """The TOML document; AlertFileError if it is none."""
        try:
            return parse_toml(self.text)
        except NoToml as error:
            raise AlertFileError([Problem(error.what, self.file, error.line, error.remedy)]) from None

    def declared(self, document: dict[str, Any]) -> DeclaredAlerts | None:
        """What the document declares; None, with its faults reported, if it is not of the right shape."""
        try:
            return DeclaredAlerts.model_validate(document)
        except ValidationError as error:
            for fault in error.errors():
                if fault["type"].startswith("union_tag"):
                    place = (*place_in(document, fault["loc"]), "kind")
                    self.report(place, "there is no such kind of channel", f"use one of {', '.join(sorted(_KINDS))}")
                else:
                    self.report(*shape_fault(document, fault, _PAGE, _known_keys()))
            return None

    def check(self, document: dict[str, Any], known_rules: Collection[str] | None) -> None:
        """What one part says about another, of all parts that are of the right shape."""
        for what in ("channel", "route"):
            names = _names(document, what)
            for number, name in enumerate(names):
                if name in names[:number]:
                    self.report((what, number, "name"), f"two {what}s are called {name}", "rename one of them")
        for number, channel in _parts(document, "channel", DeclaredEmail):
            self._check_mail(document, channel, ("channel", number, "host"))
        for number, route in _parts(document, "route", DeclaredRoute):
            self._check_route(document, route, ("route", number), known_rules)

    def _check_mail(self, document: dict[str, Any], channel: DeclaredEmail, place: Place) -> None:
        targets = document.get("targets")
        hosts = targets.get("hosts") if isinstance(targets, dict) else None
        server = f"{channel.host}:{channel.port}"
        if isinstance(hosts, list) and server not in [str(host).lower() for host in hosts]:
            what = f"`host`: {server} is not among the hosts that alerts may reach"
            self.report(place, what, f'add "{server}" to `hosts` of [targets]')

    def _check_route(
        self, document: dict[str, Any], route: DeclaredRoute, place: Place, known_rules: Collection[str] | None
    ) -> None:
        channels = _names(document, "channel")
        hours = document.get("hours", {})
        for key, names, known in (
            ("channels", route.channels, channels),
            ("outside_critical", [route.outside_critical] if route.outside_critical else [], channels),
            ("hours", [route.hours] if route.hours else [], list(hours) if isinstance(hours, dict) else []),
            ("rules", route.rules or [], None if known_rules is None else sorted(known_rules)),
        ):
            for name in names:
                if known is not None and name not in known:
                    close = difflib.get_close_matches(name, known, n=1)
                    known_text = ", ".join(known[:20]) or "none"
                    remedy = f"did you mean {close[0]!r}?" if close else f"there are: {known_text}"
                    self.report((*place, key), f"`{key}`: there is no {name!r}", remedy)
        for currency in route.currencies or []:
            if currency not in EXPONENTS:
                self.report(
                    (*place, "currencies"),
                    f"`currencies`: {currency!r} is no ISO-4217 currency",
                    "write codes such as USD",
                )
        if route.outside_critical is not None and route.hours is None:
            self.report(
                (*place, "outside_critical"),
                "`outside_critical` says nothing without working hours",
                "add `hours = …`, or take it out",
            )
        if any(later <= earlier for earlier, later in zip(route.remind, route.remind[1:], strict=False)):
            self.report(
                (*place, "remind"),
                "`remind`: each distance must be longer than the one before",
                'write ["4h", "1d", "3d"]',
            )


def _parts(document: dict[str, Any], what: str, model: type[_Model]) -> Iterator[tuple[int, _Model]]:
    """The tables of an array, with their numbers, that are of a shape."""
    entries = document.get(what)
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        with contextlib.suppress(ValidationError):
            yield number, model.model_validate(entry)


def _names(document: dict[str, Any], what: str) -> list[str]:
    entries = document.get(what)
    tables = entries if isinstance(entries, list) else []
    return [str(entry.get("name")) for entry in tables if isinstance(entry, dict)]


def _known_keys() -> list[str]:
    models: list[Any] = [DeclaredAlerts]
    keys: set[str] = set()
    for model in models:
        for name, field in model.model_fields.items():
            keys.add(field.alias or name)
            models += [inner for inner in _models_in(field.annotation) if inner not in models]
    return sorted(keys)


def _models_in(annotation: Any) -> list[Any]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
