"""How the parts of a checked installation are shown: for people, or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from trueup.checking.parts import Part
from trueup.model.faults import Fault


def has_faults(parts: Iterable[Part]) -> bool:
    """Whether anything is wrong."""
    return any(part.faults for part in parts)


def parts_document(parts: Iterable[Part]) -> dict[str, Any]:
    """The parts as plain JSON values."""
    parts = list(parts)
    return {"is_in_order": not has_faults(parts), "parts": [_part_document(part) for part in parts]}


def show_parts(parts: Iterable[Part]) -> None:
    """Print the parts, each with its facts and its faults, and how many faults there are."""
    console = Console(highlight=False)
    count = 0
    for part in parts:
        mark = ("? ", "bold yellow") if part.skipped else ("✗ ", "bold red") if part.faults else ("✓ ", "bold green")
        said = f"not looked at: {part.skipped}" if part.skipped else "; ".join(part.facts)
        console.print(Text.assemble(mark, (part.name, "bold"), f"  {said}"))
        show_faults(console, part.faults, "  ")
        count += len(part.faults)
    console.print(f"{count} error{'s' if count > 1 else ''}" if count else "everything is in order")


def show_faults(console: Console, faults: Iterable[Fault], indent: str = "") -> None:
    """Print faults: what, where and what to do."""
    for fault in faults:
        console.print(Text.assemble(indent, ("error: ", "bold red"), fault.what))
        console.print(Text.assemble(indent, ("where: ", "bold"), fault.where))
        if fault.remedy:
            console.print(Text.assemble(indent, ("to do: ", "bold"), fault.remedy))


def _part_document(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "is_in_order": not part.faults and not part.skipped,
        "facts": part.facts,
        "errors": [fault._asdict() for fault in part.faults],
        "skipped": part.skipped,
    }
