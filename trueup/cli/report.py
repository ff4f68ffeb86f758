"""`trueup report`: what was open, raised and resolved on a day, as one HTML file and as a PDF."""

from __future__ import annotations

import importlib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from clickhouse.analyst import AnalystClient
from dashboards.report.build import build_report
from dashboards.web.language import Language
from trueup.model.errors import ConfigurationError
from trueup.stack_files import running_settings

_PAGE: Final = "dashboards.report.page"
_PDF: Final = "dashboards.report.pdf"
"""Not imported above: what draws takes two seconds to load, for which no other command shall wait."""


def report(
    day: Annotated[str, typer.Option("--date", metavar="YYYY-MM-DD", help="The day to report on.")],
    out: Annotated[Path, typer.Option("--out", help="Directory for the files; made if absent.")],
    zone: Annotated[str, typer.Option("--zone", help="Whose day is meant: an IANA zone, such as Asia/Shanghai.")] = (
        "UTC"
    ),
    language: Annotated[Language, typer.Option("--language", help="What the report is written in.")] = "en",
    pdf: Annotated[bool, typer.Option("--pdf", help="Write a PDF as well.")] = False,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Data directory of the running stack.")] = Path(
        ".trueup"
    ),
) -> None:
    """Write the report of a day: money at risk, raised and resolved, ages, largest cases, with the SQL of each figure."""
    asked = _day(day)
    settings, _ = running_settings(data_dir)
    page, printer = importlib.import_module(_PAGE), _printer() if pdf else None
    with AnalystClient(settings.clickhouse) as client:
        html = page.report_html(build_report(client, asked, zone, language))
    console = Console(highlight=False, markup=False, emoji=False)
    name = f"report-{asked.isoformat()}-{zone.replace('/', '-')}-{language}"
    console.print(str(_write(out, f"{name}.html", html.encode())), soft_wrap=True)
    if printer is not None:
        console.print(str(_write(out, f"{name}.pdf", printer.report_pdf(html))), soft_wrap=True)


def _printer() -> Any:
    try:
        return importlib.import_module(_PDF)
    except OSError as error:
        raise ConfigurationError(
            f"a PDF cannot be made: {str(error).splitlines()[0]}",
            where="--pdf",
            remedy="install Pango (Debian: libpango-1.0-0 and libpangoft2-1.0-0), or leave --pdf out",
        ) from error


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{text[:40]!r} is no day", where="--date", remedy="write it as 2026-11-20") from error


def _write(directory: Path, name: str, content: bytes) -> Path:
    """Writes the file whole or not at all."""
    path = directory / name
    partial = directory / f".{name}.part"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"the report cannot be written: {error.strerror}", where=str(path), remedy="choose another --out"
        ) from error
    return path
