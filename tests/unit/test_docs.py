"""The documentation is true: what it links to, names or lists exists, and what must be listed is."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, SecretStr
from typer.core import TyperGroup

from cdc.counters import ReaderCounters
from cdc.metrics import ReaderMetrics
from cdc.mysql_nudge import HEARTBEAT_TABLE
from cdc.topics import topic_plan
from clickhouse.schema import DEFINITIONS
from clickhouse.views import VIEWS
from dashboards.alerts.metrics import AlertMetrics
from dashboards.web.metrics import DashboardMetrics
from reconcile.settlement import rule_classes
from streams.metrics import WorkerFigures, WorkerMetrics
from trueup.cli import app
from trueup.settings import RuleSettings, Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
ADRS = [page for page in PAGES if page.parent.name == "adr"]
CODE_FOLDERS = ("trueup", "cdc", "clickhouse", "reconcile", "streams", "dashboards", "tests", "benchmarks", "scripts")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
EXECUTABLE = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?(trueup|make|python -m) (.+)$")
PATH_LIKE = re.compile(rf"^(?:{'|'.join((*CODE_FOLDERS, 'docs', '.ci'))})/[\w./-]*$")
TOPIC_LIKE = re.compile(
    r"(?:trueup\.[a-z]+-[a-z-]+|trueup\.(?:heartbeat|quarantine)|discrepancy\.[\w-]+|settlement\.public\.\w+)$"
)

NO_SETTINGS = {"clickhouse.passwords", "dashboard.sqlite"}
"""Names that look like settings: files."""


class Fenced(NamedTuple):
    """One fenced block: its language and its text."""

    language: str
    text: str


@cache
def text_of(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", text_of(page))


def blocks_of(page: Path) -> list[Fenced]:
    return [Fenced(*found) for found in FENCE.findall(text_of(page))]


def spans_of(page: Path) -> list[str]:
    """What stands between backticks."""
    return SPAN.findall(prose_of(page))


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for _, heading in HEADING.findall(prose_of(page))]
    return {heading.replace(" ", "-") for heading in plain}


def section_of(page: Path, title: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    text = prose_of(page)
    for found in HEADING.finditer(text):
        if found[2] == title:
            rest = text[found.end() :]
            end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
            return rest[: end.start()] if end else rest
    raise AssertionError(f"{page} has no heading {title!r}")


def rows_of(text: str) -> list[list[str]]:
    """The cells of the tables in a text, heads and rules left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = {number for number, row in enumerate(rows) if all(re.fullmatch(r":?-+:?", cell) for cell in row)}
    return [row for number, row in enumerate(rows) if not {number, number + 1} & rules]


def names_in(cell: str) -> list[str]:
    return SPAN.findall(cell)


def commands_of(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Every command line of a page: the program and its words."""
    lines = [line for block in blocks_of(page) if block.language == "bash" for line in block.text.splitlines()]
    for line in (*lines, *spans_of(page)):
        found = EXECUTABLE.match(line)
        if found is not None:
            yield found[1], shlex.split(found[2], comments=True)


def settings_of(model: BaseModel, prefix: str = "") -> dict[str, object]:
    """Dotted name → default of every setting."""
    found: dict[str, object] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        found |= settings_of(value, f"{prefix}{name}.") if isinstance(value, BaseModel) else {prefix + name: value}
    return found


def default_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@pytest.fixture(scope="module")
def source() -> str:
    """All of our code as one text."""
    files = [path for folder in CODE_FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in files if path.name != "test_docs.py")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        aim = (ROOT / page).parent / path if path else ROOT / page
        if not aim.exists() or (anchor and anchor not in anchors_of(aim.resolve().relative_to(ROOT))):
            broken.append(target)
    assert broken == []


def test_the_readme_opens_with_the_two_commands() -> None:
    first = blocks_of(Path("README.md"))[0]
    assert [line.split("#")[0].strip() for line in first.text.splitlines()] == ["make demo", "make test"]
    assert text_of(Path("README.md")).index(first.text) < 30


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_and_their_options_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(Path("Makefile")), re.MULTILINE))
    unknown = []
    for program, words in commands_of(page):
        if program == "make":
            unknown += [f"make {word}" for word in words if re.fullmatch(r"[a-z-]+", word) and word not in targets]
        elif program == "trueup":
            unknown += unknown_words(words)
        elif not any((ROOT / words[0].replace(".", "/")).with_suffix(end).exists() for end in (".py", "")):
            unknown.append(f"python -m {words[0]}")
    assert unknown == []


def unknown_words(words: list[str]) -> list[str]:
    """The commands and options of a `trueup` command line that do not exist."""
    command = typer.main.get_command(app)
    unknown = []
    for word in words:
        if word.startswith("-"):
            known = {option for parameter in command.params for option in parameter.opts}
            unknown += [] if word in known else [f"{command.name} {word}"]
        elif isinstance(command, TyperGroup):
            if word not in command.commands:
                return [*unknown, f"trueup {word}"]
            command = command.commands[word]
    return unknown


def test_make_demo_passes_options_that_exist() -> None:
    arguments = re.findall(r'make demo ARGS="([^"]*)"', text_of(Path("README.md")))
    assert arguments
    assert [unknown for given in arguments for unknown in unknown_words(["demo", *given.split()])] == []


def test_every_command_is_in_the_readme() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    listed = {name for row in rows_of(section_of(Path("README.md"), "Commands")) for name in names_in(row[0])}
    visible = {f"trueup {name}" for name, command in group.commands.items() if not command.hidden}
    targets = {f"make {name}" for name in re.findall(r"^([a-z-]+):.*## ", text_of(Path("Makefile")), re.MULTILINE)}
    shown = {" ".join(name.split()[:2]) for name in listed}
    assert shown >= visible
    assert shown | {"make demo", "make test", "make help"} >= targets


def test_the_rules_are_the_rules_of_the_code() -> None:
    page = Path("docs/rules.md")
    written: dict[str, set[str]] = {}
    for title in ("Order level", "Statement level", "What was agreed with the seller", "Channel level"):
        for row in rows_of(section_of(page, title)):
            for rule in names_in(row[0]):
                written.setdefault(rule, set()).add(row[1].split(",")[0])
    assert {rule: {kind} for rule, kind in rule_classes().items()} == written


def test_topics_are_listed_and_named_right() -> None:
    planned = {spec.name for spec in topic_plan(["settlement"], "public", 8).topics}
    listed = {name for row in rows_of(section_of(Path("docs/architecture.md"), "Topics")) for name in names_in(row[0])}
    assert listed == planned
    named = {span for page in PAGES for span in spans_of(page) if TOPIC_LIKE.match(span)}
    assert named <= planned


def test_tables_and_views_are_listed() -> None:
    rows = rows_of(section_of(Path("docs/architecture.md"), "ClickHouse tables"))
    assert {name for row in rows for name in names_in(row[0])} == set(DEFINITIONS)
    pairs = {(name, view) for row in rows for name in names_in(row[0]) for view in names_in(row[1])}
    assert pairs == {(view.table.name, view.name) for view in VIEWS}


def test_queries_name_views_that_exist() -> None:
    queried = {
        name for page in PAGES for block in blocks_of(page) for name in re.findall(r"trueup\.(v_\w+)", block.text)
    }
    assert queried
    assert queried <= {view.name for view in VIEWS}


def exposed_by(registry: CollectorRegistry) -> set[str]:
    """The names of our metrics as queries say them."""
    endings = {"counter": "_total", "info": "_info"}
    families = [family for family in registry.collect() if family.name.startswith("trueup_")]
    return {family.name + endings.get(family.type, "") for family in families}


def test_metrics_are_the_metrics_of_the_processes() -> None:
    processes = {
        "Workers": WorkerMetrics(lambda: WorkerFigures(ready=True, heartbeat_us=0, stages=[])).registry,
        "Reader": ReaderMetrics(ReaderCounters()).registry,
        "Dashboard": DashboardMetrics(lambda: 0).registry,
        "Alerts": AlertMetrics().registry,
    }
    exposed = {title: exposed_by(registry) for title, registry in processes.items()}
    tables = {title: rows_of(section_of(Path("docs/monitoring.md"), title)) for title in processes}
    listed = {title: {name for row in rows for name in names_in(row[0])} for title, rows in tables.items()}
    listed["Reader"].add("trueup_build_info")
    assert listed == exposed
    named = {name for page in PAGES for name in re.findall(r"\btrueup_[a-z_]+\b", text_of(page))}
    assert named <= {*set().union(*exposed.values()), "trueup_analyst", "trueup_dashboard", HEARTBEAT_TABLE}


def test_settings_are_listed_with_their_defaults() -> None:
    sections = {name: field.get_default() for name, field in Settings.model_fields.items()}
    expected: dict[str, str] = {}
    for name, value in sections.items():
        found = settings_of(value, f"{name}.") if isinstance(value, BaseModel) else {name: value}
        expected |= {setting: default_text(default) for setting, default in found.items()}
    expected["rules.stuck_seconds"] = "below"
    rows = rows_of(section_of(Path("docs/operations.md"), "Settings"))
    assert {name: row[1].strip("`") for row in rows for name in names_in(row[0])} == expected


def test_the_time_limits_are_the_defaults() -> None:
    (block,) = [block for block in blocks_of(Path("docs/operations.md")) if block.language == "toml"]
    written: dict[str, Any] = tomllib.loads(block.text)
    assert written == {"rules": {"stuck_seconds": RuleSettings().stuck_seconds}}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_settings_are_named_right(page: Path) -> None:
    known = {
        f"{name}.{inner}"
        for name, field in Settings.model_fields.items()
        if isinstance(field.get_default(), BaseModel)
        for inner in type(field.get_default()).model_fields
    }
    sections = {name.partition(".")[0] for name in known}
    named = {span for span in spans_of(page) if re.fullmatch(rf"(?:{'|'.join(sections)})\.[a-z_]+", span)}
    assert named - NO_SETTINGS <= known
    variables = re.findall(r"TRUEUP_([A-Z]+)__([A-Z_]+)", text_of(page))
    assert {".".join(parts).lower() for parts in variables} <= known


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_that_are_named_exist(page: Path) -> None:
    named = [span for span in spans_of(page) if PATH_LIKE.match(span)]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_names_stand_in_the_files_they_are_listed_for() -> None:
    rows = rows_of(section_of(Path("docs/architecture.md"), "Where to find it"))
    strangers = []
    for _, file, names in rows:
        (path,) = names_in(file)
        text = (ROOT / path).read_text(encoding="utf-8")
        strangers += [f"{path}: {name}" for name in names_in(names) if not re.search(rf"\b{name}\b", text)]
    assert len(rows) > 20
    assert strangers == []


def test_log_events_are_logged(source: str) -> None:
    rows = rows_of(section_of(Path("docs/operations.md"), "Logs"))
    events = [name for row in rows for name in names_in(row[0])]
    assert len(events) > 5
    assert [event for event in events if f'"{event}"' not in source] == []


def test_code_refers_to_pages_that_exist(source: str) -> None:
    named = set(re.findall(r"docs/[\w/-]+\.md", source))
    assert "docs/adr/0002-registers-and-marks.md" in named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_decisions_are_numbered_and_listed() -> None:
    assert [page.name[:4] for page in ADRS] == [f"{number:04}" for number in range(1, len(ADRS) + 1)]
    listed = LINK.findall(section_of(Path("docs/architecture.md"), "Decisions"))
    assert listed == [f"adr/{page.name}" for page in ADRS]


@pytest.mark.parametrize("page", ADRS, ids=lambda page: page.name[:4])
def test_a_decision_has_its_parts(page: Path) -> None:
    text = text_of(page)
    assert text.startswith(f"# {page.name[:4]}. ")
    assert "**Status:** " in text
    assert [title for _, title in HEADING.findall(text)][1:] == ["Context", "Decision", "Consequences"]


def test_a_wrong_name_would_be_noticed() -> None:
    assert unknown_words(["up", "--wrokers"]) == ["up --wrokers"]
    assert unknown_words(["upp"]) == ["trueup upp"]
    assert unknown_words(["service", "worker", "--number", "1"]) == []
